"""Where a search has but so many settings, each is tried once: a sampler that is led past those it has had."""

from collections.abc import Mapping, Sequence
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

Point = Mapping[str, Any]


class Unasked(BaseSampler):
    """Another sampler's suggestions, but where they would lead to a setting that was tried: the nearest that was not.

    Optuna asks a sampler for some values at once and for others one by one, when they are needed. Here each is given
    when it is needed: only then it is known which settings it leaves.

    Args:
        sampler: the other one.
        left: the points that have not been tried, at least one.
    """

    def __init__(self, sampler: BaseSampler, left: Sequence[Point]) -> None:
        self._sampler, self._left = sampler, left
        self._values: dict[str, Any] = {}
        self._space: dict[str, BaseDistribution] = {}

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Nothing is given at once; keeps what the other sampler would."""
        self._space = self._sampler.infer_relative_search_space(study, trial)
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Likewise."""
        self._values = self._sampler.sample_relative(study, trial, self._space)
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The other sampler's value, or the nearest that leads to a setting that is left."""
        if param_name in self._values:
            value = self._values[param_name]
        else:
            value = self._sampler.sample_independent(study, trial, param_name, param_distribution)
        reachable = [point for point in self._left if trial.params.items() <= point.items()]
        open_values = [point[param_name] for point in reachable if param_name in point]
        if not open_values or value in open_values:
            return value
        return min(open_values, key=lambda other: _distance(param_distribution, value, other))

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """The other sampler's."""
        self._sampler.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """The other sampler's."""
        self._sampler.after_trial(study, trial, state, values)


def _distance(distribution: BaseDistribution, one: Any, other: Any) -> float:
    """Between numbers as numbers; between choices by their places in the list."""
    if isinstance(distribution, CategoricalDistribution):
        return abs(distribution.choices.index(one) - distribution.choices.index(other))
    return abs(float(one) - float(other))
