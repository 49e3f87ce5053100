"""A trial as it stands in another study: Optuna keeps a study's choices, and a trial's end, for ever."""

from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, check_distribution_compatibility
from optuna.trial import FrozenTrial, TrialState, create_trial

# What is noted of a trial when it ends, as user attributes.
ENDING = ("seconds", "worker_seconds", "by_seed", "cause", "message", "has_run")


def are_compatible(old: BaseDistribution, new: BaseDistribution) -> bool:
    """Whether one study can have both: lists must be the same, and intervals of one kind."""
    try:
        check_distribution_compatibility(old, new)
    except ValueError:
        return False
    return True


def _holds(distribution: BaseDistribution, value: Any) -> bool:
    try:
        return distribution._contains(distribution.to_internal_repr(value))
    except (ValueError, TypeError):  # a text for a number
        return False


def reopened(trial: FrozenTrial) -> FrozenTrial:
    """A failed trial as one that runs: as it was before its end, which is noted."""
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


def moved(trial: FrozenTrial, wanted: Mapping[str, BaseDistribution]) -> FrozenTrial:
    """A trial as it stands in a study with other choices and intervals."""
    kept = {key: wanted.get(key, old) for key, old in trial.distributions.items()}
    if all(_holds(new, trial.params[key]) for key, new in kept.items()):
        return create_trial(
            state=trial.state,
            values=trial.values,
            params=trial.params,
            distributions=kept,
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
