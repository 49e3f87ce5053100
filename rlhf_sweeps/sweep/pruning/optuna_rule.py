"""Optuna's pruners as rules over curves."""

import math
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from rlhf_sweeps.sweep.pruning.curves import ObjectiveCurve


class OptunaRule:
    """Any pruner of Optuna, applied to an in-memory study that mirrors the curves.

    Values and direction are those of the recorded metric, since a pruner's arguments may contain limits of it. Steps
    are updates of the trial in question. Pruners compare values at exactly the same step; so a peer that was evaluated
    at other shares of its run gets its last value there.

    Trials that have completed a whole run are complete in the mirror. Attributes that a pruner stores with a trial,
    such as the rungs of successive halving, are passed to the next call, but are lost with the process.
    """

    def __init__(self, pruner: optuna.pruners.BasePruner) -> None:
        self._pruner = pruner
        self._attributes: dict[int, dict[str, Any]] = {}

    def should_prune(self, trial: ObjectiveCurve, peers: Sequence[ObjectiveCurve], num_steps: int) -> bool:
        """Whether Optuna's pruner ends the trial."""
        if math.isnan(trial.at(trial.step)):
            return True
        direction = StudyDirection.MAXIMIZE if trial.sign > 0 else StudyDirection.MINIMIZE
        study = optuna.create_study(direction=direction, study_name="mirror")
        curves = {curve.number: curve for curve in (*peers, trial)}
        for position in range(max(curves) + 1):
            is_complete = position != trial.number and curves.get(position, trial).step >= num_steps
            values = _list_values(curves.get(position), trial)
            study.add_trial(_mirror(values, is_complete, self._attributes.get(position, {})))
        should_prune = self._pruner.prune(study, study.trials[trial.number])
        self._attributes[trial.number] = study.trials[trial.number].system_attrs
        return should_prune


def _list_values(curve: ObjectiveCurve | None, trial: ObjectiveCurve) -> dict[int, float]:
    """Step -> value of a curve, at its own steps and at those of the trial in question; empty without a curve."""
    if curve is None:
        return {}
    own = {round(step): value for step, value in sorted(curve.values.items())}
    shared = {round(step): curve.at(step) for step in trial.values if step <= curve.step}
    return {step: curve.sign * value for step, value in (own | shared).items() if math.isfinite(value)}


def _mirror(values: dict[int, float], is_complete: bool, attributes: dict[str, Any]) -> FrozenTrial:
    if not values:
        return create_trial(state=TrialState.FAIL)
    if is_complete:
        return create_trial(value=values[max(values)], intermediate_values=values, system_attrs=attributes)
    return create_trial(state=TrialState.RUNNING, intermediate_values=values, system_attrs=attributes)
