"""How many updates a recorded row stands for: sums over updates are right where only every tenth was logged, too."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float64]
_UPDATE = "update"
_OTHER_AXES = ("episode", "train/episode", "_step")  # of W&B runs; a trainer's global step is an update
_SAID = "logged no metric `update`: the updates are its "  # by reading/wandb_runs.py


def axis_of(problems: Iterable[str]) -> str:
    """What the rows of a run are counted by, as its reader says: `update`, also for what a table calls a step.

    A W&B run without a metric of updates has its episodes instead, or W&B's own steps, several of which may be one
    update: `episode`, `train/episode`, `_step`.
    """
    told = set(problems)
    return next((axis for axis in _OTHER_AXES if f"{_SAID}{axis}" in told), _UPDATE)


def count_updates(problems: Iterable[str]) -> bool:
    """Whether the rows of a run are counted by updates; see `axis_of`."""
    return axis_of(problems) == _UPDATE


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
    found: _Floats = np.cumsum(values * spans(updates, are_updates))
    return found
