"""What a sweep was begun to do, as sweep.json has it: the sweeper writes it there, all others read it here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlhf_sweeps.record.axes import Axis, as_data, read_axes
from rlhf_sweeps.record.commands import go_on


@dataclass(frozen=True)
class SweepPlan:
    """The plan of a sweep. What a damaged record does not tell is empty, or None.

    Attributes:
        axes: what is swept, in the order typed, those that move along with another one right after it.
        metrics: what each objective is.
        directions: maximize or minimize, for each objective.
        seeds: a trial's value is the mean over these; it has a run for each.
        test_seeds: of the runs that no setting is chosen by, which lie in test/.
        num_trials: in all; None: as many as the time allows, or unknown.
        num_tests: runs on test seeds at most; fewer where fewer settings are complete.
        num_workers: trials at a time; None: as many as the machine has room for, or unknown.
        is_comparison: whether reward models are compared; each has an objective of its own, unless a judge gives it.
        arguments: words of the command line that goes on with it, but for the folder; None where they are unknown.
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
        """What is swept, without plus signs."""
        return [axis.key for axis in self.axes]

    def most_tests(self, num_complete: int) -> int:
        """Runs on test seeds, where so many trials are complete."""
        return min(self.num_tests, len(self.test_seeds) * num_complete)

    def command(self, folder: Path) -> str | None:
        """What goes on with the sweep in a folder; None where that is unknown."""
        return None if self.arguments is None else go_on(self.arguments, "hydra.sweep.dir", folder)

    def as_data(self) -> dict[str, Any]:
        """As the record keeps it; `read_plan` reads it."""
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
    """The plan in what sweep.json holds; of what is damaged, what can be read."""
    metrics, directions = _texts(start.get("metrics")) or [], _texts(start.get("directions")) or []
    is_sound = len(directions) == len(metrics) and set(directions) <= {"maximize", "minimize"}
    return SweepPlan(
        read_axes(start.get("axes")),
        metrics if is_sound else [],
        directions if is_sound else [],
        _numbers(start.get("seeds")),
        _numbers(start.get("test_seeds")),
        _count(start.get("num_trials")),
        _count(start.get("num_tests")) or 0,
        _count(start.get("num_workers")) or None,
        start.get("is_comparison") is True,
        _texts(start.get("arguments")),
    )


def unread(start: Mapping[str, Any]) -> list[str]:
    """What sweep.json holds of a plan that `read_plan` does not give back, by its keys: no sweeper writes it so."""
    plan = read_plan(start).as_data()
    return [key for key, content in plan.items() if key in start and start[key] != content]


def is_compared(start: Mapping[str, Any], notes: Mapping[str, Any]) -> bool:
    """Whether a trial can be compared with the newest ones: no more than the search space has changed since it began.

    Args:
        start: what sweep.json holds.
        notes: the trial's in the study (its user attributes).
    """
    compared = _numbers(start.get("compared"))
    return not compared or notes.get("configuration", 0) in compared


def _texts(content: Any) -> list[str] | None:
    return [str(item) for item in content] if isinstance(content, list) else None


def _numbers(content: Any) -> list[int]:
    numbers = [_number(item) for item in content] if isinstance(content, list) else []
    return [number for number in numbers if number is not None]


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _count(value: Any) -> int | None:
    number = _number(value)
    return None if number is None or number < 0 else number
