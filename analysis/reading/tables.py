"""Runs from a table: a row for each update, a column for each metric, under many names."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from analysis.reading.column_names import (
    RUN,
    counts_episodes,
    find_axis,
    find_run_column,
    find_seed_column,
    is_counter,
    is_logging,
    is_of_config,
    is_seed,
    make_config_key,
    name_axis,
)
from analysis.reading.metric_names import are_trls, is_metric, rename_metrics
from analysis.reading.table_files import is_number, read_frame
from analysis.reading.wandb_exports import drop_extremes, is_export, read_exported_runs
from analysis.records.runs import UPDATE, RunRecord, Source
from analysis.wording.errors import AnalysisError
from analysis.wording.labels import label_value
from analysis.wording.numbers import convert_seed
from rlhf_sweeps.record import describe_restart, find_restarts, natural_key, select_current


def read_table(path: Path) -> Source:
    """A .csv, .tsv, .parquet or .jsonl file with a row for each update, TRL's trainer_state.json, a W&B chart's export.

    The updates come from a column `update`, `step`, `episode` or the like, else they are counted from 0. Several runs
    are told apart by `run` and `seed`, and where that is not enough by columns of text; one begins where the updates
    start again. Where they only go back some way, as after a kill, the later values count, and what lay beyond is dead.
    Rows of one update that do not contradict each other are joined, also where an evaluation was logged late. A column
    that is constant in every run, but not in the table, belongs to the config, unless it has the name of a metric.

    Raises:
        AnalysisError: if it cannot be read, holds no row or no numbers, or an update twice.
    """
    problems: list[str] = []
    frame, is_log_history = read_frame(path, problems)
    frame = drop_extremes(frame)
    axis = find_axis(frame.columns)
    if axis:
        frame = _select_rows_with_updates(path, frame, axis)
    if axis and counts_episodes(axis):
        problems.append(f"no column counts the updates: they are taken from column {axis}")
    runs = (
        read_exported_runs(_select_numeric_columns(frame), axis)
        if axis and is_export(frame, axis)
        else _make_runs(path, frame, axis, problems)
    )
    of_trl = is_log_history or any(are_trls(run.metrics) for run in runs)
    runs = [replace(run, metrics=rename_metrics(run.metrics, of_trl)) for run in runs]
    if axis is None and any(len(run.updates) > 1 for run in runs):
        problems.append("no column counts the updates: rows are counted from 0")
    if not any(set(run.metrics) - {UPDATE} for run in runs):
        subject = f"no column but {axis}" if axis else "no column"
        raise AnalysisError(f"{path}: {subject} holds numbers (there are: {', '.join(map(str, frame.columns))})")
    return Source(path.stem, "table", runs, problems=tuple(problems))


def _select_rows_with_updates(path: Path, frame: Any, axis: str) -> Any:
    """The rows that have an update's number."""
    if not is_number(frame[axis]):
        examples = ", ".join(map(str, frame[axis].dropna().unique()[:3]))
        raise AnalysisError(f"{path}: column {axis}: must hold the updates' numbers (there are: {examples})")
    has_update = np.isfinite(frame[axis].to_numpy(np.float64, na_value=np.nan))
    if not has_update.any():
        raise AnalysisError(f"{path}: column {axis}: must hold the updates' numbers (there are none)")
    return frame[has_update]


def _make_runs(path: Path, frame: Any, axis: str | None, problems: list[str]) -> list[RunRecord]:
    name = find_run_column(frame.columns)
    named = [column for column in (name, find_seed_column(frame.columns)) if column is not None]
    unnamed = [c for c in frame.columns if c not in named and c != axis]
    texts = [c for c in unnamed if not is_number(frame[c])]
    # A text of its own in most rows (a time, an answer) names no run.
    repeated_texts = [c for c in texts if 2 * frame[c].nunique() <= len(frame)]
    parts = _split(frame, named)
    if not axis or any(rows[axis].duplicated().any() for rows in parts):
        parts = _split(frame, [*named, *repeated_texts])
    if name is not None:
        parts.sort(key=lambda rows: natural_key(str(rows[name].iloc[0])))
    if axis:
        parts = [run for rows in parts for run in _separate_runs(rows, axis, problems)]
    config = _find_setting_columns(frame[unnamed], parts)
    varying = [c for c in config if frame[c].nunique(dropna=False) > 1]
    are_alike = not varying and all(frame[c].nunique(dropna=False) == 1 for c in named if c != name)
    numeric = _select_numeric_columns(frame.drop(columns=[*named, *config])).columns
    runs = [_make_run(path, rows, axis, named, config, numeric) for rows in parts]
    if name is not None and (are_alike or frame[name].nunique(dropna=False) < len(parts)):
        # The name stands for the setting: several runs have it, or nothing else tells the runs apart.
        names = [_format_name(_convert_cell(rows[name].iloc[0])) for rows in parts]
        runs = [replace(run, config={RUN: text, **run.config}) for run, text in zip(runs, names, strict=True)]
    if len({run.name for run in runs}) < len(runs) and named and varying:
        runs = [replace(run, name=f"{run.name} {_format_settings(run, varying)}") for run in runs]
    names = [run.name for run in runs]
    return [replace(run, name=f"{run.name} {n}") if names.count(run.name) > 1 else run for n, run in enumerate(runs)]


