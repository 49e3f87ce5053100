"""Names of choices within a config: judges, members of an ensemble, sources of a mixture.

An entry is the name of a choice (`vader`), or a choice with some keys changed (`{reward_model: local, path: folder}`).
Hydra composes one choice for each config group; this file asks it for further ones. A trial reads a config in which
all names are replaced already.
"""

import functools
from collections.abc import Mapping
from typing import Any

from hydra import compose
from hydra._internal.hydra import Hydra
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.record import write_override
from rlhf_sweeps.wording import suggest

# Group -> a key that nobody changes: an entry that has it holds all values of a choice already.
_EXPANDED = {"reward_model": "kind", "dataset": "sources"}


def expand(composed: DictConfig) -> DictConfig:
    """The config with every name of a choice replaced by its values; the same object if it has no names.

    Raises:
        ConfigError: if there is no such choice, or the choice has no such key.
    """
    if not _holds_names(composed):
        return composed
    expanded = composed.copy()
    with open_dict(expanded):
        if "reward_model" in expanded:
            _expand_reward_model(expanded.reward_model, "reward_model")
        if "reward_models" in expanded:
            _expand_list(expanded, "reward_models", "reward_model", "reward_models")
        if "eval" in expanded:
            _expand_list(expanded.eval, "judges", "reward_model", "eval.judges")
        _expand_list(expanded.dataset, "sources", "dataset", "dataset.sources")
    return expanded


def _holds_names(composed: DictConfig) -> bool:
    """Whether a config may hold names; if not, the copy of it is saved, which takes milliseconds."""
    reward_model = composed.get("reward_model") or {}
    judges = composed.eval.get("judges") if "eval" in composed else composed.get("reward_models")
    if isinstance(judges, ListConfig) and all(map(_is_whole, judges)):
        judges = None
    entries = (judges, composed.dataset.get("sources"), reward_model.get("members"))
    return any(entries) or reward_model.get("pairs") is not None


def _is_whole(entry: Any) -> bool:
    """Whether an entry holds all values of a reward model, and no name within them."""
    is_expanded = isinstance(entry, DictConfig) and _EXPANDED["reward_model"] in entry
    return is_expanded and "members" not in entry and entry.get("pairs") is None


def _expand_reward_model(node: DictConfig, key: str) -> None:
    """Replace names among the members of an ensemble, and in the data set of an encoder's pairs."""
    if "members" in node:
        _expand_list(node, "members", "reward_model", f"{key}.members")
    if node.get("pairs") is not None:
        node["pairs"] = _look_up("dataset", node["pairs"], f"{key}.pairs")
        _expand_list(node.pairs, "sources", "dataset", f"{key}.pairs.sources")


def _expand_list(parent: DictConfig, name: str, group: str, key: str) -> None:
    if OmegaConf.is_missing(parent, name) or not parent[name]:
        return
    if not isinstance(parent[name], ListConfig):
        raise ConfigError(f"{key}={parent[name]}: must be a list")
    parent[name] = [_look_up(group, entry, f"{key}[{number}]") for number, entry in enumerate(parent[name])]
    if group == "reward_model":
        for number, node in enumerate(parent[name]):
            _expand_reward_model(node, f"{key}[{number}]")


def _look_up(group: str, entry: Any, key: str) -> Any:
    """The values of a choice; an entry that holds all of them already is returned unchanged."""
    if isinstance(entry, Mapping | DictConfig):
        # References to environment variables and to other keys are kept.
        written: Any = OmegaConf.to_container(entry, resolve=False) if isinstance(entry, DictConfig) else entry
        changes = dict(written)
        if group not in changes:
            if _EXPANDED[group] not in changes:
                raise ConfigError(f"{key}.{group}: no value given; it is required (allowed: {_join_choices(group)})")
            return entry
        changes.pop(group)
        name = entry[group]
    else:
        name, changes = entry, {}
    node = _load(group, name, key)
    if unknown := sorted(set(changes) - set(node)):
        raise ConfigError(
            f"{key}.{unknown[0]}: {group}={name} has no such key{suggest(unknown[0], node)} "
            f"(allowed here: {', '.join(map(str, node))})"
        )
    node = node.copy()
    OmegaConf.set_struct(node, False)  # a callable may have arguments that are no keys of the choice
    return OmegaConf.merge(node, changes)


def _load(group: str, name: Any, key: str) -> DictConfig:
    hydra = GlobalHydra.instance().hydra
    if hydra is None:
        raise ConfigError(f"{key}={name}: names can be looked up by the command line only")
    try:
        return _compose(hydra, group, str(name), _read_search_path()).copy()
    except MissingConfigException as error:
        names = list_choices(GlobalHydra.instance().config_loader(), group)
        raise ConfigError(
            f"{key}={name}: {group} has no such choice{suggest(str(name), names)} (allowed: {', '.join(names)})"
        ) from error
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(f"{key}={name}: {' '.join(str(error).split())}") from error


@functools.lru_cache
def _compose(hydra: Hydra, group: str, name: str, search_path: tuple[str, ...]) -> DictConfig:
    """A choice's values, composed by Hydra; cached, since Hydra reads the files each time.

    There is no primary config: Hydra would look for it without the search path.
    """
    node: DictConfig = compose(None, [*search_path, write_override(f"+{group}", name)])[group]
    return node


def _join_choices(group: str) -> str:
    return ", ".join(list_choices(GlobalHydra.instance().config_loader(), group))


def describe_choices(group: str) -> str:
    """A clause for a config that lacks a group, such as `must be a choice: tracking=disabled, tracking=offline`."""
    names = (
        list_choices(GlobalHydra.instance().config_loader(), group) if GlobalHydra.instance().is_initialized() else []
    )
    return f"must be a choice: {', '.join(f'{group}={name}' for name in names)}" if names else "it cannot be removed"


def list_choices(loader: ConfigLoader, group: str) -> list[str]:
    """The names of a group's choices."""
    return loader.get_group_options(group, overrides=list(_read_search_path()))


def _read_search_path() -> tuple[str, ...]:
    """An override that adds the places of hydra.searchpath: Hydra itself uses them for the primary config only."""
    sources = HydraConfig.get().runtime.config_sources if HydraConfig.initialized() else []
    added = [f"{source.schema}://{source.path}" for source in sources if source.provider.startswith("hydra.searchpath")]
    return (write_override("hydra.searchpath", added),) if added else ()
