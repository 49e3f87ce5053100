"""A composed DictConfig becomes a checked `Config`, once, at the border: nothing further in sees OmegaConf."""

import dataclasses
import itertools
import math
import re
import string
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar, cast

from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from rlhf_sweeps.choices import expand
from rlhf_sweeps.config import CONSTRAINT, DIRECTIONS, Config, DatasetConfig, ObjectiveConfig, PPOConfig
from rlhf_sweeps.fields import ConfigError, out_of_range
from rlhf_sweeps.reward_model_config import (
    KINDS,
    CallableConfig,
    ClassifierConfig,
    EncoderConfig,
    EnsembleConfig,
    RegexConfig,
    RewardModelConfig,
)

Node = TypeVar("Node")
MOST_MISSING = 3  # keys of one group that are named one by one


def from_hydra(composed: DictConfig) -> Config:
    """The checked `Config` of a composed configuration.

    Raises:
        ConfigError: with one line for every key that is missing, out of range or at odds with another.
    """
    config = as_object(composed, Config)
    config.reward_model = _read_reward_model(config.reward_model, "reward_model")
    config.eval.judges = [
        _read_reward_model(judge, f"eval.judges[{number}]") for number, judge in enumerate(config.eval.judges)
    ]
    problems = [*unknown_keys(config, prefix=""), *out_of_range(config, prefix=""), *_contradictions(config)]
    if problems:
        raise ConfigError("\n".join(problems))
    return config


def as_object(composed: DictConfig, schema: type[Node]) -> Node:
    """A composed config as its dataclass, names of choices looked up, not checked yet.

    Raises:
        ConfigError: with one line for every key that is missing; if a data set's source cannot be read.
    """
    composed = expand(composed)
    # OmegaConf's own list fails where a name is made of a missing path.
    if missing := sorted(_missing_keys(OmegaConf.to_container(composed, resolve=False))):
        raise ConfigError("\n".join(_missing_lines(missing)))
    config: Any = OmegaConf.to_object(composed)
    config.dataset = _read_sources(config.dataset, "dataset")
    assert isinstance(config, schema)
    return config


def _read_reward_model(values: Any, key: str) -> RewardModelConfig:
    """A reward model's typed config, and those that it holds."""
    kind = values.get("kind") if isinstance(values, dict) else None
    if kind not in KINDS:
        raise ConfigError(f"{key}.kind={kind}: must be one of {', '.join(KINDS)}")
    config = _read(KINDS[kind], values, key)
    if isinstance(config, EnsembleConfig):
        config.members = [
            _read_reward_model(member, f"{key}.members[{number}]") for number, member in enumerate(config.members)
        ]
    if isinstance(config, EncoderConfig) and config.pairs is not None:
        config.pairs = _read_sources(_read(DatasetConfig, config.pairs, f"{key}.pairs"), f"{key}.pairs")
    return config


def _read_sources(dataset: DatasetConfig, key: str) -> DatasetConfig:
    """A data set with its sources typed, too.

    Raises:
        ConfigError: if a source has other keys, or values of other types.
    """
    sources = [
        _read(DatasetConfig, source, f"{key}.sources[{number}]") for number, source in enumerate(dataset.sources)
    ]
    return dataclasses.replace(dataset, sources=sources)


def _read(schema: type[Node], values: Any, key: str) -> Node:
    """Values that OmegaConf had no type for, as a dataclass."""
    if not isinstance(values, dict):
        raise ConfigError(f"{key}={values}: must be a mapping of keys to values")
    try:
        node = OmegaConf.merge(OmegaConf.structured(schema), values)
    except ConfigKeyError as error:
        allowed = ", ".join(entry.name for entry in dataclasses.fields(schema))  # type: ignore[arg-type]
        raise ConfigError(f"{key}.{error.full_key}: there is no such key (allowed here: {allowed})") from error
    except OmegaConfBaseException as error:
        raise ConfigError(f"{key}.{error.full_key}: {str(error).splitlines()[0]}") from error
    if missing := OmegaConf.missing_keys(node):
        raise ConfigError("\n".join(f"{key}.{name}: no value given; it is required" for name in sorted(missing)))
    return cast(Node, OmegaConf.to_object(node))


