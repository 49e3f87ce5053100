"""How long a sweep has run, how long it will run, and which runs still fit into its budget."""

import heapq
import math
import time
from collections.abc import Sequence
from statistics import fmean

from rlhf_sweeps.sweep.plan import Plan
from rlhf_sweeps.sweep.results import choose_finalists
from rlhf_sweeps.sweep.study.trials import COMPLETE, RUNNING, SweepTrial

# Reserve for runs on the test seeds: they may take so many times as long as those that chose the setting; chosen.
SPARE = 1.1


class Clock:
    """The time of one sweep over all of its starts, in seconds.

    Args:
        before: the time of all earlier starts.
        num_workers: number of trials that run at a time.
    """

    def __init__(self, plan: Plan, before: float, num_workers: int) -> None:
        self._plan, self._before, self._num_workers = plan, before, num_workers
        self._begun = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long the sweep has run."""
        return self._before + time.monotonic() - self._begun

    @property
    def of_budget(self) -> float | None:
        """The time that is left of sweep.budget_hours; None without a budget."""
        hours = self._plan.config.sweep.budget_hours
        return None if hours is None else hours * 3600 - self.seconds

    def of_run(self, trials: Sequence[SweepTrial]) -> float:
        """The mean time of a whole run over the complete trials; 0 as long as there is none."""
        each = [_seconds_of_run(trial) for trial in trials if trial.state == COMPLETE and _is_predictive(trial)]
        return fmean(each) if each else 0.0

    def of_tests(self, trials: Sequence[SweepTrial], num_more: int = 0) -> float:
        """The time of the runs on the test seeds, if each takes as long as the runs that chose its setting.

        Args:
            num_more: number of further trials that may be complete by then.
        """
        wanted = self._plan.num_finalists
        each = [_seconds_of_run(trial) or self.of_run(trials) for trial in self._finalists(trials)]
        each += [self.of_run(trials)] * min(num_more, wanted - len(each))
        busy = [0.0] * self._num_workers
        for seconds in each:
            for _ in self._plan.test_seeds:
                heapq.heapreplace(busy, busy[0] + seconds)
        return max(busy)

    def _finalists(self, trials: Sequence[SweepTrial]) -> list[SweepTrial]:
        return choose_finalists(trials, self._plan.directions, self._plan.num_finalists, self._plan.has_own_scales)

    def share_in_time(self, trials: Sequence[SweepTrial]) -> float:
        """The largest share of a run that may begin, so that there is time for the runs on the test seeds.

        It is below 0 if nothing may begin, and infinite without a budget or if the time of a run is unknown.
        """
        if (left := self.of_budget) is None:
            return math.inf
        run, tests = self.of_run(trials), self.of_tests(trials, 1 + sum(trial.state == RUNNING for trial in trials))
        if not tests:
            return math.inf if left > 0 else -math.inf
        return (left / SPARE - tests) / run

    def is_time_for_tests(self, trials: Sequence[SweepTrial]) -> bool:
        """Whether the time that is left is only enough for the runs on the test seeds."""
        return self._is_left_only_for_tests(SPARE, trials)

    def is_too_late(self, trials: Sequence[SweepTrial]) -> bool:
        """Whether the tests must begin now: runs that have not stopped for them have used half of the reserve."""
        return self._is_left_only_for_tests((1 + SPARE) / 2, trials)

    def _is_left_only_for_tests(self, factor: float, trials: Sequence[SweepTrial]) -> bool:
        left, tests = self.of_budget, self.of_tests(trials)
        return left is not None and tests > 0 and left <= factor * tests

    def left(self, trials: Sequence[SweepTrial], num_left: int | None) -> float | None:
        """The time until the sweep's end, estimated from the trials that have ended; None if unknown.

        Args:
            num_left: number of trials that have not begun; None: as many as the time allows.
        """
        ended = [_seconds(trial) for trial in trials if trial.has_ended and _is_predictive(trial)]
        if num_left is None or not ended:
            return self.of_budget
        each = fmean(ended)
        begun = [trial for trial in trials if not trial.has_ended]
        running = sum(each - min(_seconds(trial), each) for trial in begun)
        left = (num_left * each + running) / self._num_workers + self.of_tests(trials, num_left + len(begun))
        return left if self.of_budget is None else min(left, self.of_budget)


def _is_predictive(trial: SweepTrial) -> bool:
    """Whether the time of a trial can predict the time of the next ones."""
    return trial.has_run and trial.is_compared


def _seconds_of_run(trial: SweepTrial) -> float:
    return _seconds(trial) / max(1, len(trial.by_seed))


def _seconds(trial: SweepTrial) -> float:
    """How long a trial had a worker; for trials of earlier starts at least the time of training is known."""
    return max(trial.seconds, trial.worker_seconds)
