"""How many updates a recorded row stands for: sums over updates are right where only every tenth was logged, too."""

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float64]


def spans(updates: _Floats) -> _Floats:
    """The updates that each row stands for, (n,): those since the row before, so that what a gap has lost is filled.

    The first row stands for the updates from 1 on, but for no more than rows are usually apart: a record that begins
    late, as one of a resumed run may, tells nothing of what was before. Where updates are counted from 0, it stands for
    one.

    Args:
        updates: ascending, (n,).
    """
    if not len(updates):
        return np.empty(0)
    steps = np.diff(updates)
    first = updates[0] if not len(steps) else min(updates[0], np.median(steps))
    return np.concatenate([[max(first, 1.0)], steps])


def running_sum(updates: _Floats, values: _Floats) -> _Floats:
    """Over all updates up to each row, (n,), each row's value counted for every update that it stands for."""
    found: _Floats = np.cumsum(values * spans(updates))
    return found
