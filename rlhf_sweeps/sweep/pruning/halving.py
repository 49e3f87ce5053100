"""Successive halving: at certain shares of a run (rungs), only the best trials continue."""

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from rlhf_sweeps.sweep.pruning.curves import ObjectiveCurve, argument, list_newest_values, list_values_at


@dataclass(frozen=True)
class Asha:
    """Asynchronous successive halving (Li et al., 2020): early in a run weak trials only wait, later they end.

    Early in a run, all but the best trials wait. Their workers run other trials, and return to a waiting trial when it
    is among the best at its step, or when no other trial is left. A waiting trial loses nothing. Trials end at rungs:
    at first_rung, first_rung * rung_factor ... of a run, and at the end of every seed. There only the best
    1/reduction_factor continue, and trials that would reach the best peer by the end of the run at their recent slope.
    The defaults suit trials that improve late: tests/benchmarks/pruning.py measures how often the best trial is lost.

    Attributes:
        first_rung: fraction of a run.
        rung_factor: the factor between rungs; in the textbook it equals reduction_factor.
        reduction_factor: the best 1/reduction_factor of the trials continue at each rung.
        min_peers: a rung ends no trial before so many others have reached it.
        slope_factor: factor of the recent slope, since the slope of late trials grows; 0: the slope saves no trial.
        slope_window: the smallest fraction of a run over which the slope is measured.
        first_wait: fraction of a run: the first point at which a trial may have to wait. Each next point is at twice
            the fraction, up to the first rung.
        wait_factor: the best 1/wait_factor of the trials at such a point do not wait; 1: no trial waits.
    """

    first_rung: float = argument(0.5, above=0, at_most=1)
    rung_factor: float = argument(1.5, above=1)
    reduction_factor: float = argument(2.0, above=1)
    min_peers: int = argument(3, at_least=1)
    slope_factor: float = argument(2.0, at_least=0)
    slope_window: float = argument(0.25, above=0, at_most=1)
    first_wait: float = argument(1 / 6, above=0, at_most=1)
    wait_factor: float = argument(2.0, at_least=1)

    def should_prune(self, trial: ObjectiveCurve, peers: Sequence[ObjectiveCurve], num_steps: int) -> bool:
        """See `Pruner`; a trial can end only at rungs."""
        step, value = trial.step, trial.at(trial.step)
        if math.isnan(value):
            return True
        previous = max((earlier_step for earlier_step in trial.values if earlier_step < step), default=0)
        values = list_values_at(step, peers)
        if self._count_rungs(previous, num_steps) == self._count_rungs(step, num_steps) or len(values) < self.min_peers:
            return False
        num_promoted = math.ceil((len(values) + 1) / self.reduction_factor)
        better = sum(other > value for other in values)
        return better >= num_promoted and self._extrapolate(trial, num_steps) < list_newest_values(peers)[0]

    def should_wait(self, trial: ObjectiveCurve, peers: Sequence[ObjectiveCurve], num_steps: int) -> bool:
        """Whether a trial should wait while another gets its worker; called once at each new step."""
        step = trial.step
        previous = max((earlier_step for earlier_step in trial.values if earlier_step < step), default=0)
        if self._count_waits(previous, num_steps) == self._count_waits(step, num_steps):
            return False
        values = list_values_at(step, peers)
        better = sum(other > trial.at(step) for other in values)
        return bool(values) and better >= math.ceil((len(values) + 1) / self.wait_factor)

    def may_resume(self, trial: ObjectiveCurve, peers: Sequence[ObjectiveCurve]) -> bool:
        """Whether a waiting trial is now among the best at its step."""
        values = list_values_at(trial.step, peers)
        better = sum(other > trial.at(trial.step) for other in values)
        return better < (len(values) + 1) // self.wait_factor

    def _count_waits(self, step: float, num_steps: int) -> int:
        """The number of waiting points up to a step."""
        wait, num_waits = self.first_wait, 0
        while wait < self.first_rung and wait * num_steps <= step:
            wait *= 2
            num_waits += 1
        return num_waits

    def _count_rungs(self, step: float, num_steps: int) -> int:
        """The number of rungs up to a step."""
        rung, num_rungs = self.first_rung * num_steps, int(step // num_steps)
        while rung <= step and rung < num_steps:
            rung *= self.rung_factor
            num_rungs += 1
        return num_rungs

    def _extrapolate(self, trial: ObjectiveCurve, num_steps: int) -> float:
        """The objective at the end of the first run, extrapolated with the recent slope."""
        step, value = trial.step, trial.at(trial.step)
        latest = step - self.slope_window * num_steps
        start = max((earlier for earlier in trial.values if earlier <= latest), default=min(trial.values))
        if start == step or step >= num_steps:
            return value
        slope = (value - trial.values[start]) / (step - start)
        return value + self.slope_factor * slope * (num_steps - step)


@dataclass(frozen=True)
class Hyperband:
    """Textbook successive halving in brackets with later and later rungs; trials are compared only within a bracket.

    Attributes:
        num_brackets: the first rung of a bracket is reduction_factor times that of the bracket before it, at most the
            end of the run.
        first_rung, reduction_factor, min_peers: of the first bracket, as in `Asha`.
    """

    num_brackets: int = argument(2, at_least=1)
    first_rung: float = argument(0.25, above=0, at_most=1)
    reduction_factor: float = argument(2.0, above=1)
    min_peers: int = argument(3, at_least=1)

    def should_prune(self, trial: ObjectiveCurve, peers: Sequence[ObjectiveCurve], num_steps: int) -> bool:
        """See `Pruner`; a trial can end only at rungs of its bracket."""
        bracket = self._choose_bracket(trial)
        first_rung = min(1.0, self.first_rung * self.reduction_factor**bracket)
        rule = Asha(first_rung, self.reduction_factor, self.reduction_factor, self.min_peers, slope_factor=0.0)
        return rule.should_prune(trial, [peer for peer in peers if self._choose_bracket(peer) == bracket], num_steps)

    def _choose_bracket(self, trial: ObjectiveCurve) -> int:
        # The number is hashed first: in a grid, every second trial may share a setting.
        return zlib.crc32(str(trial.number).encode()) % self.num_brackets
