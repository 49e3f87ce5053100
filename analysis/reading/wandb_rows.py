"""The rows of a W&B run's history: the metric that counts their updates, and the rows that no longer count."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from analysis.records.runs import UPDATE
from rlhf_sweeps.record import as_update, describe_restart, find_restarts, find_steps_back, select_current

Rows = Sequence[Mapping[str, Any]]
STEP = "_step"  # W&B's own count of what was logged
_TIME = "_timestamp"
# The x axis: ours, that of Hugging Face's trainers (one a PPO update in TRL), TRL's count of responses.
_AXES = (UPDATE, "train/global_step", "global_step", "episode", "train/episode", STEP)
_COUNTERS = (*_AXES, "epoch", "train/epoch")


def find_row_axis(rows: Rows) -> str:
    """The metric that counts the updates: the first of a list that half of the rows have, else W&B's steps."""
    counts = {axis: sum(axis in row for row in rows) for axis in _AXES}
    return next((axis for axis, count in counts.items() if count and 2 * count >= len(rows)), STEP)


def order_as_logged(rows: Rows, is_rewound: bool = False) -> Rows:
    """Rows that come by their steps, in the order in which they were logged.

    W&B logs a step once: one that comes twice, as a rewind itself, means that what was logged before it is there, too.
    """
    times = [as_update(row.get(_TIME)) for row in rows]
    comes_twice = len({row.get(STEP) for row in rows}) < len(rows)
    if not (comes_twice or is_rewound) or any(map(math.isnan, times)):
        return rows
    return [rows[position] for position in sorted(range(len(rows)), key=times.__getitem__)]


def select_alive_rows(rows: Rows, axis: str, problems: list[str]) -> list[Mapping[str, Any]]:
    """The rows that count, where the run went back to an earlier update or W&B's steps did.

    An evaluation may be logged late, after updates that follow it; a run has gone back only where what it logs all
    along comes again.

    Args:
        rows: in the order in which they were logged.
        problems: gets a sentence for each time.
    """
    steps, updates = [[as_update(row.get(name)) for row in rows] for name in (STEP, axis)]
    is_progress = _are_progress(rows, axis)
    progress = [update if counts else math.nan for update, counts in zip(updates, is_progress, strict=True)]
    rewound, restarted = find_steps_back(steps), find_restarts(progress)
    for position in sorted({*rewound, *restarted}):
        counter, values = ("the updates", progress) if position in restarted else ("W&B's steps", steps)
        before = next(value for value in reversed(values[:position]) if not math.isnan(value))
        problems.append(describe_restart(before, values[position], counter))
    positions = set(select_current(steps, rewound)) & set(select_current(updates, restarted))
    return [rows[position] for position in sorted(positions)]


def _are_progress(rows: Rows, axis: str) -> list[bool]:
    """Whether a row has a metric that half of those with an update have."""
    names = [{name for name in row if name not in _COUNTERS and name[:1] != "_"} for row in rows]
    numbered = [own for own, row in zip(names, rows, strict=True) if axis in row]
    counts = Counter(name for own in numbered for name in own)
    steady = {name for name, count in counts.items() if 2 * count >= len(numbered)}
    return [not steady or bool(steady & own) for own in names]
