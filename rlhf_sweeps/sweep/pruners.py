"""Which trials end early: rules over the objectives that running trials would end with, higher being better.

A rule needs no study. What it decides is a function of what it is given, so a resumed sweep decides the same.
"""

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from rlhf_sweeps.config import ConfigError, number, out_of_range
from rlhf_sweeps.sweep.samplers import build, load_class

KEY = "hydra.sweeper.pruner"


@dataclass(frozen=True)
class Curve:
    """What is known of one trial.

    Attributes:
        number: the trial's.
        values: step -> the objective if the trial had ended there, higher is better. Steps are the first seed's
            updates, then (k + 1) * num_steps once seed k is through.
        by_seed: seed -> its objective, for the seeds that are through.
    """

    number: int
    values: Mapping[int, float]
    by_seed: Mapping[int, float] = field(default_factory=dict)

    @property
    def step(self) -> int:
        """The newest step; 0 without any."""
        return max(self.values, default=0)

    def at(self, step: int) -> float:
        """The newest value at or before a step; NaN if the trial has not got that far or had none yet."""
        known = [known for known in self.values if known <= step]
        return self.values[max(known)] if known and self.step >= step else math.nan


class Pruner(Protocol):
    """A rule."""

    def should_prune(self, trial: Curve, peers: Sequence[Curve], num_steps: int) -> bool:
        """Whether a trial should end now; to be asked once at each new step but the trial's last.

        Args:
            trial: the one in question, with at least one value; a newest value that is NaN prunes it.
            peers: all other trials with values: finished, pruned and running.
            num_steps: updates of one run.
        """


def _setting(default: float, **bounds: float) -> Any:
    return field(default=default, metadata=number(**bounds).metadata)


def _values_at(step: int, peers: Sequence[Curve]) -> list[float]:
    """Those of the peers that have got to the step, best first."""
    values = [peer.at(step) for peer in peers]
    return sorted((value for value in values if not math.isnan(value)), reverse=True)


@dataclass(frozen=True)
class Nothing:
    """Every trial runs to its end."""

    def should_prune(self, trial: Curve, peers: Sequence[Curve], num_steps: int) -> bool:
        """Never."""
        return False


@dataclass(frozen=True)
class Asha:
    """Asynchronous successive halving: at each rung only the best 1/reduction_factor of those that got there go on.

    Rungs are at first_rung, first_rung * rung_factor ... of a run, and at the end of every seed. A trial that is still
    rising goes on too, if at its recent slope it would meet the best peer by the end of its run. The defaults are made
    for late bloomers: tests/benchmarks/pruning.py measures what they save and miss.

    Attributes:
        first_rung: as a fraction of a run.
        rung_factor: between rungs; that of the textbook is reduction_factor.
        reduction_factor: of the trials at each rung.
        min_peers: as long as fewer others have been at a rung, nobody is held back there.
        slope_factor: times the recent slope, which bends upwards in those that bloom late; 0 lets nobody off for it.
        slope_window: over how much of a run, at least, the slope is measured; as a fraction.
    """

    first_rung: float = _setting(0.5, above=0, at_most=1)
    rung_factor: float = _setting(1.5, above=1)
    reduction_factor: float = _setting(2.0, above=1)
    min_peers: int = _setting(3, at_least=1)
    slope_factor: float = _setting(2.0, at_least=0)
    slope_window: float = _setting(0.25, above=0, at_most=1)

    def should_prune(self, trial: Curve, peers: Sequence[Curve], num_steps: int) -> bool:
        """At rungs."""
        step, value = trial.step, trial.at(trial.step)
        if math.isnan(value):
            return True
        previous = max((known for known in trial.values if known < step), default=0)
        values = _values_at(step, peers)
        if self._num_rungs(previous, num_steps) == self._num_rungs(step, num_steps) or len(values) < self.min_peers:
            return False
        num_kept = math.ceil((len(values) + 1) / self.reduction_factor)
        better = sum(other > value for other in values)
        return better >= num_kept and self._final(trial, num_steps) < max(peer.at(peer.step) for peer in peers)

    def _num_rungs(self, step: int, num_steps: int) -> int:
        """How many rungs there are up to a step."""
        rung, num_rungs = self.first_rung * num_steps, step // num_steps
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

    num_brackets: int = _setting(2, at_least=1)
    first_rung: float = _setting(0.25, above=0, at_most=1)
    reduction_factor: float = _setting(2.0, above=1)
    min_peers: int = _setting(3, at_least=1)

    def should_prune(self, trial: Curve, peers: Sequence[Curve], num_steps: int) -> bool:
        """At the rungs of the trial's bracket."""
        bracket = self._bracket(trial)
        first_rung = min(1.0, self.first_rung * self.reduction_factor**bracket)
        rule = Asha(first_rung, self.reduction_factor, self.reduction_factor, self.min_peers, slope_factor=0.0)
        return rule.should_prune(trial, [peer for peer in peers if self._bracket(peer) == bracket], num_steps)

    def _bracket(self, trial: Curve) -> int:
        # Not the remainder alone: in a grid, every second trial may share a setting.
        return zlib.crc32(str(trial.number).encode()) % self.num_brackets


@dataclass(frozen=True)
class Percentile:
    """A trial below the best `percentile` per cent of the peers that have got as far ends; asked at every step.

    Attributes:
        percentile: 25 lets a quarter go on, 100 everyone but a trial that is worse than all others.
        min_peers: as long as fewer have got as far, nobody ends.
        warmup: the fraction of a run before which nobody ends.
    """

    percentile: float = _setting(25.0, above=0, at_most=100)
    min_peers: int = _setting(4, at_least=1)
    warmup: float = _setting(0.25, at_least=0, at_most=1)

    def should_prune(self, trial: Curve, peers: Sequence[Curve], num_steps: int) -> bool:
        """At every step after the warm-up."""
        step, value = trial.step, trial.at(trial.step)
        if math.isnan(value):
            return True
        values = _values_at(step, peers)
        if step < self.warmup * num_steps or len(values) < self.min_peers:
            return False
        return bool(value < np.percentile(values, 100 - self.percentile))


