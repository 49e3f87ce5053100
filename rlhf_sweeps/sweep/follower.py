"""Read the updates that a running trial has recorded, and decide whether it continues, waits, or ends.

A trial does not know the study. A decision depends on its recorded updates in their order, not on the time at which
they are read.
"""

import time
from collections.abc import Callable, Sequence

from rlhf_sweeps.sweep.active import FINAL, NO_METRIC, OVER_BUDGET, PRUNE, Active
from rlhf_sweeps.sweep.configurations import Configurations
from rlhf_sweeps.sweep.plan import Plan
from rlhf_sweeps.sweep.pruning.pruning_state import PruningState, is_over_budget_for_good
from rlhf_sweeps.sweep.study.study import Study
from rlhf_sweeps.sweep.study.trials import WAITING, SweepTrial
from rlhf_sweeps.verdicts.objective import compute_objectives, find_missing_metrics, is_evaluated


class Follower:
    """Follows runs by their records.

    Args:
        may_wait: whether another run would get the worker if this one waits.
    """

    def __init__(
        self,
        plan: Plan,
        study: Study,
        pruning: PruningState,
        configurations: Configurations,
        may_wait: Callable[[Active], bool],
    ) -> None:
        self._plan, self._study, self._pruning = plan, study, pruning
        self._configurations, self._may_wait = configurations, may_wait

    def follow(self, active: Active) -> None:
        """Read the run's new updates, up to the one that decides about it."""
        trial = active.trial
        for row in active.run.new_metrics():
            active.seen = time.monotonic()
            if active.verdict in FINAL or (active.rows and row["update"] <= active.rows[-1]["update"]):
                continue
            active.rows.append(row)
            if active.index is None or active.is_moot:
                continue
            trial.going[active.seed] = row["update"]
            trial.update = min(trial.going.values())
            trial.seconds += row.get("perf/update_seconds", 0.0)
            trial.score, trial.kl = row.get("eval/score", trial.score), row.get("eval/kl", trial.kl)
            objective = self._configurations[trial.configuration].objective
            if is_evaluated(row) and find_missing_metrics(active.rows, objective):
                active.give_up(NO_METRIC)
            elif all(metric in row for metric in objective.metrics):
                self._decide(active)

    def report(self, trial: SweepTrial, step: int, values: Sequence[float]) -> None:
        """Report a trial's objectives at a step. A report from before a kill is not replaced."""
        value = values[self._plan.pruned_by]
        if self._pruning.report(trial.number, step, value):
            self._study.report(trial.number, step, value)

    def _decide(self, active: Active) -> None:
        """Decide after an evaluation whether the run continues."""
        trial = active.trial
        objective = self._configurations[trial.configuration].objective
        if active.index == 0 and (values := compute_objectives(active.rows, objective)) is not None:
            self.report(trial, active.update, values)
            # A continued run shows its old updates again; the decisions about them are known, except about the last.
            is_new = active.decided < active.update == max(self._pruning.reports(trial.number))
            if is_new and active.update < trial.num_updates:
                if self._pruning.should_prune(trial.number):
                    active.give_up(PRUNE)
                    return
                if self._pruning.should_wait(trial.number) and self._may_wait(active):
                    active.give_up(WAITING)
                    return
        if is_over_budget_for_good(active.rows, objective, self._plan.config.sweep.kl_patience):
            active.give_up(OVER_BUDGET)
