"""The tables that W&B's charts export: a column `run - metric` for each run, with its __MIN and __MAX beside it.

The smallest and largest of the values that one point of the chart stands for are left out.
"""

from typing import Any

import numpy as np

from analysis.records.runs import UPDATE, RunRecord
from rlhf_sweeps.record import natural_key

_BETWEEN = " - "
_EXTREMES = ("__MIN", "__MAX")


def drop_extremes(frame: Any) -> Any:
    """The frame without the columns that hold another's lowest and highest values."""
    names = set(frame.columns)
    return frame[[name for name in frame.columns if not (name.endswith(_EXTREMES) and name[:-5] in names)]]


def is_export(frame: Any, axis: str | None) -> bool:
    """Whether every column but the updates belongs to a run."""
    columns = [name for name in frame.columns if name != axis]
    return axis is not None and bool(columns) and all(_BETWEEN in name.strip() for name in columns)


def read_exported_runs(frame: Any, axis: str) -> list[RunRecord]:
    """The runs, by name, each with the updates at which it has a value."""
    updates = frame[axis].to_numpy(np.float64, na_value=np.nan)
    order = np.argsort(updates, kind="stable")
    columns_of: dict[str, dict[str, Any]] = {}
    for name in frame.columns:
        run, between, metric = name.rpartition(_BETWEEN)
        if name == axis or not between or metric == "_step":
            continue
        columns_of.setdefault(run, {})[metric] = frame[name].to_numpy(np.float64, na_value=np.nan)[order]
    runs = []
    for run in sorted(columns_of, key=natural_key):
        metrics = columns_of[run]
        is_there = np.isfinite(updates[order]) & np.any([np.isfinite(values) for values in metrics.values()], axis=0)
        recorded = {metric: values[is_there] for metric, values in metrics.items()}
        runs.append(RunRecord(run, {UPDATE: updates[order][is_there], **recorded}))
    return runs
