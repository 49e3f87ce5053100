"""Pruners by name: rules that end trials early, from their curves of objectives (higher is better).

A rule needs no study. Its decision depends only on its arguments, so a resumed sweep decides the same.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import optuna

from rlhf_sweeps.config.fields import ConfigError, find_out_of_range
from rlhf_sweeps.sweep.pruning.curves import ObjectiveCurve, Pruner, argument, list_values_at
from rlhf_sweeps.sweep.pruning.halving import Asha, Hyperband
from rlhf_sweeps.sweep.pruning.optuna_rule import OptunaRule
from rlhf_sweeps.sweep.search.samplers import build, load_class

KEY = "hydra.sweeper.pruner"


@dataclass(frozen=True)
class Nothing:
    """Every trial runs to its end."""

    def should_prune(self, trial: ObjectiveCurve, peers: Sequence[ObjectiveCurve], num_steps: int) -> bool:
        """Never ends a trial."""
        return False


@dataclass(frozen=True)
class Percentile:
    """A trial ends if it is not among the best `percentile` per cent of the peers at its step.

    Attributes:
        percentile: with 25 the best quarter continues, with 100 all trials except one that is worse than all others.
        min_peers: no trial ends before so many peers have reached its step.
        warmup: the fraction of a run before which no trial ends.
    """

    percentile: float = argument(25.0, above=0, at_most=100)
    min_peers: int = argument(4, at_least=1)
    warmup: float = argument(0.25, at_least=0, at_most=1)

    def should_prune(self, trial: ObjectiveCurve, peers: Sequence[ObjectiveCurve], num_steps: int) -> bool:
        """See `Pruner`; a trial can end at every step after the warm-up."""
        step, value = trial.step, trial.at(trial.step)
        if math.isnan(value):
            return True
        values = list_values_at(step, peers)
        if step < self.warmup * num_steps or len(values) < self.min_peers:
            return False
        return bool(value < np.percentile(values, 100 - self.percentile))


@dataclass(frozen=True)
class Median(Percentile):
    """A trial ends below the median of the peers at its step; min_peers and warmup as in `Percentile`."""

    percentile: float = field(default=50.0, init=False)


@dataclass(frozen=True)
class Wilcoxon:
    """A trial of several seeds ends if it is worse than the best peer, seed by seed, by the signed-rank test.

    Attributes:
        p_threshold: the largest p value that ends a trial. With n seeds no p is below 2 ** -n, so 0.1 needs four seeds.
    """

    p_threshold: float = argument(0.1, above=0, below=1)

    def should_prune(self, trial: ObjectiveCurve, peers: Sequence[ObjectiveCurve], num_steps: int) -> bool:
        """See `Pruner`; a trial can end only at the end of a seed."""
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
        # The import takes half a second, and few sweeps use this rule.
        from scipy.stats import wilcoxon

        return bool(wilcoxon(differences, alternative="less", zero_method="zsplit").pvalue < self.p_threshold)


@dataclass
class Patient:
    """Another rule, which can end a trial only while the trial does not improve.

    Attributes:
        patience: the number of steps without an improvement of the best value.
        pruner, pruner_args: the other rule, see `make_pruner`.
        min_delta: an improvement must be larger than this.
    """

    patience: int = argument(10, at_least=1)
    pruner: str = "asha"
    pruner_args: Mapping[str, Any] = field(default_factory=dict)
    min_delta: float = argument(0.0, at_least=0)

    def __post_init__(self) -> None:
        self._rule = make_pruner(self.pruner, self.pruner_args)

    def should_prune(self, trial: ObjectiveCurve, peers: Sequence[ObjectiveCurve], num_steps: int) -> bool:
        """Whether the other rule ends the trial and the trial does not improve."""
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
    """Make the rule of that name.

    Args:
        name: one of PRUNERS or the dotted path of a pruner class of Optuna.
        arguments: of the class.

    Raises:
        ConfigError: naming hydra.sweeper.pruner or hydra.sweeper.pruner_args.
    """
    if (rule := PRUNERS.get(name)) is None:
        base = optuna.pruners.BasePruner
        return OptunaRule(build(load_class(name, base, KEY, PRUNERS), arguments, {}, f"{KEY}_args"))  # type: ignore[type-abstract]
    pruner = build(rule, arguments, {}, f"{KEY}_args")
    if problems := list(find_out_of_range(pruner, prefix=f"{KEY}_args.")):
        raise ConfigError(problems[0])
    return pruner
