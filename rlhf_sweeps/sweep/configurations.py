"""The configurations of a sweep over its starts, where changes were accepted: which trials can be compared.

A trial keeps the configuration of the start in which it began. A trial of an earlier configuration is continued, but
its result does not replace a result under the present one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from rlhf_sweeps.config.differences import complete_settings, describe_changed_settings, describe_differences
from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.schema import ObjectiveConfig
from rlhf_sweeps.record import Axis, Sweep, describe_axes, list_runs, read_axes

# The configuration of a sweep in sweep.json: axes, config (flat), directions, seeds, and `fixed`, the overrides that
# are not swept. Records of earlier versions have no `fixed`.
Record = Mapping[str, Any]
KEYS = ("axes", "config", "directions", "seeds")
_OBJECTIVE = "objective."


@dataclass(frozen=True)
class Configuration:
    """The settings that all trials of a configuration share.

    Attributes:
        seeds: a trial's value is the mean over these.
        objective: defines the objectives of a run.
        is_current: whether new trials begin under it.
        is_compared: whether its trials can be compared with new ones: at most the searched values differ.
    """

    seeds: Sequence[int]
    objective: ObjectiveConfig
    is_current: bool
    is_compared: bool


class Configurations:
    """All configurations of a sweep by index, oldest first.

    Args:
        records: those of earlier starts.
        new: that of this start.

    Attributes:
        records: those of earlier starts, and the new one if it differs from all of them.
        current: the index of the new one.
    """

    def __init__(self, records: Sequence[Record], new: Record) -> None:
        same = [index for index, record in enumerate(records) if not describe_changes(record, new)]
        self.records = [*records] if same else [*records, new]
        self.current = same[0] if same else len(records)
        self._all = [
            Configuration(
                record["seeds"],
                _objective(record["config"]),
                index == self.current,
                _are_alike(record, new) and not _list_differences(record, new),
            )
            for index, record in enumerate(self.records)
        ]

    @property
    def compared(self) -> list[int]:
        """The indices of the configurations whose trials can be compared with new ones."""
        return [index for index, configuration in enumerate(self._all) if configuration.is_compared]

    def __getitem__(self, index: int) -> Configuration:
        return self._all[index]


def read_start(sweep: Sweep) -> dict[str, Any] | None:
    """Read the beginning of the sweep's record; None in a new folder.

    Raises:
        ConfigError: if it is missing or damaged although there are runs.
    """
    start = sweep.start()
    if start is not None and isinstance(start.get("study_name"), str) and isinstance(start.get("id"), str):
        records = start.get("configurations") or [start]
        if _is_sound(start) and isinstance(records, list) and all(map(_is_sound, records)):
            return start
    if start is not None or list_runs(sweep):
        raise ConfigError(
            f"hydra.sweep.dir={sweep.folder}: {sweep.start_file.name} is missing or damaged, and no other file names "
            "the sweep of its runs; restore it, or choose another folder"
        )
    return None


def _is_sound(record: Any) -> bool:
    """Whether a configuration has all entries that are needed to continue its trials."""
    kinds = {"axes": list, "config": dict, "directions": list, "seeds": list}
    if not isinstance(record, dict) or not all(isinstance(record.get(key), kind) for key, kind in kinds.items()):
        return False
    return _list_objective_keys() <= _complete_objective(record["config"]).keys()


def describe_changes(old: Record, new: Record) -> str:
    """The relevant differences between two configurations, as text; empty if there are none."""
    axes = [read_axes(record["axes"]) for record in (old, new)]
    if _sweeps_seed(axes[0]) and not _sweeps_seed(axes[1]):
        return "begun by a version that had a trial for each seed; now each setting is averaged over its seeds"
    return "; ".join(filter(None, [describe_differences(*map(describe_axes, axes)), *_list_differences(old, new)]))


def _sweeps_seed(axes: Sequence[Axis]) -> bool:
    """Whether each seed was a setting of its own, as in earlier versions."""
    return any(axis.is_seed for axis in axes)


def _list_differences(old: Record, new: Record) -> list[str]:
    """The differences because of which the trials of two configurations cannot be compared."""
    # Swept keys, and keys that a swept group sets, differ from setting to setting anyway.
    swept = tuple(f"{axis.key}." for record in (old, new) for axis in read_axes(record["axes"]) if axis.tied_to is None)
    flat = [record["config"].items() for record in (old, new)]
    shared = [{key: x for key, x in items if not f"{key}.".startswith(swept)} for items in flat]
    texts = [describe_changed_settings(*shared)]
    texts += [f"{key} was {old[key]}, is {new[key]}" for key in ("directions", "seeds") if old[key] != new[key]]
    within = [[word for word in record.get("fixed", []) if _is_within(word, swept)] for record in (old, new)]
    if "fixed" in old and within[0] != within[1]:
        texts.append(f"overrides were {' '.join(within[0]) or 'none'}, are {' '.join(within[1]) or 'none'}")
    return [text for text in texts if text]


def _is_within(override: str, groups: tuple[str, ...]) -> bool:
    """Whether an override changes a key that a swept group sets."""
    return override.lstrip("+~").startswith(groups)


def _are_alike(old: Record, new: Record) -> bool:
    """Whether the same keys are swept. Old trials do not record the fixed value of a key that is swept only now."""
    shapes = [{axis.name: (axis.tied_to, axis.when) for axis in read_axes(record["axes"])} for record in (old, new)]
    return shapes[0] == shapes[1]


def _objective(config: Mapping[str, Any]) -> ObjectiveConfig:
    completed = _complete_objective(config)
    return ObjectiveConfig(**{key.removeprefix(_OBJECTIVE): completed[key] for key in _list_objective_keys()})


def _complete_objective(config: Mapping[str, Any]) -> dict[str, Any]:
    """A recorded config with the keys of the objective that its version did not have."""
    return complete_settings(config, dict.fromkeys(_list_objective_keys()))


def _list_objective_keys() -> set[str]:
    return {f"{_OBJECTIVE}{field.name}" for field in fields(ObjectiveConfig)}
