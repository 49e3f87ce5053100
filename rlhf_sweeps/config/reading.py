"""Conversion of a composed DictConfig to a checked `Config`; the code behind it does not use OmegaConf."""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar, cast

from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from rlhf_sweeps.config.choices import describe_choices, expand
from rlhf_sweeps.config.contradictions import find_contradictions
from rlhf_sweeps.config.fields import ConfigError, find_out_of_range
from rlhf_sweeps.config.lifted_secrets import refuse_masked
from rlhf_sweeps.config.references import attach_references, read_reference, read_with_references
from rlhf_sweeps.config.reward_models import (
    KINDS,
    EncoderConfig,
    EnsembleConfig,
    RewardModelConfig,
)
from rlhf_sweeps.config.schema import (
    Config,
    DatasetConfig,
)
from rlhf_sweeps.record import find_variables, is_secret_variable
from rlhf_sweeps.wording import suggest

Node = TypeVar("Node")
MOST_MISSING = 3  # keys of one group that are named one by one; chosen
# Keys whose values become names of folders, of metrics and of things in W&B.
NAMES = ("name", "project", "entity", "tags")


def from_hydra(composed: DictConfig) -> Config:
    """The checked `Config` of a composed configuration.

    Raises:
        ConfigError: with one line for every key that is missing, out of range or contradicts another key.
    """
    composed = expand(composed)
    config = as_object(composed, Config)
    config.reward_model = _read_reward_model(config.reward_model, "reward_model")
    config.eval.judges = read_reward_models(config.eval.judges, "eval.judges")
    refer_to_variables(config, composed)
    problems = [
        *find_unknown_keys(config, prefix=""),
        *find_out_of_range(config, prefix=""),
        *find_contradictions(config),
    ]
    if problems:
        raise ConfigError("\n".join(problems))
    return config


def refer_to_variables(config: Any, composed: DictConfig) -> None:
    """Attach to the values of a config, in place, the references to environment variables that they come from.

    Raises:
        ConfigError: if a secret would become the name of a file, of a metric or of something in W&B.
    """
    if "oc.env" not in str(OmegaConf.to_container(composed, resolve=False)):
        return
    attach_references(config, read_with_references(composed))
    if named := sorted(_find_secret_names(config, "")):
        raise ConfigError("\n".join(named))


def _find_secret_names(node: Any, prefix: str) -> Iterator[str]:
    for entry in dataclasses.fields(node):
        value, key = getattr(node, entry.name), f"{prefix}{entry.name}"
        nodes = value if isinstance(value, list) else [value]
        for index, item in enumerate(nodes):
            place = f"{key}[{index}]" if isinstance(value, list) else key
            if dataclasses.is_dataclass(item):
                yield from _find_secret_names(item, f"{place}.")
            elif entry.name in NAMES and any(map(is_secret_variable, find_variables(read_reference(item) or ""))):
                yield f"{place}={read_reference(item)}: must not contain a secret, since everybody sees a name"


def as_object(composed: DictConfig, schema: type[Node]) -> Node:
    """A composed config as a dataclass, with names of choices replaced by their values; its values are not checked.

    Raises:
        ConfigError: with one line for every key that is missing; or if a data set's source cannot be read.
    """
    composed = expand(composed)
    # OmegaConf's own list of missing keys fails if a name refers to a missing path.
    if missing := sorted(_find_missing_keys(OmegaConf.to_container(composed, resolve=False))):
        raise ConfigError("\n".join(_describe_missing(missing)))
    config: Any = OmegaConf.to_object(composed)
    refuse_masked(OmegaConf.to_container(composed, resolve=False))
    config.dataset = _read_sources(config.dataset, "dataset")
    assert isinstance(config, schema)
    return config


def read_reward_models(entries: Sequence[Any], key: str) -> list[RewardModelConfig]:
    """The typed configs of a list of reward models; `key` is its key.

    Raises:
        ConfigError: if one has no known kind, unknown keys, or values of wrong types.
    """
    return [_read_reward_model(entry, f"{key}[{number}]") for number, entry in enumerate(entries)]


