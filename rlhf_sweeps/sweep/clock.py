"""How long a sweep has run, and how long it will."""

import time
from collections.abc import Sequence
from statistics import fmean

from rlhf_sweeps.sweep.plan import Plan
from rlhf_sweeps.sweep.trials import COMPLETE, FAILED, PRUNED, Trial


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

    def of_tests(self, trials: Sequence[Trial], num_left: int | None = None) -> float:
        """What the runs on the test seeds will take, by the trials that ran to their end.

        Args:
            num_left: trials that have not begun; None: enough for as many as are to be tested.
        """
        each = [trial.seconds / max(1, len(trial.by_seed)) for trial in trials if trial.state == COMPLETE]
        num_settings = self._plan.config.sweep.num_tested
        if num_left is not None:
            num_possible = num_left + sum(trial.state not in (PRUNED, FAILED) for trial in trials)
            num_settings = min(num_settings, num_possible)
        num_runs = len(self._plan.test_seeds) * num_settings
        return num_runs * fmean(each) / self._num_workers if each else 0.0

    def left(self, trials: Sequence[Trial], num_left: int | None) -> float | None:
        """Until the sweep's end, by the trials that have ended; None if nobody knows.

        Args:
            num_left: trials that have not begun; None: as many as the time allows.
        """
        ended = [trial.seconds for trial in trials if trial.has_ended]
        if num_left is None or not ended:
            return self.of_budget
        each = fmean(ended)
        running = sum(each - min(trial.seconds, each) for trial in trials if not trial.has_ended)
        left = (num_left * each + running) / self._num_workers + self.of_tests(trials, num_left)
        return left if self.of_budget is None else min(left, self.of_budget)
