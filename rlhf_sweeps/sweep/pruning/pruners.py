"""Which trials end early: rules over the objectives that running trials would end with, higher being better.

A rule needs no study. What it decides is a function of what it is given, so a resumed sweep decides the same.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import optuna

from rlhf_sweeps.config.fields import ConfigError, out_of_range
from rlhf_sweeps.sweep.pruning.curves import Curve, Pruner, setting, values_at
from rlhf_sweeps.sweep.pruning.halving import Asha, Hyperband
from rlhf_sweeps.sweep.pruning.optuna_rule import OptunaRule
from rlhf_sweeps.sweep.search.samplers import build, load_class

KEY = "hydra.sweeper.pruner"


@dataclass(frozen=True)
class Nothing:
    """Every trial runs to its end."""

    def should_prune(self, trial: Curve, peers: Sequence[Curve], num_steps: int) -> bool:
        """Never."""
        return False


@dataclass(frozen=True)
class Percentile:
    """A trial below the best `percentile` per cent of the peers that have got as far ends; asked at every step.

    Attributes:
        percentile: 25 lets a quarter go on, 100 everyone but a trial that is worse than all others.
        min_peers: as long as fewer have got as far, nobody ends.
        warmup: the fraction of a run before which nobody ends.
    """

    percentile: float = setting(25.0, above=0, at_most=100)
    min_peers: int = setting(4, at_least=1)
    warmup: float = setting(0.25, at_least=0, at_most=1)

    def should_prune(self, trial: Curve, peers: Sequence[Curve], num_steps: int) -> bool:
        """At every step after the warm-up."""
        step, value = trial.step, trial.at(trial.step)
        if math.isnan(value):
            return True
        values = values_at(step, peers)
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

    p_threshold: float = setting(0.1, above=0, below=1)

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

    patience: int = setting(10, at_least=1)
    pruner: str = "asha"
    pruner_args: Mapping[str, Any] = field(default_factory=dict)
    min_delta: float = setting(0.0, at_least=0)

    def __post_init__(self) -> None:
        self._rule = make_pruner(self.pruner, self.pruner_args)

    def should_prune(self, trial: Curve, peers: Sequence[Curve], num_steps: int) -> bool:
        """Where the other rule says so and the trial stands still."""
        should_prune = self._rule.should_prune(trial, peers, num_steps)
        before = [value for step, value in trial.values.items() if step <= trial.step - self.patience]
        since = [value for step, value in trial.values.items() if step > trial.step - self.patience]
        stands_still = bool(before) and max(since) <= max(before) + self.min_delta
        return should_prune and (stands_still or math.isnan(trial.at(trial.step)))


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