@dataclass(frozen=True)
class Median(Percentile):
    """A trial below the median of the peers that have got as far ends; min_peers and warmup as for percentile."""

    percentile: float = field(default=50.0, init=False)


@dataclass(frozen=True)
class Wilcoxon:
    """A trial of several seeds ends once it is worse than the best peer, seed by seed, by the signed-rank test.

    Attributes:
        p_threshold: the error it may make. With n seeds no p is below 2 ** -n, so 0.1 takes four seeds.
    """

    p_threshold: float = _setting(0.1, above=0, below=1)

    def should_prune(self, trial: Curve, peers: Sequence[Curve], num_steps: int) -> bool:
        """At the end of a seed."""
        if math.isnan(trial.at(trial.step)):
            return True
        own = trial.by_seed
        rivals = [peer.by_seed for peer in peers if own.keys() <= peer.by_seed.keys()]
        if not own or trial.step % num_steps or not rivals:
            return False
        best = max(rivals, key=lambda rival: sum(rival[seed] for seed in own))
        differences = [value - best[seed] for seed, value in own.items()]
        if sum(differences) >= 0:
            return False
        # Half a second to import, for the few who want it.
        from scipy.stats import wilcoxon

        return bool(wilcoxon(differences, alternative="less", zero_method="zsplit").pvalue < self.p_threshold)


@dataclass
class Patient:
    """Another rule, heard only while the trial does not improve.

    Attributes:
        patience: for so many steps the best value has to stand still.
        pruner, pruner_args: the other rule, as for make_pruner.
        min_delta: a rise no greater than this does not count.
    """

    patience: int = _setting(10, at_least=1)
    pruner: str = "asha"
    pruner_args: Mapping[str, Any] = field(default_factory=dict)
    min_delta: float = _setting(0.0, at_least=0)

    def __post_init__(self) -> None:
        self._rule = make_pruner(self.pruner, self.pruner_args)

    def should_prune(self, trial: Curve, peers: Sequence[Curve], num_steps: int) -> bool:
        """Where the other rule says so and the trial stands still."""
        should_prune = self._rule.should_prune(trial, peers, num_steps)
        before = [value for step, value in trial.values.items() if step <= trial.step - self.patience]
        since = [value for step, value in trial.values.items() if step > trial.step - self.patience]
        stands_still = bool(before) and max(since) <= max(before) + self.min_delta
        return should_prune and (stands_still or math.isnan(trial.at(trial.step)))


class OptunaRule:
    """Any pruner of Optuna's, which looks at an in-memory study that mirrors the curves.

    Trials that have come through a whole run count as complete there; what a pruner keeps with a trial, as successive
    halving keeps its rungs, is kept from call to call, though not beyond the process.

    Args:
        pruner: asked as in a study with direction maximize.
    """

    def __init__(self, pruner: optuna.pruners.BasePruner) -> None:
        self._pruner = pruner
        self._kept: dict[int, dict[str, Any]] = {}

    def should_prune(self, trial: Curve, peers: Sequence[Curve], num_steps: int) -> bool:
        """Where Optuna's pruner says so."""
        if math.isnan(trial.at(trial.step)):
            return True
        study = optuna.create_study(direction="maximize", study_name="mirror")
        curves = {curve.number: curve for curve in (*peers, trial)}
        for position in range(max(curves) + 1):
            done = position != trial.number and curves.get(position, trial).step >= num_steps
            study.add_trial(self._mirrored(curves.get(position), done, self._kept.get(position, {})))
        should_prune = self._pruner.prune(study, study.trials[trial.number])
        self._kept[trial.number] = study.trials[trial.number].system_attrs
        return should_prune

    @staticmethod
    def _mirrored(curve: Curve | None, done: bool, kept: dict[str, Any]) -> FrozenTrial:
        if curve is None:
            return create_trial(state=TrialState.FAIL)
        values = {step: value for step, value in curve.values.items() if not math.isnan(value)}
        if done and values:
            value = values[max(values)]
            return create_trial(value=value, intermediate_values=values, system_attrs=kept)
        return create_trial(state=TrialState.RUNNING, intermediate_values=values, system_attrs=kept)


PRUNERS: Mapping[str, type[Pruner]] = {
    "none": Nothing,
    "asha": Asha,
    "hyperband": Hyperband,
    "median": Median,
    "percentile": Percentile,
    "wilcoxon": Wilcoxon,
    "patient": Patient,
}


def make_pruner(name: str, arguments: Mapping[str, Any]) -> Pruner:
    """The rule of that name.

    Args:
        name: one of PRUNERS or the dotted path of a class of Optuna's pruners.
        arguments: the class's own.

    Raises:
        ConfigError: naming hydra.sweeper.pruner or hydra.sweeper.pruner_args.
    """
    if (rule := PRUNERS.get(name)) is None:
        base = optuna.pruners.BasePruner
        return OptunaRule(build(load_class(name, base, KEY, PRUNERS), arguments, {}, f"{KEY}_args"))  # type: ignore[type-abstract]
    pruner = build(rule, arguments, {}, f"{KEY}_args")
    if problems := list(out_of_range(pruner, prefix=f"{KEY}_args.")):
        raise ConfigError(problems[0])
    return pruner
