"""Restarts of a run: from an earlier update on, the run records updates again, and its older rows become obsolete."""

import math
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

# The largest share of rows at which the updates go back; beyond it the rows have no order. Chosen, not measured.
_MOST_REPEATED = 1 / 4  # if some updates are recorded twice
_MOST = 1 / 10  # if none is


def find_restarts(updates: Sequence[float], is_own: bool = False) -> list[int]:
    """The positions at which the run was restarted: its updates go back there. Empty if the rows have no order.

    If the updates go back at more than a quarter of the rows (a tenth, if no update occurs twice), the rows are
    unordered or come from several runs. A single step back always counts. If no update occurs twice, the rows may be
    parts of a table in any order; then a step back to before the first update does not count, and none counts if the
    sorted updates are evenly spaced: a restarted run would repeat updates, or leave a gap.

    Args:
        updates: of one run, in the order in which they were recorded; nan for a row without an update.
        is_own: whether they come from a run's own record, to which rows are only added. Then all steps back count if
            each leads to an update that was recorded before.
    """
    steps_back = find_steps_back(updates)
    numbers = [update for update in updates if not math.isnan(update)]
    if is_own and all(updates[position] in updates[:position] for position in steps_back):
        return steps_back
    if len(set(numbers)) < len(numbers):
        return steps_back if len(steps_back) <= max(1.0, _MOST_REPEATED * len(numbers)) else []
    is_within = all(updates[position] > numbers[0] for position in steps_back)
    is_rare = len(steps_back) <= max(1.0, _MOST * len(numbers))
    return steps_back if is_within and is_rare and not _are_even(numbers) else []


def _are_even(updates: Sequence[float]) -> bool:
    ordered = sorted(updates)
    steps = [after - before for before, after in pairwise(ordered)]
    return not steps or math.isclose(min(steps), max(steps))


def find_steps_back(updates: Sequence[float]) -> list[int]:
    """All positions at which the updates go back; the arguments are those of `find_restarts`."""
    positions, before = [], -math.inf
    for position, update in enumerate(updates):
        if update < before:
            positions.append(position)
        before = before if math.isnan(update) else update
    return positions


def select_current(updates: Sequence[float], restarted: Sequence[int]) -> list[int]:
    """The positions of the rows that count: a row is obsolete if the run restarted later at its update or before.

    Args:
        updates: as for `find_restarts`.
        restarted: the result of `find_restarts` for these updates, or for those of them that show the run's progress.
    """
    back, limit, positions = set(restarted), math.inf, []
    for position in reversed(range(len(updates))):
        if math.isnan(updates[position]) or updates[position] < limit:
            positions.append(position)
        if position in back:
            limit = min(limit, updates[position])
    return positions[::-1]


def select_current_rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows of a run's own record that are not obsolete, by their key `update`; an update may have several rows."""
    updates = [as_update(row.get("update")) for row in rows]
    return [dict(rows[position]) for position in select_current(updates, find_restarts(updates, is_own=True))]


def as_update(value: Any) -> float:
    """The number of an update; nan for anything else, and for a number beyond the range of a float."""
    return value if isinstance(value, int | float) and abs(value) <= sys.float_info.max else math.nan


def describe_restart(before: float, start: float, subject: str = "the updates") -> str:
    """One sentence about a restart."""
    return f"{subject} go back from {before:g} to {start:g}: taken for a continued run, so the later values count"
