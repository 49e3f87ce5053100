"""A W&B run as a RunRecord, wherever it was read from: our names for metrics, updates as the x axis, a flat config."""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from analysis.reading.conversion import flatten, make_columns
from analysis.reading.metric_names import rename_metrics
from analysis.reading.wandb_rows import find_row_axis, select_alive_rows
from analysis.records.runs import COMPLETE, FAILED, UNFINISHED, UPDATE, Floats, RunRecord, Samples
from rlhf_sweeps.record import as_update, natural_key, read_bytes
from rlhf_sweeps.record.trials import read_state

SWEEP = "sweep"  # the job type of a sweep's own W&B run
# Columns of TRL's tables of samples.
_COLUMNS = {
    "step": "update",
    "query": "prompt",
    "completion": "response",
    "model response": "response",
    "reward": "score",
}


@dataclass(frozen=True, eq=False)
class WandbRun:
    """A run and its place.

    Attributes:
        id, name, group: as W&B knows it.
        run: its record, without the place in a sweep.
        trial: its number in the sweep; None where that is unknown.
        is_test: whether its seed is a test seed.
        settings: its config as it was logged, nested.
    """

    id: str
    name: str
    group: str
    run: RunRecord
    trial: int | None = None
    is_test: bool = False
    settings: Mapping[str, Any] | None = None


def make_run(
    config: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    summary: Mapping[str, Any],
    state: str,
    problems: Sequence[str] = (),
    read_samples: Callable[[], Samples] = list,
) -> RunRecord:
    """A run without a name.

    The reason of a failure is not logged to W&B, so a run that diverged is a failed one here.

    Args:
        config: nested, as it was logged.
        rows: the history, in the order in which it was logged; of two values for one update the later one counts,
            and rows beyond an update to which the run went back, as after a kill or a rewind, do not count.
        summary: W&B's summary of the run, with the last value of each metric.
        state: W&B's word: running, finished, failed, crashed, killed ...
    """
    ours = {key: value for key, value in config.items() if key not in ("_wandb", "wandb_version", "versions")}
    overrides = ours.pop("overrides", None)
    axis = find_row_axis(rows)
    all_problems = list(problems)
    if rows and axis != UPDATE:
        all_problems.append(f"logged no metric `update`: {axis} is used instead")
    metrics = _make_metrics(rows, axis, all_problems)
    logged = {name for row in rows for name in row}
    last = {key: value for key, value in summary.items() if key not in logged and not key.startswith("_")}
    if isinstance(config.get("versions"), dict):
        last["versions"] = config["versions"]
    return RunRecord(
        "",
        metrics,
        flatten(ours),
        _choose_state(last, state),
        last,
        overrides=tuple(map(str, overrides)) if isinstance(overrides, list) else (),
        problems=tuple(all_problems),
        read_samples=read_samples,
        axis=axis,
    )


def name_runs(runs: Iterable[WandbRun]) -> list[RunRecord]:
    """The records by trial, each with a name of its own; with the group before it where there are several groups."""
    runs = list(runs)
    groups = {run.group for run in runs}
    order = [(natural_key(run.group), run.is_test, math.inf if run.trial is None else run.trial) for run in runs]
    sorted_runs = [runs[index] for index in sorted(range(len(runs)), key=order.__getitem__)]
    names = [run.name or run.id for run in sorted_runs]
    if len(groups) > 1:
        names = [f"{run.group or 'no group'}/{name}" for run, name in zip(sorted_runs, names, strict=True)]
    renamed_runs = []
    for run, name in zip(sorted_runs, names, strict=True):
        unique = f"{name} ({run.id})" if names.count(name) > 1 else name
        config = {**run.run.config, "group": run.group} if len(groups) > 1 else run.run.config
        trial = run.trial if len(groups) == 1 else None
        renamed_runs.append(replace(run.run, name=unique, config=config, trial=trial, is_test=run.is_test))
    return renamed_runs


def read_logged_table(path: Path) -> list[dict[str, Any]]:
    """The rows of a table that W&B has kept as JSON; none if it is damaged."""
    try:
        content = json.loads(read_bytes(path))
        return [dict(zip(content["columns"], row, strict=True)) for row in content["data"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return []


def select_samples(table: Sequence[Mapping[str, Any]]) -> Samples:
    """A table's rows under our names; none if they are no samples: prompts and responses."""
    rows = [{_COLUMNS.get(column.lower(), column): value for column, value in row.items()} for row in table]
    return [row for row in rows if "prompt" in row and "response" in row]


def _choose_state(summary: Mapping[str, Any], state: str) -> str:
    # What our own run has said of its end tells more: an interrupted one's process fails, too.
    if state in ("finished", "failed") and "status" in summary:
        return read_state(summary)
    return {"finished": COMPLETE, "failed": FAILED}.get(state, UNFINISHED)


def _make_metrics(rows: Sequence[Mapping[str, Any]], axis: str, problems: list[str]) -> dict[str, Floats]:
    by_update: dict[float, dict[str, Any]] = {}
    for row in select_alive_rows(rows, axis, problems):
        if not math.isnan(update := as_update(row.get(axis))):
            by_update.setdefault(float(update), {}).update(row)
    arrays = make_columns([{**by_update[update], UPDATE: update} for update in sorted(by_update)])
    media = tuple(
        name.removesuffix("_type") for name in {name for row in rows for name in row if name[-6:] == "._type"}
    )
    metrics = {name: arrays[name] for name in arrays if not name.startswith(("_", *media)) and name != axis}
    return rename_metrics({UPDATE: arrays[UPDATE], **metrics}, are_trls=True)