def _missing_keys(node: Any, key: str = "") -> Iterator[str]:
    """The keys of plain values that have none; `key` is where they stand."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield from _missing_keys(value, f"{key}.{name}" if key else str(name))
    elif isinstance(node, list):
        for number_of, value in enumerate(node):
            yield from _missing_keys(value, f"{key}[{number_of}]")
    elif node == MISSING:
        yield key


def _missing_lines(missing: Sequence[str]) -> Iterator[str]:
    """One line for each key without a value; of a group from which nearly all is missing, one for the group."""
    for group, keys in itertools.groupby(missing, lambda key: key.rpartition(".")[0]):
        names = list(keys)
        if group and len(names) > MOST_MISSING:
            yield f"{group}: {len(names)} of its keys have no value ({names[0]}, ...); must be a choice: {group}=NAME"
        else:
            yield from (f"{key}: no value given; it is required ({key}=...)" for key in names)


def unknown_keys(node: Any, prefix: str) -> Iterator[str]:
    """Keys that were forced in with a plus sign, which Hydra lets pass."""
    known = [entry.name for entry in dataclasses.fields(node)]
    for name, value in vars(node).items():
        if name not in known:
            yield f"{prefix}{name}: there is no such key (allowed here: {', '.join(known)})"
        elif dataclasses.is_dataclass(value):
            yield from unknown_keys(value, prefix=f"{prefix}{name}.")


def _contradictions(config: Config) -> Iterator[str]:
    ppo = config.ppo
    for key in ("num_minibatches", "rollouts_per_prompt"):
        count = getattr(ppo, key)
        if count > 0 and ppo.batch_size % count:
            allowed = _divisors(ppo.batch_size)
            yield f"ppo.{key}={count}: must divide ppo.batch_size={ppo.batch_size} (allowed: {allowed})"
    if ppo.batch_size > 0 and ppo.total_episodes > 0:
        for key in ("lr_warmup_updates", "value_warmup_updates"):
            if (updates := getattr(ppo, key)) >= ppo.num_updates:
                yield f"ppo.{key}={updates}: must be less than the run's {ppo.num_updates} updates"
    if ppo.value_warmup_updates > 0 and ppo.vf_coef == 0:
        yield f"ppo.value_warmup_updates={ppo.value_warmup_updates}: with ppo.vf_coef=0 nothing would be trained"
    if (ppo.value_model == "path") != (ppo.value_path is not None):
        yield f"ppo.value_path={ppo.value_path}: must be given with ppo.value_model=path, and only then"
    if ppo.kl_target is not None and ppo.kl_coef == 0:
        yield f"ppo.kl_target={ppo.kl_target}: adapts ppo.kl_coef by factors, so that must be > 0, is 0"
    if "" in ppo.stop_strings:
        yield "ppo.stop_strings: an empty string would end every response at once"
    if ppo.accumulation_steps is not None:
        yield from _accumulation_contradictions(ppo, ppo.accumulation_steps)
    if "" in config.tracking.tags:
        yield f"tracking.tags={config.tracking.tags}: must be texts that are not empty"
    yield from _objective_contradictions(config.objective)
    yield from dataset_contradictions(config.dataset, "dataset")
    yield from _reward_model_contradictions(config.reward_model, "reward_model")
    for number_of, judge in enumerate(config.eval.judges):
        yield from _reward_model_contradictions(judge, f"eval.judges[{number_of}]")
    names = [judge.name for judge in config.eval.judges]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        yield f"eval.judges: must have distinct names, has {', '.join(twice)} twice (give one another: name: ...)"


def _divisors(number: int) -> str:
    """All divisors of a number below 2**31, in words."""
    lower = [divisor for divisor in range(1, math.isqrt(number) + 1) if number % divisor == 0]
    return ", ".join(map(str, sorted({*lower, *(number // divisor for divisor in lower)})))


def dataset_contradictions(dataset: DatasetConfig, key: str) -> Iterator[str]:
    """One line for every rule that a data set breaks; `key` is where it is given."""
    if (dataset.path is None) == (not dataset.sources):
        yield f"{key}.path={dataset.path}: either a path or {key}.sources must be given, and not both"
    if dataset.min_prompt_length > dataset.max_prompt_length:
        yield (
            f"{key}.min_prompt_length={dataset.min_prompt_length}: must be at most "
            f"{key}.max_prompt_length={dataset.max_prompt_length}"
        )
    for number_of, source in enumerate(dataset.sources):
        if source.sources:
            yield f"{key}.sources[{number_of}].sources: a mixture cannot hold mixtures"
        else:
            yield from dataset_contradictions(source, f"{key}.sources[{number_of}]")


def _reward_model_contradictions(config: RewardModelConfig, key: str) -> Iterator[str]:
    if "/" in config.name:
        yield f"{key}.name={config.name}: must have no slash, since metrics are named after it"
    if isinstance(config, ClassifierConfig) and config.template is not None and not _is_template(config.template):
        allowed = "must hold {response}, may hold {prompt}; any other brace is doubled"
        yield f"{key}.template={config.template}: {allowed}"
    if isinstance(config, RegexConfig):
        if not config.patterns:
            yield f"{key}.patterns=[]: must hold at least one {{pattern: ..., weight: ...}}"
        for number_of, entry in enumerate(config.patterns):
            try:
                re.compile(entry.pattern)
            except re.error as error:
                yield f"{key}.patterns[{number_of}].pattern={entry.pattern}: not a regular expression ({error})"
    if isinstance(config, CallableConfig) and "." not in config.function:
        yield f"{key}.function={config.function}: must be a dotted path, module.function"
    if isinstance(config, EncoderConfig) and config.pairs is not None:
        yield from dataset_contradictions(config.pairs, f"{key}.pairs")
    if isinstance(config, EnsembleConfig):
        if len(config.members) < 2:
            yield f"{key}.members: must hold at least two reward models, holds {len(config.members)}"
        for number_of, member in enumerate(config.members):
            yield from _reward_model_contradictions(member, f"{key}.members[{number_of}]")


def _is_template(template: str) -> bool:
    """Whether it can be filled in with a prompt and a response, and shows the response."""
    try:
        named = {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
        template.format(prompt="", response="")
    except (ValueError, LookupError, AttributeError):
        return False
    return "response" in named and named <= {"prompt", "response"}


def _objective_contradictions(objective: ObjectiveConfig) -> Iterator[str]:
    if not objective.metrics:
        yield "objective.metrics=[]: must name at least one metric of metrics.jsonl"
    if len(set(objective.metrics)) < len(objective.metrics):
        yield f"objective.metrics={objective.metrics}: must be distinct"
    if len(objective.directions) != len(objective.metrics) or set(objective.directions) - set(DIRECTIONS):
        yield (
            f"objective.directions={objective.directions}: must have one of {', '.join(DIRECTIONS)} for each of "
            f"objective.metrics={objective.metrics}"
        )
    for constraint in objective.constraints:
        parts = CONSTRAINT.fullmatch(constraint)
        if parts is None or not math.isfinite(float(parts["limit"])):
            yield f"objective.constraints={constraint}: must be 'METRIC<=NUMBER' or 'METRIC>=NUMBER'"


def _accumulation_contradictions(ppo: PPOConfig, accumulation_steps: int) -> Iterator[str]:
    given = f"ppo.accumulation_steps={accumulation_steps}"
    if ppo.loss_aggregation != "microbatch_mean":
        yield f"{given}: needs ppo.loss_aggregation=microbatch_mean, is {ppo.loss_aggregation}"
    if ppo.target_kl is not None:
        yield f"{given}: its steps span minibatches, so ppo.target_kl must be null, is {ppo.target_kl}"
    counts = (ppo.num_minibatches, ppo.microbatch_size, accumulation_steps)
    if min(counts) > 0 and ppo.microbatches_per_epoch % accumulation_steps:
        yield f"{given}: must divide the {ppo.microbatches_per_epoch} microbatches of an epoch"
