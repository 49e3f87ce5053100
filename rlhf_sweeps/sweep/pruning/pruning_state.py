"""The reports of all trials so far, and the pruner's decisions by them: which running trials end or wait."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rlhf_sweeps.config.schema import ObjectiveConfig
from rlhf_sweeps.sweep.pruning.curves import ObjectiveCurve, Pruner
from rlhf_sweeps.sweep.pruning.halving import Asha
from rlhf_sweeps.verdicts.objective import Row, is_over_budget, read_kl, select_measured_updates

WHOLE = 1.0  # the share of a run that is left before a new trial


@dataclass
class _TrialReports:
    """The reports of a trial; see `PruningState.add_trial`."""

    num_steps: int | None
    group: object
    reports: dict[float, float] = field(default_factory=dict)
    by_seed: dict[int, float] = field(default_factory=dict)
    # Its curve as a peer, by the updates of the run in question; None without a report. Cleared at each new report.
    curves: dict[int, ObjectiveCurve | None] = field(default_factory=dict)


class PruningState:
    """Holds the reports of every trial, signed so that higher is better, and asks the pruner about them.

    Trials are compared at the same share of their runs, whatever their numbers of updates, and only within a group.
    Trials without a report are not compared.

    Args:
        sign: 1 if the objective is maximized, -1 if it is minimized.
    """

    def __init__(self, pruner: Pruner, sign: int = 1) -> None:
        self._pruner, self._sign = pruner, sign
        self._trials: dict[int, _TrialReports] = {}

    def add_trial(
        self, number: int, reports: Mapping[int, float], num_steps: int | None = None, group: object = None
    ) -> None:
        """Add a trial.

        Args:
            reports: update -> the recorded objective if the trial had ended there.
            num_steps: updates of each of its runs; None: unknown yet, taken to be those of the trial in question.
            group: only trials of the same group are compared.
        """
        signed: dict[float, float] = {step: self._sign * reports[step] for step in sorted(reports)}
        self._trials[number] = _TrialReports(num_steps, group, signed)

    def measure(self, number: int, num_steps: int) -> bool:
        """Set the number of updates of a trial's runs; returns whether it has changed."""
        trial = self._trials[number]
        is_new = trial.num_steps != num_steps
        trial.num_steps = num_steps
        trial.curves.clear()
        return is_new

    def report(self, number: int, step: int, value: float) -> bool:
        """Add the recorded objective of a trial at a step; returns False if the step already has a report."""
        trial = self._trials[number]
        if step in trial.reports:
            return False
        trial.reports[step] = self._sign * value
        trial.curves.clear()
        return True

    def reports(self, number: int) -> dict[int, float]:
        """A trial's reports with the recorded sign."""
        return {int(step): self._sign * value for step, value in self._trials[number].reports.items()}

    def end_seeds(self, number: int, by_seed: Mapping[int, float]) -> None:
        """Set the recorded objectives of the seeds that a trial has finished."""
        self._trials[number].by_seed = {seed: self._sign * value for seed, value in by_seed.items()}
        self._trials[number].curves.clear()

    def newest(self, number: int) -> float | None:
        """A trial's last finite report, higher is better; None if it has none."""
        values = [value for value in self._trials[number].reports.values() if math.isfinite(value)]
        return values[-1] if values else None

    def progress(self, number: int) -> tuple[float, float]:
        """The share of a run up to a trial's last report, and the report; both 0 without a report."""
        trial = self._trials[number]
        step = max(trial.reports, default=0)
        return (step / trial.num_steps if trial.num_steps else 0.0), trial.reports.get(step, 0.0)

    def remaining(self, number: int, index: int) -> float:
        """The share of a trial's run on the seed of this index that is left."""
        done, _ = self.progress(number)
        return WHOLE - min(max(done - index, 0.0), WHOLE)

    def should_prune(self, number: int) -> bool:
        """Whether the pruner ends a trial after its newest report."""
        curve, peers = self._make_curve(number), self._list_peers(number)
        return self._pruner.should_prune(curve, peers, self._find_num_steps(number))

    def should_wait(self, number: int) -> bool:
        """Whether a trial should wait while another gets its worker."""
        rule = self._pruner
        if not isinstance(rule, Asha):
            return False
        return rule.should_wait(self._make_curve(number), self._list_peers(number), self._find_num_steps(number))

    def may_resume(self, number: int) -> bool:
        """Whether a waiting trial is now one of the best."""
        rule = self._pruner
        return isinstance(rule, Asha) and rule.may_resume(self._make_curve(number), self._list_peers(number))

    def _find_num_steps(self, number: int) -> int:
        num_steps = self._trials[number].num_steps
        assert num_steps is not None  # known for every trial that is in question
        return num_steps

    def _make_curve(self, number: int) -> ObjectiveCurve:
        trial = self._trials[number]
        return ObjectiveCurve(number, trial.reports, trial.by_seed, self._sign)

    def _list_peers(self, number: int) -> list[ObjectiveCurve]:
        """The curves of all other trials of the group with a report, their steps scaled to those of the trial."""
        group, num_steps = self._trials[number].group, self._find_num_steps(number)
        others = (peer for peer, trial in self._trials.items() if peer != number and trial.group == group)
        return [curve for peer in others if (curve := self._make_peer(peer, num_steps)) is not None]

    def _make_peer(self, number: int, num_steps: int) -> ObjectiveCurve | None:
        """A trial's curve, scaled to a run with `num_steps` updates, without reports that are not finite."""
        trial = self._trials[number]
        if num_steps not in trial.curves:
            own = trial.num_steps or num_steps
            values = {
                step if own == num_steps else step * num_steps / own: value
                for step, value in trial.reports.items()
                if math.isfinite(value)
            }
            trial.curves[num_steps] = ObjectiveCurve(number, values, trial.by_seed, self._sign) if values else None
        return trial.curves[num_steps]


def is_over_budget_for_good(rows: Sequence[Row], config: ObjectiveConfig, patience: int | None) -> bool:
    """Whether the last `patience` evaluations were all above the KL budget, and the KL did not fall over them."""
    if patience is None:
        return False
    newest = select_measured_updates(rows, config)[-patience:]
    kls = [read_kl(row) for row in newest]
    return len(newest) == patience and all(is_over_budget(row, config) for row in newest) and kls[-1] >= kls[0]
