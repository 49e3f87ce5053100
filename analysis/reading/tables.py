"""Runs from a table: a row for each update, a column for each metric, under the names that people give them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from analysis.errors import AnalysisError
from analysis.records import CUMULATIVE_REWARD, UPDATE, RunRecord, Source

# In lower case, with _ for what is no letter; a name that is none of these stays as it is.
_METRICS = {
    "reward": "objective/rlhf_reward",
    "step_reward": "objective/rlhf_reward",
    "mean_reward": "objective/rlhf_reward",
    "rlhf_reward": "objective/rlhf_reward",
    "score": "objective/scores",
    "scores": "objective/scores",
    "cumulative_reward": CUMULATIVE_REWARD,
    "policy_loss": "loss/policy_avg",
    "value_loss": "loss/value_avg",
    "entropy": "objective/entropy",
    "kl": "objective/kl",
    "kl_divergence": "objective/kl",
    "learning_rate": "lr",
}
_UPDATES = (UPDATE, "updates", "step", "_step", "iteration", "global_step", "train_global_step")
_RUNS = ("run", "name", "run_name", "run_id")


def read_table(path: Path) -> Source:
    """A .csv, .tsv or .parquet file with a row for each update.

    The updates come from a column `update`, `step` or the like, else they are counted from 0. Several runs are told
    apart by `run`, `seed` and columns of text, and one begins where the updates start again. These columns, and those
    of numbers that are the same throughout every run but not in all of them, are taken for the config.

    Raises:
        AnalysisError: if it cannot be read, holds no row or no numbers, or an update twice.
    """
    frame = _frame(path)
    axis = _first(frame, _UPDATES)
    named = [column for column in (_first(frame, _RUNS), _first(frame, ("seed",))) if column is not None]
    config = [c for c in frame.columns if c in named or (c != axis and not _is_number(frame[c]))]
    parts = [rows for _, rows in frame.groupby(config, sort=False, dropna=False)] if config else [frame]
    if axis:
        parts = [run for rows in parts for run in _apart(rows, axis)]
    if len(parts) > 1:
        numbers = [c for c in frame.columns if c not in (*config, axis)]
        config += [c for c in numbers if frame[c].nunique() > 1 and all(rows[c].nunique() == 1 for rows in parts)]
    runs = [_run(path, rows, axis, config, named) for rows in parts]
    if not any(set(run.metrics) - {UPDATE} for run in runs):
        raise AnalysisError(f"{path}: no column but {axis or 'none'} holds numbers")
    names = [run.name for run in runs]
    runs = [replace(run, name=f"{run.name} {n}") if names.count(run.name) > 1 else run for n, run in enumerate(runs)]
    return Source(path.stem, "table", runs)


def _frame(path: Path) -> Any:
    import pandas as pd

    try:
        frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, sep=_separator(path))
    except Exception as error:
        raise AnalysisError(f"{path}: cannot be read as a table ({' '.join(str(error).split())[:200]})") from error
    frame.columns = [str(column).strip() for column in frame.columns]
    if frame.columns.duplicated().any():
        raise AnalysisError(f"{path}: two columns are called {frame.columns[frame.columns.duplicated()][0]}")
    if not len(frame):
        raise AnalysisError(f"{path}: holds no row")
    return frame


def _separator(path: Path) -> str:
    with path.open(encoding="utf-8-sig") as file:
        header = file.readline()
    return max(",;\t", key=header.count)


def _is_number(column: Any) -> bool:
    import pandas as pd

    return bool(pd.api.types.is_numeric_dtype(column))


def _apart(rows: Any, axis: str) -> list[Any]:
    """The runs of rows that are alike in everything that names a run."""
    if not rows[axis].duplicated().any():
        return [rows]
    return [run for _, run in rows.groupby((rows[axis].diff() < 0).cumsum(), sort=False)]


def _run(path: Path, rows: Any, axis: str | None, config: list[str], named: list[str]) -> RunRecord:
    first = {column: _plain(rows[column].iloc[0]) for column in config}
    texts = [f"seed {first[column]}" if column.lower() == "seed" else str(first[column]) for column in named]
    updates = rows[axis].to_numpy(np.float64) if axis else np.arange(len(rows), dtype=np.float64)
    rows, updates = rows[np.isfinite(updates)], updates[np.isfinite(updates)]
    if len(set(updates)) < len(updates):
        raise AnalysisError(
            f"{path}: update {updates[0]:g} and others stand there twice; a column `run` tells runs apart"
        )
    order = np.argsort(updates, kind="stable")
    metrics = {UPDATE: updates[order]}
    for column in rows.columns:
        if column == axis or column in config:
            continue
        values = rows[column].to_numpy(np.float64, na_value=np.nan)[order]
        if np.isfinite(values).any():
            metrics[metric_name(column)] = values
    config_values = {key.lower() if key in named else key: x for key, x in first.items() if x is not None}
    return RunRecord(" ".join(texts) or path.stem, metrics, config_values)


def metric_name(column: str) -> str:
    """Our name of a metric that is known under another one; any other name as it is."""
    plain = "".join(letter if letter.isalnum() else "_" for letter in column.lower()).strip("_")
    return _METRICS.get(plain, column)


def _first(frame: Any, names: tuple[str, ...]) -> str | None:
    lowered = {column.lower().replace("/", "_"): column for column in reversed(list(frame.columns))}
    return next((lowered[name] for name in names if name in lowered), None)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    return None if value is None or value != value else value
