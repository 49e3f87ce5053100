"""The trials of a sweep, from what its runs and its study say of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from analysis.objective import mean_objectives
from analysis.reading.conversion import mapping
from analysis.records import DIVERGED, FAILED, PRUNED, STOPPED, UNFINISHED, RunRecord, Source, Trial, as_number
from analysis.sweep.space import swept_keys
from analysis.worth import broken, mean_broken
from rlhf_sweeps.runs import masked


def trials_of(source: Source, study: Any) -> list[Trial]:
    """One for each number that has a folder or stands in the study."""
    known = {trial.number: trial for trial in study.trials} if study is not None else {}
    numbers = sorted({run.trial for run in source.runs if run.trial is not None} | set(known))
    by_number: dict[int, list[RunRecord]] = {number: [] for number in numbers}
    for run in source.runs:
        if run.trial is not None:
            by_number[run.trial].append(run)
    keys = source.axes
    return [_trial(number, by_number[number], known.get(number), source, keys) for number in numbers]


def _trial(number: int, runs: Sequence[RunRecord], known: Any, source: Source, keys: Sequence[str]) -> Trial:
    chosen = [run for run in runs if not run.is_test]
    notes = dict(known.user_attrs) if known is not None else {}
    state = _trial_state(chosen, None if known is None else known.state.name)
    failed = next((run for run in chosen if run.state in (FAILED, DIVERGED)), None)
    objectives = (
        list(known.values)
        if known is not None and known.values
        else mean_objectives([run.objectives for run in chosen])
    )
    return Trial(
        number,
        state,
        masked(mapping(notes.get("settings"))) or _settings(chosen, known, source.space, keys),
        objectives if state == "complete" else None,
        (notes.get("cause") or (failed.cause if failed else None) or "unknown") if state == "failed" else None,
        notes.get("message") or (str(failed.summary.get("message") or "") or None if failed else None),
        as_number(notes.get("seconds")) or sum(run.seconds for run in chosen),
        _violations(chosen, known),
        chosen,
        [run for run in runs if run.is_test],
    )


def _violations(runs: Sequence[RunRecord], known: Any) -> dict[str, float]:
    """By the runs that are worth something; what the study says itself goes before."""
    told = dict(getattr(known, "constraints", None) or {}) if known is not None else {}
    return {**mean_broken([broken(run) for run in runs if run.objectives]), **told}


def _trial_state(runs: Sequence[RunRecord], known: str | None) -> str:
    """The study's word where it has one; a trial that it takes to be running may have left a summary."""
    if known in ("COMPLETE", "PRUNED", "FAIL"):
        return {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}[known]
    states = [run.state for run in runs]
    if FAILED in states or DIVERGED in states:
        return "failed"
    if known is not None or not states or UNFINISHED in states or STOPPED in states:
        return "unfinished"
    return "pruned" if PRUNED in states else "complete"


def _settings(runs: Sequence[RunRecord], known: Any, space: Mapping[str, str], keys: Sequence[str]) -> dict[str, str]:
    """What the trial was told to change, of that what was swept; else the values of what differs between runs."""
    if runs:
        given = dict(text.lstrip("+").partition("=")[::2] for text in runs[0].overrides)
        told = {key: given[key] for key in swept_keys(space) if key in given}
        if told:
            return told
        values = {key: runs[0].value(key) for key in keys}
        return {key: str(value) for key, value in values.items() if value is not None}
    return {key: str(value) for key, value in known.params.items()} if known is not None else {}
