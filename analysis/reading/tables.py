"""Runs from a table: a row for each update, a column for each metric, under the names that people give them."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from analysis.errors import AnalysisError
from analysis.labels import shown
from analysis.numbers import as_seed
from analysis.reading.table_files import is_number, read_frame
from analysis.reading.wandb_exports import is_export, runs_of, without_extremes
from analysis.records import CUMULATIVE_REWARD, UPDATE, RunRecord, Source
from rlhf_sweeps.runs import alive, continued, natural, restarts

# In lower case, with _ for what is no letter; a name that is none of these stays as it is.
_METRICS = {
    "reward": "objective/rlhf_reward",
    "step_reward": "objective/rlhf_reward",
    "mean_reward": "objective/rlhf_reward",
    "reward_mean": "objective/rlhf_reward",
    "rlhf_reward": "objective/rlhf_reward",
    "score": "objective/scores",
    "scores": "objective/scores",
    "ppo_mean_scores": "objective/scores",
    "cumulative_reward": CUMULATIVE_REWARD,
    "policy_loss": "loss/policy_avg",
    "ppo_loss_policy": "loss/policy_avg",
    "value_loss": "loss/value_avg",
    "ppo_loss_value": "loss/value_avg",
    "entropy": "objective/entropy",
    "ppo_policy_entropy": "objective/entropy",
    "kl": "objective/kl",
    "kl_divergence": "objective/kl",
    "learning_rate": "lr",
}
_UPDATES = (UPDATE, "updates", "step", "_step", "iteration", "global_step", "train_global_step")
_RUNS = ("run", "name", "run_name", "run_id")


def read_table(path: Path) -> Source:
    """A .csv, .tsv, .parquet or .jsonl file with a row for each update, TRL's trainer_state.json, a W&B chart's export.

    The updates come from a column `update`, `step` or the like, else they are counted from 0. Several runs are told
    apart by `run` and `seed`, and where that is not enough by columns of text; one begins where the updates start
    again. Where they only go back some way, as after a kill, the later values count, and what lay beyond is dead. Rows
    of one update that do not contradict each other are one. What is the same throughout every run, but not in all, is
    taken for the config.

    Raises:
        AnalysisError: if it cannot be read, holds no row or no numbers, or an update twice.
    """
    problems: list[str] = []
    frame = without_extremes(read_frame(path, problems, _is_name, _is_count))
    axis = _first(frame, _UPDATES)
    if axis:
        frame = _with_updates(path, frame, axis, problems)
    if axis and is_export(frame, axis):
        runs = [replace(run, metrics=_renamed(run.metrics)) for run in runs_of(_numeric(frame), axis)]
    else:
        runs = _runs(path, frame, axis, problems)
    if not any(set(run.metrics) - {UPDATE} for run in runs):
        what = f"no column but {axis}" if axis else "no column"
        raise AnalysisError(f"{path}: {what} holds numbers (there are: {', '.join(map(str, frame.columns))})")
    return Source(path.stem, "table", runs, problems=tuple(problems))


def _with_updates(path: Path, frame: Any, axis: str, problems: list[str]) -> Any:
    """The rows that have an update's number."""
    if not is_number(frame[axis]):
        examples = ", ".join(map(str, frame[axis].dropna().unique()[:3]))
        raise AnalysisError(f"{path}: column {axis}: must hold the updates' numbers (there are: {examples})")
    has_update = np.isfinite(frame[axis].to_numpy(np.float64, na_value=np.nan))
    if not has_update.any():
        raise AnalysisError(f"{path}: column {axis}: must hold the updates' numbers (there are none)")
    if num := int((~has_update).sum()):
        problems.append(f"column {axis}: {num} {'rows have' if num > 1 else 'row has'} no update's number, left out")
    return frame[has_update]


def _runs(path: Path, frame: Any, axis: str | None, problems: list[str]) -> list[RunRecord]:
    name = _first(frame, _RUNS)
    named = [column for column in (name, _first(frame, ("seed",))) if column is not None]
    texts = [c for c in frame.columns if c not in named and c != axis and not is_number(frame[c])]
    # A text of its own in most rows (a time, an answer) names no run.
    telling = [c for c in texts if 2 * frame[c].nunique() <= len(frame)]
    parts = _split(frame, named)
    if not axis or any(rows[axis].duplicated().any() for rows in parts):
        parts = _split(frame, [*named, *telling])
    if name is not None:
        parts.sort(key=lambda rows: natural(str(rows[name].iloc[0])))
    if axis:
        parts = [run for rows in parts for run in _apart(rows, axis, problems)]
    others = [c for c in frame.columns if c not in named and c != axis]
    config = [c for c in others if all(rows[c].nunique(dropna=False) == 1 for rows in parts)]
    are_long = len(parts) > 1 and any(len(rows) > 1 for rows in parts)
    config = [c for c in config if c in texts or (are_long and frame[c].nunique() > 1)]
    varying = [c for c in config if frame[c].nunique(dropna=False) > 1]
    numeric = _numeric(frame.drop(columns=[*named, *config])).columns
    runs = [_run(path, rows, axis, named, config, numeric) for rows in parts]
    if len({run.name for run in runs}) < len(runs) and named and varying:
        runs = [replace(run, name=f"{run.name} {_shown(run, varying)}") for run in runs]
    names = [run.name for run in runs]
    return [replace(run, name=f"{run.name} {n}") if names.count(run.name) > 1 else run for n, run in enumerate(runs)]


