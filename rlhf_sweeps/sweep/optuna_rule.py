"""Optuna's pruners as rules over curves."""

import math
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from rlhf_sweeps.sweep.curves import Curve


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
