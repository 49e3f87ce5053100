"""Relations of swept keys: ties (keys that change together) and conditions (when a key is swept)."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.sweep.search.axes import Values, to_text

# The keys that share a parameter, which has the name of the first; a key without a tie is a group of its own.
Group = Mapping[str, Values]
Conditions = Mapping[str, tuple[str, ...]]


def read_ties(axes: Mapping[str, Values], ties: Sequence[Sequence[str]]) -> dict[str, Group]:
    """Parameter -> the keys that it sets, first the key with its own name, in the order typed."""
    leaders: dict[str, str] = {}
    members: dict[str, list[str]] = {}
    for tie in ties:
        if isinstance(tie, str) or len(tie) < 2:
            raise ConfigError(f"ties: {tie}: must be a list of two keys or more")
        keys = [_find(axes, key, "ties") for key in tie]
        for key in keys:
            if key in leaders or keys.count(key) > 1:
                raise ConfigError(f"ties: {key}: is tied twice; must be in one tie, once")
        leader = _choose_leader(axes, keys)
        leaders |= dict.fromkeys(keys, leader)
        members[leader] = [leader, *(key for key in keys if key != leader)]
    names = dict.fromkeys(leaders.get(key, key) for key in axes)
    return {
        name: {key: axes[key] for key in members[name]} if name in members else {name: axes[name].unique()}
        for name in names
    }


def _choose_leader(axes: Mapping[str, Values], keys: Sequence[str]) -> str:
    """The first key whose values all differ, so that each of its values selects an item of all lists."""
    lists = [axes[key].texts for key in keys]
    if not any(lists):
        return keys[0]
    lengths = {key: len(texts) for key, texts in zip(keys, lists, strict=True) if texts is not None}
    if len(lengths) < len(keys):
        intervals = ", ".join(key for key in keys if key not in lengths)
        raise ConfigError(f"ties: {', '.join(keys)}: must be all lists or all intervals (intervals: {intervals})")
    if len(set(lengths.values())) > 1:
        given = ", ".join(f"{key} has {length}" for key, length in lengths.items())
        raise ConfigError(f"ties: {', '.join(keys)}: must be lists of the same length ({given})")
    for key in keys:
        if axes[key].unique() == axes[key]:
            return key
    raise ConfigError(f"ties: {', '.join(keys)}: at least one of these lists must have no repeated values")


def read_conditions(groups: Mapping[str, Group], conditions: Mapping[str, Any]) -> dict[str, Conditions]:
    """Parameter -> its conditions, including those of its parents."""
    owners = {key: name for name, group in groups.items() for key in group}
    own: dict[str, list[tuple[str, tuple[str, ...]]]] = {name: [] for name in groups}
    for given, rule in conditions.items():
        child = owners[_find(owners, given, "conditions")]
        if not isinstance(rule, Mapping):
            raise ConfigError(f"conditions.{given}={rule}: must be a mapping, other key to value or list of values")
        for other, allowed in rule.items():
            where = f"conditions.{given}.{other}={allowed}"
            key = _find(owners, other, f"conditions.{given}")
            axis, leader = groups[owners[key]][key], groups[owners[key]][owners[key]]
            if axis.texts is None or leader.texts is None:
                raise ConfigError(f"{where}: {other} must be swept over a list, is an interval")
            taken = _find_positions(axis, allowed, where)
            own[child].append((owners[key], tuple(leader.texts[position] for position in sorted(taken))))
    return {name: _add_parents(name, own, ()) for name in groups}


def _find_positions(axis: Values, allowed: Any, where: str) -> set[int]:
    """The positions of the allowed values in a list; they are given plainly or as Hydra's texts."""
    assert axis.texts is not None
    assert axis.values is not None
    taken: set[int] = set()
    for value in allowed if isinstance(allowed, list | tuple) else [allowed]:
        # True equals 1 in Python, but not here.
        equal = [(type(item) is bool, item) == (type(value) is bool, value) for item in axis.values]
        if not any(equal):
            equal = [text in (value, to_text(value)) for text in axis.texts]
        if not any(equal):
            raise ConfigError(f"{where}: never takes {value} (values: {', '.join(axis.texts)})")
        taken |= {position for position, is_equal in enumerate(equal) if is_equal}
    return taken


def _add_parents(
    name: str, own: Mapping[str, Sequence[tuple[str, tuple[str, ...]]]], children: tuple[str, ...]
) -> dict[str, tuple[str, ...]]:
    if name in children:
        raise ConfigError(f"conditions: {' needs '.join((*children, name))}; must not lead back to the same key")
    needs = list(own[name])
    for parent, _ in own[name]:
        needs += _add_parents(parent, own, (*children, name)).items()
    closed: dict[str, tuple[str, ...]] = {}
    for parent, texts in needs:
        closed[parent] = tuple(text for text in closed.get(parent, texts) if text in texts)
        if not closed[parent]:
            raise ConfigError(f"conditions.{name}: can never hold, as no value of {parent} is left")
    return closed


def _find(keys: Collection[str], given: str, where: str) -> str:
    """The swept key that is meant; its plus sign may be omitted."""
    for key in (given, f"+{given}", f"++{given}"):
        if key in keys:
            return key
    raise ConfigError(f"{where}: {given} is not swept (swept: {', '.join(keys) or 'nothing'})")
