"""What is left to suggest of a trial whose suggestion a kill has cut short, as in a journal, written line by line."""

from collections.abc import Callable
from typing import Any

from optuna import Trial
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial


def rest_of(trial: Trial, before: FrozenTrial) -> Callable[[str, BaseDistribution], Any]:
    """A trial's own way to suggest; its sampler draws what was drawn before again, so that all else is as it would be.

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
    """Move the sampler's random numbers on, if this parameter has taken any."""
    is_given = trial._is_fixed_param(name, distribution) or name in trial.relative_params
    if not is_given and not distribution.single():
        trial.study.sampler.sample_independent(trial.study, before, name, distribution)
