"""Complete the suggestion of a trial that a kill has interrupted; a journal writes it parameter by parameter."""

from collections.abc import Callable
from typing import Any

from optuna import Trial
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial


def resume_suggestion(trial: Trial, before: FrozenTrial) -> Callable[[str, BaseDistribution], Any]:
    """A trial's `suggest` whose sampler first repeats the earlier draws, so that later draws are not changed.

    Args:
        before: the trial as the kill has left it.
    """
    drawn = list(before.distributions.items())

    def suggest(name: str, distribution: BaseDistribution) -> Any:
        if name not in before.distributions:
            while drawn:
                _draw(trial, before, *drawn.pop(0))
        return trial._suggest(name, distribution)

    return suggest


def _draw(trial: Trial, before: FrozenTrial, name: str, distribution: BaseDistribution) -> None:
    """Advance the sampler's random numbers, if this parameter has used any."""
    is_given = trial._is_fixed_param(name, distribution) or name in trial.relative_params
    if not is_given and not distribution.single():
        trial.study.sampler.sample_independent(trial.study, before, name, distribution)
