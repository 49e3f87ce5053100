"""How many updates a recorded row stands for, so that sums are right where only every tenth update was logged; and how
many a run has in all."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.wording.numbers import convert_number

_Floats = NDArray[np.float64]


def count_spans(updates: _Floats, are_updates: bool = True) -> _Floats:
    """The number of updates that each row stands for, (n,): those since the row before, so that gaps are filled.

    The first row stands for the updates from 1 on, but for no more than lie between it and the next: a record may begin
    late, as after a resume, and nothing is known of the time before. Where updates are counted from 0, the first row
    stands for one, and so does a single row, since the distance between rows is unknown.

    Args:
        updates: ascending, (n,).
        are_updates: whether rows are counted by updates; else each stands for one.
    """
    if not are_updates or len(updates) < 2:
        return np.ones(len(updates))
    steps = np.diff(updates)
    return np.concatenate([[max(min(updates[0], steps[0]), 1.0)], steps])


def sum_over_updates(updates: _Floats, values: _Floats, are_updates: bool = True) -> _Floats:
    """The running sum, (n,), each row's value counted for every update that it stands for."""
    sums: _Floats = np.cumsum(values * count_spans(updates, are_updates))
    return sums


def count_planned_updates(total_episodes: Any, batch_size: Any) -> int | None:
    """PPO updates of a whole run; None where the config's values tell none."""
    episodes, batch = convert_number(total_episodes), convert_number(batch_size)
    if episodes is None or batch is None or episodes <= 0 or batch <= 0 or not math.isfinite(episodes / batch):
        return None
    return math.ceil(episodes / batch)
