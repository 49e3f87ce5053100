"""What a sweep was configured as from start to start, where changes were accepted: which trials can be compared.

A trial keeps the configuration that it was begun under. One of an earlier configuration is gone on with, but no result
of it stands for the present one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.schema import ObjectiveConfig
from rlhf_sweeps.preflight import differences
from rlhf_sweeps.record import Axis, Sweep, describe, read_axes, runs_of

# Of a sweep, as sweep.json has it: axes, config (flat), directions, seeds, and the overrides that are not swept
# (fixed). Records of earlier versions have no fixed.
Record = Mapping[str, Any]
KEYS = ("axes", "config", "directions", "seeds")


@dataclass(frozen=True)
class Configuration:
    """What all trials that were begun under it share.

    Attributes:
        seeds: a trial's value is the mean over these.
        objective: what a run is worth.
        is_current: whether new trials are begun under it.
        is_compared: whether its trials can be compared with new ones: at most the values differ that are searched.
    """

    seeds: Sequence[int]
    objective: ObjectiveConfig
    is_current: bool
    is_compared: bool


class Configurations:
    """All of them by index, oldest first.

    Args:
        records: of earlier starts.
        new: of this start.

    Attributes:
        records: these and, where it is another one, the new.
        current: the index of the new one.
    """

    def __init__(self, records: Sequence[Record], new: Record) -> None:
        same = [index for index, record in enumerate(records) if not changes(record, new)]
        self.records = [*records] if same else [*records, new]
        self.current = same[0] if same else len(records)
        self._all = [
            Configuration(
                record["seeds"],
                _objective(record["config"]),
                index == self.current,
                _are_alike(record, new) and not _unlike(record, new),
            )
            for index, record in enumerate(self.records)
        ]

    @property
    def compared(self) -> list[int]:
        """The indices of those whose trials can be compared with new ones."""
        return [index for index, one in enumerate(self._all) if one.is_compared]

    def __getitem__(self, index: int) -> Configuration:
        return self._all[index]


def read_start(sweep: Sweep) -> dict[str, Any] | None:
    """What the sweep was begun with; None in a new folder.

    Raises:
        ConfigError: if it is lost, although there are runs.
    """
    start = sweep.start()
    if start is not None and isinstance(start.get("study_name"), str) and isinstance(start.get("id"), str):
        records = start.get("configurations") or [start]
        if _is_sound(start) and isinstance(records, list) and all(map(_is_sound, records)):
            return start
    if start is not None or runs_of(sweep):
        raise ConfigError(
            f"hydra.sweep.dir={sweep.folder}: {sweep.start_file.name} is missing or damaged, and nothing else tells "
            "which sweep its runs are of; bring it back, or choose another folder"
        )
    return None


def _is_sound(record: Any) -> bool:
    """Whether a configuration says all that is needed to go on with its trials."""
    kinds = {"axes": list, "config": dict, "directions": list, "seeds": list}
    if not isinstance(record, dict) or not all(isinstance(record.get(key), kind) for key, kind in kinds.items()):
        return False
    return all(f"objective.{field.name}" in record["config"] for field in fields(ObjectiveConfig))


def changes(old: Record, new: Record) -> str:
    """What differs between two configurations, as text; empty where nothing does that matters."""
    axes = [read_axes(record["axes"]) for record in (old, new)]
    if _sweeps_seed(axes[0]) and not _sweeps_seed(axes[1]):
        return "begun by a version that had a trial for each seed; now each setting is averaged over its seeds"
    return "; ".join(filter(None, [differences(*map(describe, axes)), *_unlike(old, new)]))


def _sweeps_seed(axes: Sequence[Axis]) -> bool:
    """Whether each seed was a setting of its own, as in sweeps of earlier versions."""
    return any(axis.is_seed for axis in axes)


def _unlike(old: Record, new: Record) -> list[str]:
    """What keeps the trials of two configurations from being compared."""
    # What is swept has no one value, and what a swept group brings along differs from setting to setting.
    swept = tuple(f"{axis.key}." for record in (old, new) for axis in read_axes(record["axes"]) if axis.tied_to is None)
    shared = [{key: x for key, x in one["config"].items() if not f"{key}.".startswith(swept)} for one in (old, new)]
    texts = [differences(*shared)]
    texts += [f"{key} was {old[key]}, is {new[key]}" for key in ("directions", "seeds") if old[key] != new[key]]
    within = [[word for word in one.get("fixed", []) if _is_within(word, swept)] for one in (old, new)]
    if "fixed" in old and within[0] != within[1]:
        texts.append(f"overrides were {' '.join(within[0]) or 'none'}, are {' '.join(within[1]) or 'none'}")
    return [text for text in texts if text]


def _is_within(override: str, groups: tuple[str, ...]) -> bool:
    """Whether an override changes something that a swept group brings along."""
    return override.lstrip("+~").startswith(groups)


def _are_alike(old: Record, new: Record) -> bool:
    """Whether the same keys are swept. One that is swept now was fixed then, at a value that old trials do not tell."""
    shapes = [{axis.name: (axis.tied_to, axis.when) for axis in read_axes(record["axes"])} for record in (old, new)]
    return shapes[0] == shapes[1]


def _objective(config: Mapping[str, Any]) -> ObjectiveConfig:
    return ObjectiveConfig(**{field.name: config[f"objective.{field.name}"] for field in fields(ObjectiveConfig)})
