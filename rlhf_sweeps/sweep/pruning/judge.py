"""Which running trials end or wait, decided by the reports of all trials so far."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rlhf_sweeps.config.schema import ObjectiveConfig
from rlhf_sweeps.sweep.pruning.curves import Curve, Pruner
from rlhf_sweeps.sweep.pruning.halving import Asha
from rlhf_sweeps.verdicts.objective import Row, is_over_budget, measured

WHOLE = 1.0  # the share of a run that a new trial has before it


@dataclass
class _Known:
    """What is known of one trial; see `Judge.know`."""

    num_steps: int | None
    group: object
    reports: dict[float, float] = field(default_factory=dict)
    by_seed: dict[int, float] = field(default_factory=dict)
    # As a peer: updates of the run in question -> curve, None without a report. Made again when there is news.
    curves: dict[int, Curve | None] = field(default_factory=dict)


class Judge:
    """Holds every trial's reports, signed so that higher is better, and decides by them.

    Trials are compared at the same share of their runs, whatever their numbers of updates, and within a group only. One
    without a report takes no part.

    Args:
        sign: 1 where the objective is maximized, -1 where it is minimized.
    """

    def __init__(self, pruner: Pruner, sign: int = 1) -> None:
        self._pruner, self._sign = pruner, sign
        self._known: dict[int, _Known] = {}

    def know(
        self, number: int, reports: Mapping[int, float], num_steps: int | None = None, group: object = None
    ) -> None:
        """Take in a trial.

        Args:
            reports: update -> what the trial would have been worth if it had ended there, as recorded.
            num_steps: updates of one of its runs; None: not known yet, or as many as the trial in question has.
            group: trials of one group can be compared.
        """
        signed: dict[float, float] = {step: self._sign * reports[step] for step in sorted(reports)}
        self._known[number] = _Known(num_steps, group, signed)

    def measure(self, number: int, num_steps: int) -> bool:
        """Let it be known how many updates a trial's runs have; whether that is news."""
        known = self._known[number]
        is_new = known.num_steps != num_steps
        known.num_steps = num_steps
        known.curves.clear()
        return is_new

    def report(self, number: int, step: int, value: float) -> bool:
        """Add what a trial would have been worth, as recorded; False where that step's report stands already."""
        known = self._known[number]
        if step in known.reports:
            return False
        known.reports[step] = self._sign * value
        known.curves.clear()
        return True

    def reports(self, number: int) -> dict[int, float]:
        """A trial's reports as they were recorded."""
        return {int(step): self._sign * value for step, value in self._known[number].reports.items()}

    def end_seeds(self, number: int, by_seed: Mapping[int, float]) -> None:
        """Let it be known what the seeds that a trial has finished were worth, as recorded."""
        self._known[number].by_seed = {seed: self._sign * value for seed, value in by_seed.items()}
        self._known[number].curves.clear()

    def newest(self, number: int) -> float | None:
        """A trial's last report, higher being better; None if it has none that is a number."""
        values = [value for value in self._known[number].reports.values() if math.isfinite(value)]
        return values[-1] if values else None

    def progress(self, number: int) -> tuple[float, float]:
        """The share of its runs' updates up to a trial's last report, and what it was worth; 0 without one."""
        known = self._known[number]
        step = max(known.reports, default=0)
        return (step / known.num_steps if known.num_steps else 0.0), known.reports.get(step, 0.0)

    def rest(self, number: int, index: int) -> float:
        """The share of its run on the seed of this index that a trial still has before it."""
        done, _ = self.progress(number)
        return WHOLE - min(max(done - index, 0.0), WHOLE)

    def should_prune(self, number: int) -> bool:
        """Whether the pruner gives up a trial after its newest report."""
        return self._pruner.should_prune(self._curve(number), self._peers(number), self._num_steps(number))

    def should_wait(self, number: int) -> bool:
        """Whether a trial should give its worker to another for now."""
        rule = self._pruner
        if not isinstance(rule, Asha):
            return False
        return rule.should_wait(self._curve(number), self._peers(number), self._num_steps(number))

    def may_resume(self, number: int) -> bool:
        """Whether a trial that waits has become one of the best."""
        rule = self._pruner
        return isinstance(rule, Asha) and rule.may_resume(self._curve(number), self._peers(number))

    def _num_steps(self, number: int) -> int:
        num_steps = self._known[number].num_steps
        assert num_steps is not None  # of a trial that is asked about
        return num_steps

    def _curve(self, number: int) -> Curve:
        known = self._known[number]
        return Curve(number, known.reports, known.by_seed, self._sign)

    def _peers(self, number: int) -> list[Curve]:
        """All others of the group that have a report, their steps stretched to those of the trial."""
        group, num_steps = self._known[number].group, self._num_steps(number)
        others = (peer for peer, known in self._known.items() if peer != number and known.group == group)
        return [curve for peer in others if (curve := self._peer(peer, num_steps)) is not None]

    def _peer(self, number: int, num_steps: int) -> Curve | None:
        """A trial by the steps of a run of another length; reports that are no number tell nothing."""
        known = self._known[number]
        if num_steps not in known.curves:
            own = known.num_steps or num_steps
            values = {
                step if own == num_steps else step * num_steps / own: value
                for step, value in known.reports.items()
                if math.isfinite(value)
            }
            known.curves[num_steps] = Curve(number, values, known.by_seed, self._sign) if values else None
        return known.curves[num_steps]


def is_over_budget_for_good(rows: Sequence[Row], config: ObjectiveConfig, patience: int | None) -> bool:
    """Whether the last `patience` evaluations were all beyond the KL budget, and the KL is not on its way back."""
    if patience is None:
        return False
    newest = measured(rows, config)[-patience:]
    kls = [row.get("eval/kl", row["objective/kl"]) for row in newest]
    return len(newest) == patience and all(is_over_budget(row, config) for row in newest) and kls[-1] >= kls[0]
