"""How many updates a recorded row stands for: sums over updates are right where only every tenth was logged, too."""

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float64]


def spans(updates: _Floats, are_updates: bool = True) -> _Floats:
    """The updates that each row stands for, (n,): those since the row before, so that what a gap has lost is filled.

    The first row stands for the updates from 1 on, but for no more than lie between it and the next: a record that
    begins late, as one of a resumed run may, tells nothing of what was before. Where updates are counted from 0, it
    stands for one, and so does a row alone, which tells nothing of how far rows are apart.

    Args:
        updates: ascending, (n,).
        are_updates: else how many lie between two rows is unknown, and each stands for one.
    """
    if not are_updates or len(updates) < 2:
        return np.ones(len(updates))
    steps = np.diff(updates)
    return np.concatenate([[max(min(updates[0], steps[0]), 1.0)], steps])


def running_sum(updates: _Floats, values: _Floats, are_updates: bool = True) -> _Floats:
    """Over all updates up to each row, (n,), each row's value counted for every update that it stands for."""
    sums: _Floats = np.cumsum(values * spans(updates, are_updates))
    return sums
