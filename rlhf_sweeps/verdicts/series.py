"""One metric of one run over its updates: its level, its noise, and where a state begins that lasts."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rlhf_sweeps.verdicts.student import Floats

Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Series:
    """One metric of one run.

    Attributes:
        updates: that have it, ascending, (n,).
        values: finite, (n,).
    """

    updates: Floats
    values: Floats

    def __len__(self) -> int:
        return len(self.values)

    @property
    def window(self) -> int:
        """Updates that make a level: a tenth of them, 3 to 50."""
        return min(max(3, len(self) // 10), 50)

    @cached_property
    def start(self) -> float:
        """Median of the first window; nan of an empty series."""
        return float(np.median(self.values[: self.window])) if len(self) else math.nan

    @cached_property
    def end(self) -> float:
        """Median of the last window; nan of an empty series."""
        return float(np.median(self.values[-self.window :])) if len(self) else math.nan

    @cached_property
    def noise(self) -> float:
        """Standard deviation of a value about the trend: of the differences, by their median (the trend drops out).

        It is widened for short series, where a median of a few differences is often far too small.
        """
        if len(self) < 3:
            return math.inf
        steps = np.abs(np.diff(self.values)) / math.sqrt(2.0)
        robust = float(np.median(steps)) / 0.6745  # of a normal distribution, half of |x| is below 0.6745 deviations
        return max(robust, float(steps.mean()) * 0.6) * (1.0 + 4.0 / len(self))

    def where(self, flags: Flags, share: float = 0.6) -> int | None:
        """The update from which a state lasts; None if it never does.

        It has to hold in `share` of a whole window of updates, and then either still at the end or in a quarter of all.

        Args:
            flags: whether a value is in that state, (n,).
        """
        width = self.window
        if len(self) < width or not flags.any():
            return None
        sums = np.concatenate([[0], np.cumsum(flags)])
        is_lasting = (sums[width:] - sums[:-width]) >= share * width
        if not is_lasting.any() or not (is_lasting[-1] or sums[-1] >= len(self) / 4):
            return None
        first = _first_long_bout(is_lasting)
        return int(self.updates[first + int(np.argmax(flags[first:]))])


def _first_long_bout(flags: Flags) -> int:
    """Where the first stretch begins that is at least half as long as the longest: what soon passed is no beginning."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    starts, lengths = edges[::2], edges[1::2] - edges[::2]
    return int(starts[np.argmax(2 * lengths >= lengths.max())])


@dataclass(frozen=True)
class Change:
    """How far a level moved, and how sure that is.

    Attributes:
        size: of the change, in the metric's unit.
        error: the change's standard error.
    """

    size: float
    error: float

    @property
    def deviations(self) -> float:
        """The change in standard errors; 0 where neither is known."""
        if self.error > 0:
            return self.size / self.error
        return math.copysign(math.inf, self.size) if self.size else 0.0


def rolling_mean(values: Floats, width: int) -> Floats:
    """Means of all whole windows, (n - width + 1,); empty if there is none."""
    if len(values) < width:
        return np.empty(0)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    means: Floats = (sums[width:] - sums[:-width]) / width
    return means


def gain(values: Series) -> Change:
    """From the first fifth to the last one."""
    width = max(3, len(values) // 5)
    if len(values) < 2 * width:
        return Change(0.0, math.inf)
    size = float(values.values[-width:].mean() - values.values[:width].mean())
    return Change(size, values.noise * math.sqrt(2.0 / width))
