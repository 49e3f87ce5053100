"""The differences between the settings of a record and those of a command that continues it."""

from collections.abc import Collection, Mapping
from typing import Any

# Keys that may change between two starts of a run, since they do not affect its numbers.
FREE_KEYS = ("name", "tracking.", "checkpoint.", "sweep.")
# Keys that records of earlier versions lack, with their defaults in conf/, which complete such a record.
LATER_KEYS: Mapping[str, Any] = {"objective.kl_price": 0.1}  # per nat
# Other such keys, by their last parts, with values that affect no number of training and evaluations; None: all values.
# The one confirming file among our own choices has prompts that no training file has.
ADOPTED: Mapping[str, Collection[Any] | None] = {
    "num_confirming": None,
    "confirm_path": (None, "embedded:human_like_mini/confirm.jsonl"),
    "confirm_split": (None,),
}
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
    """The settings of a record, nested or flat, with those keys of `present` that its version did not have.

    They have the defaults of LATER_KEYS. A suggestion is taken from `present`: it affects a run's numbers only by the
    key that takes it over, which is in the record. So are the ADOPTED keys, and both in lists of settings, too.
    """
    completed: dict[str, Any] = _complete(recorded, present, "")
    return completed


def _complete(recorded: Any, present: Any, prefix: str) -> Any:
    """The same for any part of the settings, whose key with a dot is the prefix."""
    if isinstance(recorded, Mapping) and isinstance(present, Mapping):
        later = {key: LATER_KEYS[f"{prefix}{key}"] for key in present if f"{prefix}{key}" in LATER_KEYS}
        taken = {key: value for key, value in present.items() if _is_taken(key.rpartition(".")[2], value)}
        own = {key: _complete(value, present.get(key), f"{prefix}{key}.") for key, value in recorded.items()}
        return {**later, **taken, **own}
    if isinstance(recorded, list) and isinstance(present, list) and len(recorded) == len(present):
        return [_complete(before, now, prefix) for before, now in zip(recorded, present, strict=True)]
    return recorded


def _is_taken(name: str, value: Any) -> bool:
    """Whether a record that lacks this key gets the present value."""
    if name not in ADOPTED:
        return name.startswith(SUGGESTION)
    allowed = ADOPTED[name]
    return allowed is None or value in allowed


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
