"""Runs and sweeps from their folders, however unfinished or damaged these are."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from analysis.objective import Objective, objective_in, objectives_in
from analysis.reading.study import open_study, rebuilt_study, without
from analysis.records import (
    COMPLETE,
    DIVERGED,
    FAILED,
    PRUNED,
    STOPPED,
    UNFINISHED,
    UPDATE,
    Floats,
    RunRecord,
    Source,
    Trial,
    as_number,
)
from analysis.statements import listed
from analysis.sweep.space import swept_keys
from analysis.worth import broken, mean_broken
from rlhf_sweeps.runs import (
    Run,
    Sweep,
    is_run,
    masked,
    runs_of,
    salvage,
    salvage_hydra,
    salvage_object,
    salvage_samples,
)
from rlhf_sweeps.verdicts.settings import mean_over_seeds

_STATES = {"complete": COMPLETE, "stopped": STOPPED, "diverged": DIVERGED, "failed": FAILED}
_STOPS = {"pruned": PRUNED, "timeout": FAILED}


def read_folder(place: Run | Sweep, name: str | None = None, storage: str | None = None) -> Source:
    """A run's or a sweep's folder; what could not be read stands in its problems.

    Args:
        name: what to call it; by default the folder's name.
        storage: where a sweep's study is, if not in its folder.
    """
    name = name or place.folder.resolve().name
    if isinstance(place, Sweep):
        return _read_sweep(place, name, storage)
    run = read_run(place, name)
    return Source(name, "run", [run], **keywords(run.looked_for), folder=place.folder)


def read_run(run: Run, name: str, trial: int | None = None, is_test: bool = False) -> RunRecord:
    """One run's folder; where its metrics are gone, W&B's own files in it are read."""
    content = salvage(run)
    record = RunRecord(
        name,
        columns(content.rows),
        flat(content.start["config"]),
        state_of(content.summary),
        content.summary,
        trial,
        is_test,
        content.overrides,
        content.problems,
        run.folder,
        lambda: salvage_samples(run)[0],
    )
    return record if content.rows else _from_wandb(record)


def columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, Floats]:
    """Rows as columns, nan where a row has no number, (rows,) each; columns without any number are left out."""
    names = dict.fromkeys(name for row in rows for name in row)
    found = {name: _floats([row.get(name) for row in rows]) for name in names}
    kept = {name: values for name, values in found.items() if name == UPDATE or not np.isnan(values).all()}
    return {UPDATE: np.empty(0)} | kept


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested config as `group.key` -> value."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _floats(values: list[Any]) -> Floats:
    try:
        return np.array(values, dtype=np.float64)  # None becomes nan
    except (TypeError, ValueError, OverflowError):
        return np.array([x if _is_number(x) else np.nan for x in values], dtype=np.float64)


def _is_number(value: Any) -> bool:
    """Whether a float can be this; JSON knows whole numbers without end."""
    return isinstance(value, float) or (isinstance(value, int) and abs(value) <= sys.float_info.max)


def state_of(summary: Mapping[str, Any]) -> str:
    """How a run ended, by what it wrote last."""
    if summary.get("status") == "stopped":
        if summary.get("stop_reason") == "kl_budget":  # what it was worth before that stands
            return COMPLETE if objectives_in(summary) else PRUNED
        return _STOPS.get(str(summary.get("stop_reason")), STOPPED)
    return _STATES.get(str(summary.get("status")), UNFINISHED)


def _from_wandb(record: RunRecord) -> RunRecord:
    if record.folder is None or not any(record.folder.glob("wandb/*run-*/*.wandb")):
        return record
    from analysis.reading.wandb_logs import runs_from_logs

    logged = runs_from_logs([record.folder / "wandb"])
    if not logged:
        return record
    (run, *_) = logged
    metrics = Run(record.folder).metrics_file.name
    return replace(
        record,
        metrics=run.metrics,
        config=record.config or run.config,
        axis=run.axis,
        overrides=record.overrides or run.overrides,
        summary=record.summary or run.summary,
        state=record.state if record.summary else run.state,
        read_samples=lambda: record.read_samples() or run.read_samples(),
        problems=(*record.problems, f"{metrics}: missing or empty, read from W&B's own file instead"),
    )


def keywords(objective: Objective | None) -> dict[str, Any]:
    """What runs look for, as keywords of `Source`."""
    return {} if objective is None else {"metrics": list(objective.metrics), "directions": list(objective.directions)}


def _directions(content: Any) -> list[str]:
    """None of them where it is anything else."""
    is_sound = isinstance(content, list) and all(one in ("maximize", "minimize") for one in content)
    return list(content) if is_sound else []


def _read_sweep(sweep: Sweep, name: str, storage: str | None) -> Source:
    problems: list[str] = []
    start = salvage_object(sweep.start_file, problems)
    if not start and not problems:
        problems.append(f"{sweep.start_file.name}: missing; what was swept is guessed from what differs")
    runs = [
        read_run(one.run, str(one.run.folder.relative_to(sweep.folder)), one.trial, one.is_test)
        for one in runs_of(sweep)
    ]
    space = {str(key): str(value) for key, value in _mapping(start.get("space")).items()}
    objective = objective_in(_mapping(start.get("config")) or next((run.config for run in runs if run.config), {}))
    directions = _directions(start.get("directions"))
    if objective is not None and len(directions) == len(objective.metrics):
        objective = replace(objective, directions=tuple(directions))
    runs = [replace(run, objective=objective) for run in runs]
    source = Source(name, "sweep", runs, **keywords(objective), space=space, folder=sweep.folder)
    hydra = salvage_hydra(sweep, problems)
    sweeper = _mapping(hydra.get("sweeper"))
    study = open_study(sweep, start, sweeper.get("storage"), problems, storage)
    trials = trials_of(source, study)
    if earlier := _of_earlier_configurations(start, study):
        trials = [trial for trial in trials if trial.number not in earlier]
        study = without(study, earlier)
        problems.append(
            f"trials {listed(map(str, earlier))}: begun under an earlier configuration (hydra.sweeper.accept_changes), "
            "left out of every comparison of trials"
        )
    if others := _beside(sweep):
        problems.append(f"{listed(others)}: no trial of this sweep, so not read with it; name it to read it")
    if study is None:
        study = rebuilt_study(trials, source)
    return replace(
        source,
        trials=trials,
        study=study,
        comparison=salvage_object(sweep.comparison_file, problems) or None,
        seconds=as_number(start.get("seconds")) or 0.0,
        num_planned=sweeper.get("n_trials") if isinstance(sweeper.get("n_trials"), int) else None,
        problems=tuple(problems),
    )


def _of_earlier_configurations(start: Mapping[str, Any], study: Any) -> list[int]:
    """The numbers of the trials that cannot be compared with the newest, since more than the search space changed."""
    compared = start.get("compared")
    if study is None or not isinstance(compared, list):
        return []
    trials = study.get_trials(deepcopy=False)
    return [trial.number for trial in trials if trial.user_attrs.get("configuration", 0) not in compared]


def _beside(sweep: Sweep) -> list[str]:
    """Folders with a run among those of the trials."""
    trials = {str(number) for number in sweep.trials()}
    folders = sorted(path for path in sweep.folder.iterdir() if path.is_dir() and path.name not in trials)
    return [path.name for path in folders if is_run(path)]


def _mapping(content: Any) -> Mapping[str, Any]:
    return content if isinstance(content, dict) else {}


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
        list(known.values) if known is not None and known.values else mean_over_seeds(run.objectives for run in chosen)
    )
    return Trial(
        number,
        state,
        masked(_mapping(notes.get("settings"))) or _settings(chosen, known, source.space, keys),
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
