"""Reports of trials by the share of their runs: where runs differ in length, the same update is not the same point."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from analysis.records.runs import TrialRecord, convert_number


def share_reports(study: Any, trials: Sequence[TrialRecord]) -> dict[int, dict[float, float]]:
    """Trial number -> share of a run -> the objective reported then; empty without a study.

    Shares beyond 1 are further seeds. Where the length of no run is known, updates stand for shares.
    """
    if study is None:
        return {}
    lengths = find_run_lengths(study, trials)
    by_trial = {}
    for trial in study.get_trials(deepcopy=False):
        number = find_number(trial)
        length = lengths.get(number) if lengths else 1
        if length is None:
            continue
        reports = trial.intermediate_values.items()
        by_trial[number] = {int(step) / length: float(value) for step, value in reports if np.isfinite(value)}
    return by_trial


def find_run_lengths(study: Any, trials: Sequence[TrialRecord]) -> dict[int, int]:
    """Trial number -> updates of one of its runs, where its config or its study says so."""
    lengths = {trial.number: length for trial in trials if trial.runs and (length := trial.runs[0].planned_updates)}
    for trial in study.get_trials(deepcopy=False):
        if (noted := convert_number(trial.user_attrs.get("num_updates"))) is not None and noted > 0:
            lengths[find_number(trial)] = int(noted)
    return lengths


def find_number(trial: Any) -> int:
    """A trial's number in its sweep; in a study that was rebuilt it stands in an attribute."""
    return int(trial.user_attrs.get("number", trial.number))
