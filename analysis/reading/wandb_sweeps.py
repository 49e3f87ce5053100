"""W&B runs as a source; for one sweep with its trials, as far as the sweep's own W&B run has them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from analysis.reading.conversion import flatten, make_keywords
from analysis.reading.study import rebuild_study
from analysis.reading.trials import make_trials
from analysis.reading.wandb_runs import WandbRun, name_runs
from analysis.records.objective import read_sweep_objective
from analysis.records.runs import RunRecord, Source, TrialRecord, convert_number
from rlhf_sweeps.record import SweepPlan, as_mapping, convert_start, read_plan

Table = Sequence[Mapping[str, Any]]
_STATES = ("complete", "pruned", "failed")


def make_source(
    name: str, runs: Sequence[WandbRun], sweeps: Sequence[tuple[WandbRun, Table]], folder: Path | None = None
) -> Source:
    """A source of all runs; a sweep with trials where all runs are in one group, else without.

    A run whose place in the sweep is unknown is found in the sweep's table of trials by its values. Without a table,
    trials are numbered as their settings were first seen.

    Args:
        sweeps: the sweeps' own W&B runs, each with its table of trials, empty where that is unknown.
    """
    groups = {run.group for run in runs}
    objectives = {looked_for for run in runs if (looked_for := run.run.looked_for)}
    if len(groups) != 1 or groups == {""} or len(objectives) > 1:
        common_objective = objectives.pop() if len(objectives) == 1 else None
        return Source(name, "wandb", _make_independent_runs(runs), **make_keywords(common_objective), folder=folder)
    (group,) = groups
    settings, table = next(((run.settings or {}, rows) for run, rows in sweeps if run.group == group), ({}, []))
    settings = convert_start(settings, {})
    plan = read_plan(settings)
    base = flatten(as_mapping(settings.get("config"))) or runs[0].run.config
    source = Source(
        name,
        "wandb",
        name_runs(_assign_trials(runs, plan, table)),
        **make_keywords(read_sweep_objective(plan, base)),
        space=plan.axes,
        seconds=convert_number(settings.get("seconds")) or 0.0,
        folder=folder,
    )
    row_of = {row.get("trial"): row for row in table}
    trials = [_apply_row(trial, row_of.get(trial.number)) for trial in make_trials(source, None, len(plan.seeds))]
    return replace(source, trials=trials, study=rebuild_study(trials, source))


def _make_independent_runs(runs: Sequence[WandbRun]) -> list[RunRecord]:
    """The runs outside of any sweep."""
    return [replace(run, trial=None) for run in name_runs(runs)]


def _assign_trials(runs: Sequence[WandbRun], plan: SweepPlan, table: Table) -> list[WandbRun]:
    """The runs with their trials' numbers."""
    swept = [axis.key for axis in plan.axes if axis.tied_to is None]
    keys = swept or Source("", "wandb", [run.run for run in runs]).axes
    rows = {_make_setting_key([row.get(key) for key in keys]): row for row in table if all(key in row for key in keys)}
    trial_numbers = {run.trial for run in runs if run.trial is not None}
    numbers: dict[tuple[str, ...], int] = {}
    placed = []
    for run in runs:
        setting = _make_setting_key([run.run.look_up(key) for key in keys])
        row = rows.get(setting)
        if run.trial is not None:
            placed.append(run)
        elif row is not None and isinstance(row.get("trial"), int):
            placed.append(replace(run, trial=row["trial"], is_test=_is_test(run.run, row, plan)))
        elif trial_numbers or rows:
            placed.append(run)
        else:
            placed.append(replace(run, trial=numbers.setdefault(setting, len(numbers))))
    return placed


def _make_setting_key(values: Sequence[Any]) -> tuple[str, ...]:
    """Values in a form in which a number and its text are equal."""
    return tuple(repr(float(x)) if _is_number(x) else str(x) for x in values)


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return not isinstance(value, bool)


def _is_test(run: RunRecord, row: Mapping[str, Any], plan: SweepPlan) -> bool:
    if plan.test_seeds:
        return run.seed in plan.test_seeds
    seeds = str(row.get("seeds") or "")
    return row.get("state") == "complete" and bool(seeds) and str(run.seed) not in seeds.split(", ")


def _apply_row(trial: TrialRecord, row: Mapping[str, Any] | None) -> TrialRecord:
    """A trial with the values of its row in the sweep's table."""
    if row is None or row.get("state") not in _STATES:
        return trial
    columns = list(row)
    values = [row[column] for column in columns[columns.index("cause") + 1 : columns.index("seeds")]]
    has_values = row["state"] == "complete" and bool(values) and all(isinstance(x, int | float) for x in values)
    seconds = convert_number(row.get("seconds"))
    return replace(
        trial,
        state=str(row["state"]),
        objectives=[float(value) for value in values] if has_values else None,
        cause=str(row.get("cause") or "unknown") if row["state"] == "failed" else None,
        seconds=trial.seconds if seconds is None else seconds,
    )
