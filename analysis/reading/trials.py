"""The trials of a sweep, from its runs and its study."""

from collections.abc import Sequence
from typing import Any

from analysis.records.runs import (
    COMPLETE,
    DIVERGED,
    FAILED,
    STOPPED,
    UNFINISHED,
    RunRecord,
    Source,
    TrialRecord,
    convert_number,
)
from analysis.records.worth import measure_violations
from rlhf_sweeps.record import as_mapping, mask_secrets
from rlhf_sweeps.record.trials import end_of_trial, read_settings
from rlhf_sweeps.verdicts.settings import mean_over_seeds, mean_violations


def make_trials(source: Source, study: Any, num_seeds: int) -> list[TrialRecord]:
    """A trial for each number that has a folder or stands in the study.

    Args:
        num_seeds: runs of each trial; 0 where that is unknown.
    """
    optuna_trials = {trial.number: trial for trial in study.trials} if study is not None else {}
    numbers = sorted({run.trial for run in source.runs if run.trial is not None} | set(optuna_trials))
    by_number: dict[int, list[RunRecord]] = {number: [] for number in numbers}
    for run in source.runs:
        if run.trial is not None:
            by_number[run.trial].append(run)
    return [_make_trial(number, by_number[number], optuna_trials.get(number), source, num_seeds) for number in numbers]


def _make_trial(
    number: int, runs: Sequence[RunRecord], optuna_trial: Any, source: Source, num_seeds: int
) -> TrialRecord:
    chosen = [run for run in runs if not run.is_test]
    notes = dict(optuna_trial.user_attrs) if optuna_trial is not None else {}
    state = end_of_trial(optuna_trial, [run.state for run in chosen], num_seeds)
    state = UNFINISHED if state in (None, STOPPED) else state
    failed = next((run for run in chosen if run.state in (FAILED, DIVERGED)), None)
    objectives = (
        list(optuna_trial.values)
        if optuna_trial is not None and optuna_trial.values
        else mean_over_seeds(run.objectives for run in chosen)
    )
    return TrialRecord(
        number,
        state,
        mask_secrets(as_mapping(notes.get("settings"))) or _find_settings(chosen, optuna_trial, source),
        objectives if state == COMPLETE else None,
        (notes.get("cause") or (failed.cause if failed else None) or "unknown") if state == FAILED else None,
        notes.get("message") or (str(failed.summary.get("message") or "") or None if failed else None),
        convert_number(notes.get("seconds")) or sum(run.seconds for run in chosen),
        _collect_violations(chosen, optuna_trial),
        chosen,
        [run for run in runs if run.is_test],
        notes.get("has_run") is not False,
    )


def _collect_violations(runs: Sequence[RunRecord], optuna_trial: Any) -> dict[str, float]:
    """The excesses over the constraints by the study, else by the runs with objectives."""
    stated = dict(getattr(optuna_trial, "constraints", None) or {}) if optuna_trial is not None else {}
    return {**mean_violations([measure_violations(run) for run in runs if run.objectives]), **stated}


def _find_settings(runs: Sequence[RunRecord], optuna_trial: Any, source: Source) -> dict[str, str]:
    """The swept keys among the overrides of the trial; else its values of the keys that differ between runs."""
    if runs:
        if overrides := read_settings(runs[0].overrides, [axis.key for axis in source.space]):
            return overrides
        values = {key: runs[0].look_up(key) for key in source.axes}
        return {key: str(value) for key, value in values.items() if value is not None}
    return {key: str(value) for key, value in optuna_trial.params.items()} if optuna_trial is not None else {}