def _read_reward_model(values: Any, key: str) -> RewardModelConfig:
    """The typed config of a reward model and of its members."""
    kind = values.get("kind") if isinstance(values, dict) else None
    if kind not in KINDS:
        raise ConfigError(f"{key}.kind={kind}: must be one of {', '.join(KINDS)}{suggest(str(kind), KINDS)}")
    config = _read(KINDS[kind], values, key)
    if isinstance(config, EnsembleConfig):
        config.members = read_reward_models(config.members, f"{key}.members")
    if isinstance(config, EncoderConfig) and config.pairs is not None:
        config.pairs = _read_sources(_read(DatasetConfig, config.pairs, f"{key}.pairs"), f"{key}.pairs")
    return config


def _read_sources(dataset: DatasetConfig, key: str) -> DatasetConfig:
    """A data set's config whose sources are typed, too.

    Raises:
        ConfigError: if a source has unknown keys, or values of wrong types.
    """
    sources = [
        _read(DatasetConfig, source, f"{key}.sources[{number}]") for number, source in enumerate(dataset.sources)
    ]
    return dataclasses.replace(dataset, sources=sources)


def _read(schema: type[Node], values: Any, key: str) -> Node:
    """Untyped values as a dataclass."""
    if not isinstance(values, dict):
        raise ConfigError(f"{key}={values}: must be a mapping of keys to values")
    try:
        node = OmegaConf.merge(OmegaConf.structured(schema), values)
    except ConfigKeyError as error:
        names = [entry.name for entry in dataclasses.fields(schema)]  # type: ignore[arg-type]
        prefix = f"{key}.{error.full_key}".removesuffix(str(error.key))
        raise ConfigError(f"{key}.{error.full_key}: {_describe_unknown(str(error.key), names, prefix)}") from error
    except OmegaConfBaseException as error:
        raise ConfigError(f"{key}.{error.full_key}: {str(error).splitlines()[0]}") from error
    if missing := OmegaConf.missing_keys(node):
        raise ConfigError("\n".join(f"{key}.{name}: no value given; it is required" for name in sorted(missing)))
    return cast(Node, OmegaConf.to_object(node))


def _describe_unknown(name: str, allowed: Sequence[str], prefix: str) -> str:
    """The suggestion is a whole key, to be pasted."""
    near = suggest(f"{prefix}{name}", [f"{prefix}{other}" for other in allowed], prefix)
    return f"there is no such key{near} (allowed here: {', '.join(allowed)})"


def _find_missing_keys(node: Any, key: str = "") -> Iterator[str]:
    """The keys that have no value, in plain nested values under `key`."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield from _find_missing_keys(value, f"{key}.{name}" if key else str(name))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _find_missing_keys(value, f"{key}[{index}]")
    elif node == MISSING:
        yield key


def _describe_missing(missing: Sequence[str]) -> Iterator[str]:
    """One line for each key without a value; one line for a whole group if more than MOST_MISSING are missing there."""
    for group, keys in itertools.groupby(missing, lambda key: key.rpartition(".")[0]):
        names = list(keys)
        if group and len(names) > MOST_MISSING:
            remedy = describe_choices(group)
            yield f"{group}: {len(names)} of its keys have no value ({names[0]}, ...); {remedy}"
        else:
            yield from (f"{key}: no value given; it is required ({key}=...)" for key in names)


def find_unknown_keys(node: Any, prefix: str) -> Iterator[str]:
    """One line for each unknown key: Hydra lets keys with a plus sign pass."""
    allowed = [entry.name for entry in dataclasses.fields(node)]
    for name, value in vars(node).items():
        if name not in allowed:
            yield f"{prefix}{name}: {_describe_unknown(name, allowed, prefix)}"
        elif dataclasses.is_dataclass(value):
            yield from find_unknown_keys(value, prefix=f"{prefix}{name}.")
