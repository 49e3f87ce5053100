"""Successive halving: at rungs of a run, only the best of those that got there go on."""

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from rlhf_sweeps.sweep.pruning.curves import Curve, newest_values, setting, values_at


@dataclass(frozen=True)
class Asha:
    """Asynchronous successive halving (Li et al., 2020), bold in what goes first and careful in what ends.

    Early in a run, all but the best wait: their workers turn to other trials, and come back when a trial turns out to
    be among the best of those that got as far, or nothing else is left. That loses nothing. Trials end at rungs, at
    first_rung, first_rung * rung_factor ... of a run and at the end of every seed, where only the best
    1/reduction_factor go on, and those that are still rising and would meet the best peer by the end of the run at
    their recent slope. The defaults are made for late bloomers: tests/benchmarks/pruning.py measures what they miss.

    Attributes:
        first_rung: as a fraction of a run.
        rung_factor: between rungs; that of the textbook is reduction_factor.
        reduction_factor: of the trials at each rung.
        min_peers: as long as fewer others have been at a rung, nobody is held back there.
        slope_factor: times the recent slope, which bends upwards in those that bloom late; 0 lets nobody off for it.
        slope_window: over how much of a run, at least, the slope is measured; as a fraction.
        first_wait: as a fraction of a run, the first of the points (each twice as far as the one before, up to the
            first rung) at which a trial may have to wait while others get the worker.
        wait_factor: only the best 1/wait_factor of those that got there do not wait; 1: nobody does.
    """

    first_rung: float = setting(0.5, above=0, at_most=1)
    rung_factor: float = setting(1.5, above=1)
    reduction_factor: float = setting(2.0, above=1)
    min_peers: int = setting(3, at_least=1)
    slope_factor: float = setting(2.0, at_least=0)
    slope_window: float = setting(0.25, above=0, at_most=1)
    first_wait: float = setting(1 / 6, above=0, at_most=1)
    wait_factor: float = setting(2.0, at_least=1)

    def should_prune(self, trial: Curve, peers: Sequence[Curve], num_steps: int) -> bool:
        """At rungs."""
        step, value = trial.step, trial.at(trial.step)
        if math.isnan(value):
            return True
        previous = max((known for known in trial.values if known < step), default=0)
        values = values_at(step, peers)
        if self._num_rungs(previous, num_steps) == self._num_rungs(step, num_steps) or len(values) < self.min_peers:
            return False
        num_kept = math.ceil((len(values) + 1) / self.reduction_factor)
        better = sum(other > value for other in values)
        return better >= num_kept and self._final(trial, num_steps) < newest_values(peers)[0]

    def should_wait(self, trial: Curve, peers: Sequence[Curve], num_steps: int) -> bool:
        """Whether a trial should give its worker to another for now; to be asked once at each new step."""
        step = trial.step
        previous = max((known for known in trial.values if known < step), default=0)
        if self._num_waits(previous, num_steps) == self._num_waits(step, num_steps):
            return False
        values = values_at(step, peers)
        better = sum(other > trial.at(step) for other in values)
        return bool(values) and better >= math.ceil((len(values) + 1) / self.wait_factor)

    def may_resume(self, trial: Curve, peers: Sequence[Curve]) -> bool:
        """Whether a trial that waits is by now among the best of those that got as far."""
        values = values_at(trial.step, peers)
        better = sum(other > trial.at(trial.step) for other in values)
        return better < (len(values) + 1) // self.wait_factor

    def _num_waits(self, step: float, num_steps: int) -> int:
        """How many points to wait at there are up to a step."""
        wait, num_waits = self.first_wait, 0
        while wait < self.first_rung and wait * num_steps <= step:
            wait *= 2
            num_waits += 1
        return num_waits

    def _num_rungs(self, step: float, num_steps: int) -> int:
        """How many rungs there are up to a step."""
        rung, num_rungs = self.first_rung * num_steps, int(step // num_steps)
        while rung <= step and rung < num_steps:
            rung *= self.rung_factor
            num_rungs += 1
        return num_rungs

    def _final(self, trial: Curve, num_steps: int) -> float:
        """What the first run would end with if it kept its slope."""
        step, value = trial.step, trial.at(trial.step)
        earlier = (known for known in trial.values if known <= step - self.slope_window * num_steps)
        start = max(earlier, default=min(trial.values))
        if start == step or step >= num_steps:
            return value
        slope = (value - trial.values[start]) / (step - start)
        return value + self.slope_factor * slope * (num_steps - step)


@dataclass(frozen=True)
class Hyperband:
    """The textbook's successive halving in brackets, each with later rungs, of trials that are only compared within.

    Attributes:
        num_brackets: the first rung of each is reduction_factor times that of the one before, at most the run's end.
        first_rung, reduction_factor, min_peers: of the first bracket, as for asha.
    """

    num_brackets: int = setting(2, at_least=1)
    first_rung: float = setting(0.25, above=0, at_most=1)
    reduction_factor: float = setting(2.0, above=1)
    min_peers: int = setting(3, at_least=1)

    def should_prune(self, trial: Curve, peers: Sequence[Curve], num_steps: int) -> bool:
        """At the rungs of the trial's bracket."""
        bracket = self._bracket(trial)
        first_rung = min(1.0, self.first_rung * self.reduction_factor**bracket)
        rule = Asha(first_rung, self.reduction_factor, self.reduction_factor, self.min_peers, slope_factor=0.0)
        return rule.should_prune(trial, [peer for peer in peers if self._bracket(peer) == bracket], num_steps)

    def _bracket(self, trial: Curve) -> int:
        # Not the remainder alone: in a grid, every second trial may share a setting.
        return zlib.crc32(str(trial.number).encode()) % self.num_brackets
