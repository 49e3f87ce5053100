"""The differences between the settings of a record and those of a command that continues it."""

from collections.abc import Mapping
from typing import Any

# Keys that may change between two starts of a run, since they do not affect its numbers.
FREE_KEYS = ("name", "tracking.", "checkpoint.", "sweep.")
# Keys that records of earlier versions lack, with their defaults in conf/, which complete such a record.
LATER_KEYS: Mapping[str, Any] = {"objective.kl_price": 0.1}  # per nat
# Keys that affect no number of a run's training and evaluations: a record that lacks them gets the present values.
ADOPTED = ("num_confirming", "confirm_path", "confirm_split")
SUGGESTION = "suggested_"  # begins the names of keys that only other keys take over


def describe_changed_settings(recorded: dict[str, Any], present: dict[str, Any]) -> str:
    """The differences of two configs as text, empty if there are none; the record may be of an earlier version.

    Args:
        recorded: the config of a record, nested or flat.
        present: the config now, nested or flat.
    """
    before, after = flatten(recorded), flatten(present)
    return describe_differences(complete_settings(before, after), after)


def complete_settings(recorded: Mapping[str, Any], present: Mapping[str, Any]) -> dict[str, Any]:
    """The flat settings of a record, with those keys of `present` that its version did not have.

    They have the defaults of LATER_KEYS. A suggestion is taken from `present`: it affects a run's numbers only by the
    key that takes it over, which is in the record. So are the ADOPTED keys, and both in the sources of a mixture, too.
    """
    defaults = {key: value for key, value in LATER_KEYS.items() if key in present}
    lists = {
        key: _complete_items(value, present.get(key)) for key, value in recorded.items() if isinstance(value, list)
    }
    return {**_select_adopted(present), **defaults, **recorded, **lists}


def _select_adopted(present: Mapping[str, Any]) -> dict[str, Any]:
    names = {key: key.rpartition(".")[2] for key in present}
    return {key: present[key] for key, name in names.items() if name.startswith(SUGGESTION) or name in ADOPTED}


def _complete_items(recorded: list[Any], present: Any) -> list[Any]:
    """A list of nested settings, each completed from the one at its place; any other list as it is."""
    if not isinstance(present, list) or len(present) != len(recorded):
        return recorded
    return [
        {**_select_adopted(now), **before} if isinstance(before, dict) and isinstance(now, dict) else before
        for before, now in zip(recorded, present, strict=True)
    ]


def describe_differences(old: dict[str, Any], new: dict[str, Any]) -> str:
    """The changed keys as text, without those that do not affect a run's numbers; empty if there are none."""
    before, after = flatten(old), flatten(new)
    keys = [key for key in sorted(before | after) if not key.startswith(FREE_KEYS)]
    changed = [key for key in keys if before.get(key) != after.get(key)]
    return ", ".join(f"{key} was {before.get(key)}, is {after.get(key)}" for key in changed)


def flatten(node: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values by dotted key."""
    flat: dict[str, Any] = {}
    for key, value in node.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat
