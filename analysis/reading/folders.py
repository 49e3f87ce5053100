"""Runs and sweeps from their folders, however unfinished or damaged these are."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from analysis.reading.conversion import flatten, make_columns, make_keywords
from analysis.reading.study import empty_trials, open_study, rebuild_study
from analysis.reading.trials import make_trials
from analysis.records.objective import read_sweep_objective
from analysis.records.runs import RunRecord, Source, convert_number
from analysis.wording.statements import join_words
from rlhf_sweeps.process.activity import report_activity
from rlhf_sweeps.record import (
    Run,
    Sweep,
    as_mapping,
    find_unread,
    is_compared,
    is_run,
    list_runs,
    read_plan,
    salvage,
    salvage_hydra,
    salvage_object,
    salvage_samples,
)
from rlhf_sweeps.record.trials import read_state


def read_folder(place: Run | Sweep, name: str | None = None, storage: str | None = None) -> Source:
    """The source of a run's or a sweep's folder; its problems name what could not be read.

    Args:
        name: its name; by default the folder's.
        storage: where a sweep's study is, if not in its folder.
    """
    name = name or place.folder.resolve().name
    if isinstance(place, Sweep):
        return _read_sweep(place, name, storage)
    run = read_run(place, name)
    return Source(name, "run", [run], **make_keywords(run.looked_for), folder=place.folder)


def read_run(run: Run, name: str, trial: int | None = None, is_test: bool = False) -> RunRecord:
    """The record in one run's folder; where its metrics are gone, they come from W&B's own files in it."""
    content = salvage(run)
    record = RunRecord(
        name,
        make_columns(content.rows),
        flatten(content.start["config"]),
        read_state(content.summary),
        content.summary,
        trial,
        is_test,
        content.overrides,
        content.problems,
        run.folder,
        lambda: salvage_samples(run)[0],
        run.confirmation,
    )
    return record if content.rows else _fill_from_wandb(record)


def _fill_from_wandb(record: RunRecord) -> RunRecord:
    if record.folder is None or not any(record.folder.glob("wandb/*run-*/*.wandb")):
        return record
    from analysis.reading.wandb_logs import read_runs_from_logs

    logged = read_runs_from_logs([record.folder / "wandb"])
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


def _read_sweep(sweep: Sweep, name: str, storage: str | None) -> Source:
    problems: list[str] = []
    start = sweep.salvage_start(problems)
    if not start and not problems:
        problems.append(
            f"{sweep.start_file.name}: missing; the swept keys are inferred from the differences between runs"
        )
    if odd := find_unread(start):
        problems.append(
            f"{sweep.start_file.name}: not in the format of a sweeper ({join_words(odd)}), read as far as possible"
        )
    places, runs = list(list_runs(sweep)), []
    with report_activity(f"{len(places)} runs of {name}", len(places)) as reading:
        for place in places:
            runs.append(
                read_run(place.run, str(place.run.folder.relative_to(sweep.folder)), place.trial, place.is_test)
            )
            reading.done += 1
    plan = read_plan(start)
    config = as_mapping(start.get("config")) or next((run.config for run in runs if run.config), {})
    objective = read_sweep_objective(plan, config)
    runs = [replace(run, objective=objective) for run in runs]
    source = Source(name, "sweep", runs, **make_keywords(objective), space=plan.axes, folder=sweep.folder)
    sweeper = as_mapping(salvage_hydra(sweep, problems).get("sweeper"))
    study = open_study(sweep, start, sweeper.get("storage"), problems, storage)
    trials = make_trials(source, study, len(plan.seeds))
    if earlier := _list_incomparable_trials(start, study):
        trials = [trial for trial in trials if trial.number not in earlier]
        study = empty_trials(study, earlier)
        problems.append(
            f"trials {join_words(map(str, earlier))}: begun under an earlier configuration "
            "(hydra.sweeper.accept_changes), "
            "left out of every comparison of trials"
        )
    if foreign_runs := _list_foreign_runs(sweep):
        problems.append(
            f"{join_words(foreign_runs)}: no trial of this sweep, so left out; a command with this folder as "
            "PLACE reads it"
        )
    if study is None:
        study = rebuild_study(trials, source)
    return replace(
        source,
        trials=trials,
        study=study,
        comparison=salvage_object(sweep.comparison_file, problems) or None,
        is_comparison=plan.is_comparison,
        plan=plan,
        seconds=convert_number(start.get("seconds")) or 0.0,
        problems=tuple(problems),
    )


def _list_incomparable_trials(start: Mapping[str, Any], study: Any) -> list[int]:
    """The numbers of the trials that cannot be compared with the newest, since more than the search space changed."""
    trials = [] if study is None else study.get_trials(deepcopy=False)
    return [trial.number for trial in trials if not is_compared(start, trial.user_attrs)]


def _list_foreign_runs(sweep: Sweep) -> list[str]:
    """Folders with a run among those of the trials."""
    trials = {str(number) for number in sweep.trials()}
    folders = sorted(path for path in sweep.folder.iterdir() if path.is_dir() and path.name not in trials)
    return [path.name for path in folders if is_run(path)]
