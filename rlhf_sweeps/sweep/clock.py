"""How long a sweep has run, how long it will, and what there is still time for."""

import heapq
import math
import time
from collections.abc import Sequence
from statistics import fmean

from rlhf_sweeps.sweep.plan import Plan
from rlhf_sweeps.sweep.results import finalists
from rlhf_sweeps.sweep.study.trials import COMPLETE, RUNNING, Trial

# Runs on the test seeds may take so much longer than those that chose the setting.
SPARE = 1.1


class Clock:
    """The time of one sweep, over all its starts; in seconds.

    Args:
        before: for which earlier starts have run.
        num_workers: trials at a time.
    """

    def __init__(self, plan: Plan, before: float, num_workers: int) -> None:
        self._plan, self._before, self._num_workers = plan, before, num_workers
        self._begun = time.monotonic()

    @property
    def seconds(self) -> float:
        """For which the sweep has run."""
        return self._before + time.monotonic() - self._begun

    @property
    def of_budget(self) -> float | None:
        """What is left of sweep.budget_hours; None without one."""
        hours = self._plan.config.sweep.budget_hours
        return None if hours is None else hours * 3600 - self.seconds

    def of_run(self, trials: Sequence[Trial]) -> float:
        """A whole run, by the trials that ran to their end; 0 as long as there is none."""
        each = [_seconds_of_run(trial) for trial in trials if trial.state == COMPLETE and _counts(trial)]
        return fmean(each) if each else 0.0

    def of_tests(self, trials: Sequence[Trial], num_more: int = 0) -> float:
        """What the runs on the test seeds will take: as long as those that chose their settings.

        Args:
            num_more: trials that may be complete by then, beside those that are now.
        """
        wanted = self._plan.num_finalists
        each = [_seconds_of_run(trial) or self.of_run(trials) for trial in self._finalists(trials)]
        each += [self.of_run(trials)] * min(num_more, wanted - len(each))
        busy = [0.0] * self._num_workers
        for seconds in each:
            for _ in self._plan.test_seeds:
                heapq.heapreplace(busy, busy[0] + seconds)
        return max(busy)

    def _finalists(self, trials: Sequence[Trial]) -> list[Trial]:
        return finalists(trials, self._plan.directions, self._plan.num_finalists, self._plan.has_own_scales)

    def share_in_time(self, trials: Sequence[Trial]) -> float:
        """The share of a run that may begin at most, so that the runs on the test seeds still come to their end.

        Below 0 where nothing may; infinite without a budget, and as long as nobody knows how long a run takes.
        """
        if (left := self.of_budget) is None:
            return math.inf
        run, tests = self.of_run(trials), self.of_tests(trials, 1 + sum(trial.state == RUNNING for trial in trials))
        if not tests:
            return math.inf if left > 0 else -math.inf
        return (left / SPARE - tests) / run

    def is_time_for_tests(self, trials: Sequence[Trial]) -> bool:
        """Whether what is left of the budget is only enough for the runs on the test seeds."""
        return self._is_only(SPARE, trials)

    def is_too_late(self, trials: Sequence[Trial]) -> bool:
        """Whether they must begin now: what has not stopped for them has used up half of the time to spare."""
        return self._is_only((1 + SPARE) / 2, trials)

    def _is_only(self, factor: float, trials: Sequence[Trial]) -> bool:
        left, tests = self.of_budget, self.of_tests(trials)
        return left is not None and tests > 0 and left <= factor * tests

    def left(self, trials: Sequence[Trial], num_left: int | None) -> float | None:
        """Until the sweep's end, by the trials that have ended; None if nobody knows.

        Args:
            num_left: trials that have not begun; None: as many as the time allows.
        """
        ended = [_seconds(trial) for trial in trials if trial.has_ended and _counts(trial)]
        if num_left is None or not ended:
            return self.of_budget
        each = fmean(ended)
        begun = [trial for trial in trials if not trial.has_ended]
        running = sum(each - min(_seconds(trial), each) for trial in begun)
        left = (num_left * each + running) / self._num_workers + self.of_tests(trials, num_left + len(begun))
        return left if self.of_budget is None else min(left, self.of_budget)


def _counts(trial: Trial) -> bool:
    """Whether a trial tells how long those to come will take."""
    return trial.has_run and trial.is_compared


def _seconds_of_run(trial: Trial) -> float:
    return _seconds(trial) / max(1, len(trial.by_seed))


def _seconds(trial: Trial) -> float:
    """For which a trial has had a worker; of an earlier start's, at least the training is known."""
    return max(trial.seconds, trial.worker_seconds)
