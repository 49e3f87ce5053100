"""Copy trials to another study, since Optuna never changes a study's choices or the end of a trial."""

from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, check_distribution_compatibility
from optuna.trial import FrozenTrial, TrialState, create_trial

# The user attributes that the end of a trial sets.
ENDING = ("seconds", "worker_seconds", "by_seed", "cause", "message", "has_run")


def are_compatible(old: BaseDistribution, new: BaseDistribution) -> bool:
    """Whether a study can have both: lists must be equal, and intervals of the same type."""
    try:
        check_distribution_compatibility(old, new)
    except ValueError:
        return False
    return True


def _holds(distribution: BaseDistribution, value: Any) -> bool:
    try:
        return distribution._contains(distribution.to_internal_repr(value))
    except (ValueError, TypeError):  # a text instead of a number
        return False


def make_reopened_copy(trial: FrozenTrial) -> FrozenTrial:
    """A copy of a failed trial that runs again; its failure is added to `failed_before`."""
    notes = {key: value for key, value in trial.user_attrs.items() if key not in ENDING}
    end = {key: trial.user_attrs.get(key) for key in ("cause", "message")}
    return create_trial(
        state=TrialState.RUNNING,
        params=trial.params,
        distributions=trial.distributions,
        user_attrs={**notes, "failed_before": [*notes.get("failed_before", []), end]},
        system_attrs=trial.system_attrs,
        intermediate_values=trial.intermediate_values,
    )


def make_moved_copy(trial: FrozenTrial, wanted: Mapping[str, BaseDistribution]) -> FrozenTrial:
    """A copy of a trial for a study with other choices and intervals."""
    distributions = {key: wanted.get(key, old) for key, old in trial.distributions.items()}
    if all(_holds(new, trial.params[key]) for key, new in distributions.items()):
        return create_trial(
            state=trial.state,
            values=trial.values,
            params=trial.params,
            distributions=distributions,
            user_attrs=trial.user_attrs,
            system_attrs=trial.system_attrs,
            intermediate_values=trial.intermediate_values,
        )
    if not trial.state.is_finished():
        return create_trial(
            state=trial.state,
            user_attrs=trial.user_attrs,
            system_attrs=trial.system_attrs,
            intermediate_values=trial.intermediate_values,
        )
    notes = {**trial.user_attrs, "cause": "config", "message": "not in the space any more"}
    return create_trial(state=TrialState.FAIL, user_attrs=notes, system_attrs=trial.system_attrs)
