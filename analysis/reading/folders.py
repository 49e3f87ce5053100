"""Runs and sweeps from their folders, however unfinished or damaged these are."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from analysis.objective import Objective, mean_objectives, objective_of
from analysis.reading.study import open_study, rebuilt_study, without
from analysis.records import (
    COMPLETE,
    DIVERGED,
    FAILED,
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
from analysis.worth import broken, mean_broken
from rlhf_sweeps.runs import (
    Run,
    Sweep,
    as_mapping,
    is_run,
    masked,
    read_plan,
    runs_of,
    salvage,
    salvage_hydra,
    salvage_object,
    salvage_samples,
)
from rlhf_sweeps.runs.trials import end_of_trial, settings_in, state_of


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


def _read_sweep(sweep: Sweep, name: str, storage: str | None) -> Source:
    problems: list[str] = []
    start = sweep.salvage_start(problems)
    if not start and not problems:
        problems.append(f"{sweep.start_file.name}: missing; what was swept is guessed from what differs")
    runs = [
        read_run(one.run, str(one.run.folder.relative_to(sweep.folder)), one.trial, one.is_test)
        for one in runs_of(sweep)
    ]
    plan = read_plan(start)
    config = as_mapping(start.get("config")) or next((run.config for run in runs if run.config), {})
    objective = objective_of(plan, config)
    runs = [replace(run, objective=objective) for run in runs]
    source = Source(name, "sweep", runs, **keywords(objective), space=plan.axes, folder=sweep.folder)
    sweeper = as_mapping(salvage_hydra(sweep, problems).get("sweeper"))
    study = open_study(sweep, start, sweeper.get("storage"), problems, storage)
    trials = trials_of(source, study, len(plan.seeds))
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


def trials_of(source: Source, study: Any, num_seeds: int) -> list[Trial]:
    """One for each number that has a folder or stands in the study.

    Args:
        num_seeds: runs that each takes; 0 where that is unknown.
    """
    known = {trial.number: trial for trial in study.trials} if study is not None else {}
    numbers = sorted({run.trial for run in source.runs if run.trial is not None} | set(known))
    by_number: dict[int, list[RunRecord]] = {number: [] for number in numbers}
    for run in source.runs:
        if run.trial is not None:
            by_number[run.trial].append(run)
    return [_trial(number, by_number[number], known.get(number), source, num_seeds) for number in numbers]


def _trial(number: int, runs: Sequence[RunRecord], known: Any, source: Source, num_seeds: int) -> Trial:
    chosen = [run for run in runs if not run.is_test]
    notes = dict(known.user_attrs) if known is not None else {}
    state = end_of_trial(known, [run.state for run in chosen], num_seeds)
    state = UNFINISHED if state in (None, STOPPED) else state
    failed = next((run for run in chosen if run.state in (FAILED, DIVERGED)), None)
    objectives = (
        list(known.values)
        if known is not None and known.values
        else mean_objectives([run.objectives for run in chosen])
    )
    return Trial(
        number,
        state,
        masked(as_mapping(notes.get("settings"))) or _settings(chosen, known, source),
        objectives if state == COMPLETE else None,
        (notes.get("cause") or (failed.cause if failed else None) or "unknown") if state == FAILED else None,
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


def _settings(runs: Sequence[RunRecord], known: Any, source: Source) -> dict[str, str]:
    """What the trial was told to change, of that what was swept; else the values of what differs between runs."""
    if runs:
        if told := settings_in(runs[0].overrides, [axis.key for axis in source.space]):
            return told
        values = {key: runs[0].value(key) for key in source.axes}
        return {key: str(value) for key, value in values.items() if value is not None}
    return {key: str(value) for key, value in known.params.items()} if known is not None else {}