def _split(frame: Any, columns: list[str]) -> list[Any]:
    return [rows for _, rows in frame.groupby(columns, sort=False, dropna=False)] if columns else [frame]


def _apart(rows: Any, axis: str, problems: list[str]) -> list[Any]:
    """The runs of rows that are alike in everything that names a run."""
    updates = rows[axis].to_numpy(np.float64)
    going_back = restarts(updates)
    if not rows[axis].duplicated().any():
        problems += [continued(updates[position - 1], updates[position]) for position in going_back]
        return [rows.iloc[alive(updates, going_back)]]
    if _agree(rows, axis):
        return [_merged(rows, axis)]
    runs: list[Any] = []
    for _, part in rows.groupby((rows[axis].diff() < 0).cumsum(), sort=False):
        start = part[axis].iloc[0]
        if runs and going_back and start > runs[-1][axis].min():
            before = runs.pop()
            runs.append(_joined(before, part, axis))
            problems.append(continued(before[axis].iloc[-1], start))
        else:
            runs.append(part)
    return [_merged(run, axis) if _agree(run, axis) else run for run in runs]


def _agree(rows: Any, axis: str) -> bool:
    """Whether rows of one update do not contradict each other: one is for training, one for evaluation, as TRL logs."""
    return bool((rows.groupby(axis).nunique() <= 1).all(axis=None))


def _merged(rows: Any, axis: str) -> Any:
    return rows.groupby(axis, as_index=False, sort=False).first()


def _joined(before: Any, part: Any, axis: str) -> Any:
    import pandas as pd

    return pd.concat([before[before[axis] < part[axis].iloc[0]], part])


def _run(
    path: Path, rows: Any, axis: str | None, named: list[str], config: list[str], numeric: Iterable[str]
) -> RunRecord:
    first = {column: _plain(rows[column].iloc[0]) for column in (*named, *config)}
    texts = [
        f"seed {_seed_text(first[column])}" if column.lower() == "seed" else str(first[column]) for column in named
    ]
    updates = rows[axis].to_numpy(np.float64, na_value=np.nan) if axis else np.arange(len(rows), dtype=np.float64)
    if len(set(updates)) < len(updates):
        raise AnalysisError(
            f"{path}: update {updates[0]:g} and others stand there twice; a column `run` tells runs apart"
        )
    order = np.argsort(updates, kind="stable")
    metrics = {UPDATE: updates[order]}
    for column in numeric:
        values = rows[column].to_numpy(np.float64, na_value=np.nan)[order]
        if column != axis and np.isfinite(values).any():
            metrics[column] = values
    config_values = {key.lower() if key in named else key: x for key, x in first.items() if x is not None}
    return RunRecord(" ".join(texts) or path.stem, _renamed(metrics), config_values)


def _seed_text(value: Any) -> str:
    seed = as_seed(value)
    return shown(value) if seed is None else str(seed)


def _numeric(frame: Any) -> Any:
    return frame[[column for column in frame.columns if is_number(frame[column])]]


def _renamed(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The metrics under our names; of two that would have one name, the second keeps its own."""
    found: dict[str, Any] = {}
    for column, values in metrics.items():
        name = metric_name(column)
        found[column if name in found or (name != column and name in metrics) else name] = values
    return found


def metric_name(column: str) -> str:
    """Our name of a metric that is known under another one; any other name as it is."""
    plain = "".join(letter if letter.isalnum() else "_" for letter in column.lower()).strip("_")
    return _METRICS.get(plain, _METRICS.get(plain.removeprefix("train_"), column))


def _shown(run: RunRecord, keys: list[str]) -> str:
    return " ".join(f"{key}={shown(run.config[key])}" for key in keys if key in run.config)


def _first(frame: Any, names: tuple[str, ...]) -> str | None:
    lowered = {_plain_name(column): column for column in reversed(list(frame.columns))}
    return next((lowered[name] for name in names if name in lowered), None)


def _plain_name(column: str) -> str:
    return column.lower().replace("/", "_")


def _is_name(column: str) -> bool:
    return _plain_name(column) in _RUNS


def _is_count(column: str) -> bool:
    return _plain_name(column) in _UPDATES


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    return None if value is None or value != value else value
