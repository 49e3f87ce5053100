"""A sampler for searches with few settings, which tries each setting once."""

from collections.abc import Mapping, Sequence
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

Point = Mapping[str, Any]


class UntriedSampler(BaseSampler):
    """Follows another sampler, but replaces a value that leads only to settings already tried by the nearest other.

    Optuna asks a sampler for some values together, and for others one by one. Here each value is given when it is
    needed, since only then the settings that are still reachable are known.

    Args:
        sampler: the other sampler.
        left: the points that have not been tried, at least one.
    """

    def __init__(self, sampler: BaseSampler, left: Sequence[Point]) -> None:
        self._sampler, self._left = sampler, left
        self._values: dict[str, Any] = {}
        self._space: dict[str, BaseDistribution] = {}

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Store the other sampler's search space, and give no values together."""
        self._space = self._sampler.infer_relative_search_space(study, trial)
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Store the other sampler's values, and give no values together."""
        self._values = self._sampler.sample_relative(study, trial, self._space)
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The other sampler's value, or the nearest value that leads to a setting that is left."""
        if param_name in self._values:
            value = self._values[param_name]
        else:
            value = self._sampler.sample_independent(study, trial, param_name, param_distribution)
        reachable = [point for point in self._left if trial.params.items() <= point.items()]
        open_values = [point[param_name] for point in reachable if param_name in point]
        if not open_values or value in open_values:
            return value
        return min(open_values, key=lambda other: _measure_distance(param_distribution, value, other))

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Call the other sampler."""
        self._sampler.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Call the other sampler."""
        self._sampler.after_trial(study, trial, state, values)


def _measure_distance(distribution: BaseDistribution, first: Any, second: Any) -> float:
    """The distance of two numbers, or of two choices by their positions in the list."""
    if isinstance(distribution, CategoricalDistribution):
        return abs(distribution.choices.index(first) - distribution.choices.index(second))
    return abs(float(first) - float(second))
