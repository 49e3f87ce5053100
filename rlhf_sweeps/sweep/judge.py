"""Which running trials end or wait, decided by the reports of all trials so far."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rlhf_sweeps.config import ObjectiveConfig
from rlhf_sweeps.objective import Row, is_over_budget, measured
from rlhf_sweeps.sweep.curves import Curve, Pruner
from rlhf_sweeps.sweep.halving import Asha


@dataclass
class Judge:
    """Holds every trial's reports, signed so that higher is better.

    Attributes:
        reports: trial number -> step -> what the trial would have been worth if it had ended there.
        by_seed: trial number -> seed -> the value of a finished run.
    """

    pruner: Pruner
    reports: dict[int, dict[int, float]] = field(default_factory=dict)
    by_seed: dict[int, dict[int, float]] = field(default_factory=dict)

    def should_prune(self, number: int, num_steps: int) -> bool:
        """Whether the pruner gives up a trial after its newest report; a run has `num_steps` updates."""
        return self.pruner.should_prune(self._curve(number), self._peers(number), num_steps)

    def newest(self, number: int) -> float | None:
        """A trial's last report; None if it has none yet."""
        reports = self.reports[number]
        return reports[max(reports)] if reports else None

    def should_wait(self, number: int, num_steps: int) -> bool:
        """Whether a trial should give its worker to another for now."""
        rule = self.pruner
        return isinstance(rule, Asha) and rule.should_wait(self._curve(number), self._peers(number), num_steps)

    def may_resume(self, number: int) -> bool:
        """Whether a trial that waits has become one of the best."""
        rule = self.pruner
        return isinstance(rule, Asha) and rule.may_resume(self._curve(number), self._peers(number))

    def _peers(self, number: int) -> list[Curve]:
        return [self._curve(peer) for peer in self.reports if peer != number]

    def _curve(self, number: int) -> Curve:
        return Curve(number, self.reports[number], self.by_seed.get(number, {}))


def is_over_budget_for_good(rows: Sequence[Row], config: ObjectiveConfig, patience: int | None) -> bool:
    """Whether the last `patience` evaluations were all beyond the KL budget, and the KL is not on its way back."""
    if patience is None:
        return False
    newest = measured(rows, config)[-patience:]
    kls = [row.get("eval/kl", row["objective/kl"]) for row in newest]
    return len(newest) == patience and all(is_over_budget(row, config) for row in newest) and kls[-1] >= kls[0]
