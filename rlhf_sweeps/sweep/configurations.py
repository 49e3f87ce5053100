"""What a sweep was configured as from start to start, where changes were accepted: which trials can be compared.

A trial keeps the configuration that it was begun under. One of an earlier configuration is gone on with, but no result
of it stands for the present one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from rlhf_sweeps.config import ObjectiveConfig
from rlhf_sweeps.preflight import differences
from rlhf_sweeps.sweep.axes import as_text
from rlhf_sweeps.sweep.trials import Trial

# space, config (flat), directions, seeds and overrides that are not swept (fixed), as sweep.json has them.
Record = Mapping[str, Any]
KEYS = ("space", "config", "directions", "seeds")


@dataclass(frozen=True)
class Configuration:
    """What all trials that were begun under it share.

    Attributes:
        seeds: a trial's value is the mean over these.
        fixed: overrides that are not swept.
        settings: key -> value of what is swept now and was not then.
        objective: what a run is worth.
        is_current: whether new trials are begun under it.
        is_compared: whether its trials can be compared with new ones: at most the search space differs.
    """

    seeds: Sequence[int]
    fixed: Sequence[str]
    settings: Mapping[str, Any]
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
                record.get("fixed", new["fixed"]),
                _fixed_then(record, new),
                _objective(record["config"]),
                index == self.current,
                not _unlike(record, new),
            )
            for index, record in enumerate(self.records)
        ]

    def complete(self, trial: Trial) -> None:
        """Let a trial that was begun under an earlier configuration say what was fixed then."""
        if not (own := self._all[trial.configuration]).is_current:
            then = {key: as_text(value) for key, value in own.settings.items()}
            trial.settings, trial.fixed = {**then, **trial.settings}, own.fixed

    @property
    def compared(self) -> list[int]:
        """The indices of those whose trials can be compared with new ones."""
        return [index for index, one in enumerate(self._all) if one.is_compared]

    def __getitem__(self, index: int) -> Configuration:
        return self._all[index]


def changes(old: Record, new: Record) -> str:
    """What differs between two configurations, as text; empty where nothing does that matters."""
    return "; ".join(filter(None, [differences(old["space"], new["space"]), *_unlike(old, new)]))


def _unlike(old: Record, new: Record) -> list[str]:
    """What keeps the trials of two configurations from being compared."""
    # What is swept has no one value, and what a swept group brings along differs from setting to setting.
    swept = tuple(f"{key.lstrip('+')}." for key in {**old["space"], **new["space"]})
    shared = [{key: x for key, x in one["config"].items() if not f"{key}.".startswith(swept)} for one in (old, new)]
    texts = [differences(*shared)]
    texts += [f"{key} was {old[key]}, is {new[key]}" for key in ("directions", "seeds") if old[key] != new[key]]
    return [text for text in texts if text]


def _fixed_then(old: Record, new: Record) -> dict[str, Any]:
    keys = [key for key in new["space"] if key not in old["space"]]
    return {key: old["config"][key.lstrip("+")] for key in keys if key.lstrip("+") in old["config"]}


def _objective(config: Mapping[str, Any]) -> ObjectiveConfig:
    return ObjectiveConfig(**{field.name: config[f"objective.{field.name}"] for field in fields(ObjectiveConfig)})