def _find_setting_columns(frame: Any, parts: list[Any]) -> list[str]:
    """The columns with settings of the runs, of which each has some rows: texts, and numbers that differ between runs.

    Where each run has one row, every number is constant in it: settings are then columns with the name of a config key,
    or with values that several runs share.
    """
    same = [c for c in frame.columns if all(_is_constant(rows[c]) for rows in parts)]
    are_long = any(len(rows) > 1 for rows in parts)

    def is_varied(column: str) -> bool:
        differs = len(parts) > 1 and frame[column].nunique() > 1 and not (is_metric(column) or is_counter(column))
        return differs and (are_long or is_of_config(column) or 2 * frame[column].nunique() <= len(parts))

    return [c for c in same if not is_number(frame[c]) or is_varied(c)]


def _is_constant(cells: Any) -> bool:
    """Whether all cells are equal, without empty ones; a single one among empty cells may be a result of the run."""
    return bool(cells.nunique(dropna=False) == 1 or (cells.nunique() == 1 and cells.count() > 1))


def _find_first_value(cells: Any) -> Any:
    """The first cell that is not empty; None without one."""
    return _convert_cell(cells.dropna().iloc[0]) if cells.notna().any() else None


def _split(frame: Any, columns: list[str]) -> list[Any]:
    return [rows for _, rows in frame.groupby(columns, sort=False, dropna=False)] if columns else [frame]


def _separate_runs(rows: Any, axis: str, problems: list[str]) -> list[Any]:
    """The runs in rows that have the same name."""
    progress = rows[axis].where(_are_progress(rows, axis))
    going_back = find_restarts(progress.to_list())
    if not rows[axis].duplicated().any():
        last_update = progress.ffill()
        problems += [
            describe_restart(last_update.iloc[position - 1], last_update.iloc[position]) for position in going_back
        ]
        return [rows.iloc[select_current(rows[axis].to_list(), going_back)]]
    if _are_consistent(rows, axis):
        return [_merge_rows(rows, axis)]
    runs: list[Any] = []
    last_update = progress.ffill()
    for _, part in rows.groupby((last_update.diff() < 0).cumsum(), sort=False):
        start = part[axis].iloc[0]
        if runs and going_back and start > runs[-1][axis].min():
            before = runs.pop()
            runs.append(_append_rows(before, part, axis))
            problems.append(describe_restart(last_update[before.index[-1]], start))
        else:
            runs.append(part)
    return [_merge_rows(run, axis) if _are_consistent(run, axis) else run for run in runs]


def _are_progress(rows: Any, axis: str) -> Any:
    """Whether each row has a number that changes and that half of the rows have: an evaluation may be logged late."""
    metrics = [c for c in _select_numeric_columns(rows).columns if not (c == axis or is_counter(c) or is_logging(c))]
    steady = [c for c in metrics if rows[c].nunique() > 1 and 2 * rows[c].count() >= len(rows)]
    return rows[steady].notna().any(axis=1) | (not steady)


def _are_consistent(rows: Any, axis: str) -> bool:
    """Whether rows of one update do not contradict each other: one is for training, one for evaluation, as TRL logs."""
    recorded = rows[[c for c in rows.columns if c == axis or not is_logging(c)]]
    return bool((recorded.groupby(axis).nunique() <= 1).all(axis=None))


def _merge_rows(rows: Any, axis: str) -> Any:
    return rows.groupby(axis, as_index=False, sort=False).first()


def _append_rows(before: Any, part: Any, axis: str) -> Any:
    import pandas as pd

    return pd.concat([before[before[axis] < part[axis].iloc[0]], part])


def _make_run(
    path: Path, rows: Any, axis: str | None, named: list[str], config: list[str], numeric: Iterable[str]
) -> RunRecord:
    first = {column: _find_first_value(rows[column]) for column in (*named, *config)}
    texts = [f"seed {_format_seed(first[c])}" if is_seed(c) else _format_name(first[c]) for c in named]
    updates = rows[axis].to_numpy(np.float64, na_value=np.nan) if axis else np.arange(len(rows), dtype=np.float64)
    twice = [update for update, num in Counter(updates.tolist()).items() if num > 1]
    if twice:
        subject = f"update {twice[0]:g} occurs" if len(twice) == 1 else f"update {twice[0]:g} and others occur"
        raise AnalysisError(f"{path}: {subject} twice; a column `run` must distinguish the runs")
    order = np.argsort(updates, kind="stable")
    metrics = {UPDATE: updates[order]}
    for column in numeric:
        values = rows[column].to_numpy(np.float64, na_value=np.nan)[order]
        if column != axis and np.isfinite(values).any():
            metrics[column] = values
    run_config = {
        make_config_key(key) if key in named else key: value for key, value in first.items() if value is not None
    }
    run_config.pop(RUN, None)  # of a setting only, see above
    counted_by = UPDATE if axis is None else name_axis(axis)
    return RunRecord(" ".join(texts) or path.stem, metrics, run_config, axis=counted_by)


def _format_name(value: Any) -> str:
    return "unnamed" if value is None else str(value)


def _format_seed(value: Any) -> str:
    seed = convert_seed(value)
    return label_value(value) if seed is None else str(seed)


def _select_numeric_columns(frame: Any) -> Any:
    return frame[[column for column in frame.columns if is_number(frame[column])]]


def _format_settings(run: RunRecord, keys: list[str]) -> str:
    return " ".join(f"{key}={label_value(run.config[key])}" for key in keys if key in run.config)


def _convert_cell(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    return None if value is None or value != value else value
