"""The plan of a sweep in sweep.json: the sweeper writes it, and all other code reads it through this file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlhf_sweeps.record.axes import Axis, as_data, read_axes
from rlhf_sweeps.record.commands import write_changed_sweep, write_continuation, write_override


@dataclass(frozen=True)
class SweepPlan:
    """The plan of a sweep. Parts that a damaged record does not tell are empty, or None.

    Attributes:
        axes: the swept keys, in the order typed; tied keys follow the key that they are tied to.
        metrics: the metric of each objective.
        directions: maximize or minimize, for each objective.
        seeds: a trial has one run for each of these; its value is the mean over them.
        test_seeds: the seeds of the runs in test/, by which no setting is chosen.
        num_trials: in total; None: as many as the time allows, or unknown.
        num_tests: runs on test seeds at most; there are fewer if fewer settings are complete.
        num_workers: trials at a time; None: as many as the machine has room for, or unknown.
        is_comparison: whether reward models are compared: each is its own objective, unless the objective is a judge's.
        arguments: the words of the command line that continues the sweep, without the folder; None if unknown.
    """

    axes: Sequence[Axis] = ()
    metrics: Sequence[str] = ()
    directions: Sequence[str] = ()
    seeds: Sequence[int] = ()
    test_seeds: Sequence[int] = ()
    num_trials: int | None = None
    num_tests: int = 0
    num_workers: int | None = None
    is_comparison: bool = False
    arguments: Sequence[str] | None = None

    @property
    def keys(self) -> list[str]:
        """The swept keys, without plus signs."""
        return [axis.key for axis in self.axes]

    def most_tests(self, num_complete: int) -> int:
        """The largest number of runs on test seeds if so many trials are complete."""
        return min(self.num_tests, len(self.test_seeds) * num_complete)

    def command(self, folder: Path) -> str | None:
        """The command that continues the sweep in a folder; None if it is unknown."""
        return None if self.arguments is None else write_continuation(self.arguments, "hydra.sweep.dir", folder)

    def changed_command(self, *changes: str, folder: Path | None = None) -> str:
        """The command of a sweep like this one with other overrides; empty if its words are unknown.

        Args:
            changes: overrides, not quoted for a shell.
            folder: in which this sweep is continued; None: a new sweep.
        """
        if self.arguments is None:
            return ""
        if folder is not None:
            return write_changed_sweep(self.arguments, [*changes, write_override("hydra.sweep.dir", str(folder))])
        # In a storage that several sweeps share, the name of this one is taken.
        words = [word for word in self.arguments if not word.lstrip("+").startswith("hydra.sweeper.study_name=")]
        return write_changed_sweep(words, changes)

    def as_data(self) -> dict[str, Any]:
        """The plan as sweep.json holds it; `read_plan` reads it."""
        return {
            "axes": as_data(self.axes),
            "metrics": list(self.metrics),
            "directions": list(self.directions),
            "seeds": list(self.seeds),
            "test_seeds": list(self.test_seeds),
            "num_trials": self.num_trials,
            "num_tests": self.num_tests,
            "num_workers": self.num_workers,
            "is_comparison": self.is_comparison,
            "arguments": None if self.arguments is None else list(self.arguments),
        }


def read_plan(start: Mapping[str, Any]) -> SweepPlan:
    """The plan in the content of sweep.json; a damaged plan is read as far as possible."""
    metrics, directions = _as_texts(start.get("metrics")) or [], _as_texts(start.get("directions")) or []
    is_sound = len(directions) == len(metrics) and set(directions) <= {"maximize", "minimize"}
    return SweepPlan(
        read_axes(start.get("axes")),
        metrics if is_sound else [],
        directions if is_sound else [],
        _as_numbers(start.get("seeds")),
        _as_numbers(start.get("test_seeds")),
        _as_count(start.get("num_trials")),
        _as_count(start.get("num_tests")) or 0,
        _as_count(start.get("num_workers")) or None,
        start.get("is_comparison") is True,
        _as_texts(start.get("arguments")),
    )


def find_unread(start: Mapping[str, Any]) -> list[str]:
    """The keys of sweep.json whose values `read_plan` cannot read: they are damaged."""
    plan = read_plan(start).as_data()
    return [key for key, content in plan.items() if key in start and start[key] != content]


def is_compared(start: Mapping[str, Any], notes: Mapping[str, Any]) -> bool:
    """Whether a trial can be compared with the newest ones: since it began, at most the search space has changed.

    Args:
        start: the content of sweep.json.
        notes: the trial's user attributes in the study.
    """
    compared = _as_numbers(start.get("compared"))
    return not compared or notes.get("configuration", 0) in compared


def _as_texts(content: Any) -> list[str] | None:
    return [str(item) for item in content] if isinstance(content, list) else None


def _as_numbers(content: Any) -> list[int]:
    numbers = [_as_number(item) for item in content] if isinstance(content, list) else []
    return [number for number in numbers if number is not None]


def _as_number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _as_count(value: Any) -> int | None:
    number = _as_number(value)
    return None if number is None or number < 0 else number
