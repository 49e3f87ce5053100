"""Where a run went on from an earlier update, and what it had recorded beyond that one, which is dead."""

import math
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

_MOST_REPEATED = 1 / 4  # of the rows, where updates come again
_MOST = 1 / 10  # of the rows, where none does


def restarts(updates: Sequence[float], is_own: bool = False) -> list[int]:
    """The positions at which the updates go back, as after a kill or a rewind; none where they have no order.

    Updates that go back at more rows than one in four, or one in ten where none comes twice, are those of rows in any
    order, or of several runs mixed. A single step back counts, however short the record is. Where no update comes
    twice, a table's parts may stand in any order: one to before the first update does not count, and none does if the
    rows in order are evenly spaced, as no run leaves them that goes on with other updates than before.

    Args:
        updates: of one run, in the order in which they were recorded; nan where a row has none.
        is_own: whether they are those of one run's own record, to which rows were only ever added: if every step back
            is to an update that was there before, the run went back so often.
    """
    steps_back = returns(updates)
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


def returns(updates: Sequence[float]) -> list[int]:
    """The positions at which the updates go back, however often; the arguments are those of `restarts`."""
    positions, before = [], -math.inf
    for position, update in enumerate(updates):
        if update < before:
            positions.append(position)
        before = before if math.isnan(update) else update
    return positions


def alive(updates: Sequence[float], restarted: Sequence[int]) -> list[int]:
    """The positions that count: what lies at or beyond an update to which the run went back later is dead.

    Args:
        updates: as `restarts` has them.
        restarted: what `restarts` gives, of these or of those among them that show the run's progress.
    """
    back, limit, positions = set(restarted), math.inf, []
    for position in reversed(range(len(updates))):
        if math.isnan(updates[position]) or updates[position] < limit:
            positions.append(position)
        if position in back:
            limit = min(limit, updates[position])
    return positions[::-1]


def going_on(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows that count, by their `update`, of a run's own record with one or several for each update."""
    updates = [as_update(row.get("update")) for row in rows]
    return [dict(rows[position]) for position in alive(updates, restarts(updates, is_own=True))]


def as_update(value: Any) -> float:
    """An update's number; nan for anything else, and for a whole number beyond all that a float can be."""
    return value if isinstance(value, int | float) and abs(value) <= sys.float_info.max else math.nan


def continued(before: float, start: float, what: str = "the updates") -> str:
    """What to say of one restart."""
    return f"{what} go back from {before:g} to {start:g}: read as a run that was continued, so the later values count"
