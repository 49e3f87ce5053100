"""How long a sweep still takes: expectations by hand."""

import os
from pathlib import Path
from typing import Any

import pytest
from helpers.records import write_sweep
from helpers.watched import POINTS, plan_of, see, swept_by, unfinish
from helpers.watched import from_here as from_here

from analysis.watch.remaining import estimate_seconds, estimate_span
from analysis.watch.rows import TrialRow
from rlhf_sweeps.record.files import claim


def busy(left: float, state: str = "running", seconds: float = 0.0) -> TrialRow:
    """A trial that has so many seconds left by its own speed."""
    return Timed("0", {}, [], state, still=left, took=seconds)


class Timed(TrialRow):
    """A row whose times are given."""

    def __init__(self, *arguments: Any, still: float | None, took: float) -> None:
        super().__init__(*arguments)
        self._still, self._took = still, took

    left = property(lambda self: self._still)  # type: ignore[assignment]
    seconds = property(lambda self: self._took)  # type: ignore[assignment]
    whole = property(lambda self: None if self._still is None else self._took + self._still)  # type: ignore[assignment]


def diverged(seconds: float) -> TrialRow:
    """A trial whose setting was at fault."""
    return Timed("0", {}, [], "failed", "diverged", still=None, took=seconds)


ENDED = [busy(0.0, "complete", 100.0), busy(0.0, "pruned", 20.0)]


@pytest.mark.parametrize(
    ("trials", "num_new", "workers", "expected"),
    [
        ([*ENDED, busy(270.0, seconds=30.0)], 0, 4, 270.0),  # nobody can help the last one
        ([*ENDED, busy(150.0, seconds=200.0), busy(200.0, seconds=200.0)], 0, 2, 200.0),
        ([*ENDED, busy(10.0, seconds=50.0), busy(30.0, seconds=30.0)], 3, 2, 10.0 + 2 * 60.0),  # 60 s each
        ([*ENDED, busy(10.0, seconds=50.0), busy(40.0, "waiting", 20.0)], 1, 1, 10.0 + 40.0 + 60.0),
        ([*ENDED, busy(10.0, seconds=50.0)], 4, 4, 10.0 + 60.0),  # three idle workers begin at once
        ([busy(90.0, seconds=10.0)], 2, 1, 90.0 + 2 * 100.0),  # nothing has ended: as long as the one that runs
        ([*ENDED, Timed("1", {}, [], "running", still=None, took=30.0)], 0, 2, 100.0 - 30.0),  # no speed yet
        ([Timed("1", {}, [], "running", still=None, took=30.0)], 0, 2, None),
        ([], 3, 2, None),
        # What failed for no fault of its setting tells nothing; what runs does.
        ([busy(0.0, "failed", 2.0), busy(270.0, seconds=30.0)], 10, 1, 270.0 + 10 * 300.0),
        ([diverged(20.0), busy(70.0, seconds=30.0)], 2, 1, 70.0 + 2 * 60.0),
    ],
)
def test_the_time_left_is_that_of_the_last_to_end(
    trials: list[TrialRow], num_new: int, workers: int, expected: float | None
) -> None:
    assert estimate_seconds(trials, [], num_new, 0, workers) == expected


def test_test_seeds_come_after_all_trials() -> None:
    trials = [*ENDED, busy(50.0, seconds=50.0)]
    assert estimate_seconds(trials, [], 0, 3, 2) == 50.0 + 2 * 100.0  # three of 100 s, two at a time
    assert estimate_seconds(ENDED, [busy(70.0)], 0, 1, 2) == 100.0
    # Two seeds a trial: a test run takes half of a trial.
    several = [Timed("0", {}, [], "complete", None, 2, still=0.0, took=100.0)]
    assert estimate_seconds(several, [], 0, 1, 1) == 50.0


def test_the_time_left_knows_of_tests_of_trials_to_come(tmp_path: Path) -> None:
    """Of 4 trials 2 are complete, one runs and one is to come; each of the best 3 is tested on 2 seeds, 15 s each."""
    sweep = write_sweep(tmp_path / "s", POINTS, study=False)
    plan_of(sweep.folder, num_workers=1, num_trials=4, test_seeds=[7, 8], num_tests=6)
    unfinish(sweep.run(1, None), 12)
    swept_by(sweep.folder, os.getpid())
    with claim(sweep.folder, ""):
        assert see(sweep.folder).left == pytest.approx(9 + 15 + 6 * 15)


def test_very_many_trials_take_no_time_to_count() -> None:
    assert estimate_span([], [], [1.0] * 1_000_000, 4) == 250_000.0
