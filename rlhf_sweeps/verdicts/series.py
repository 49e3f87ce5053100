"""One metric of one run over its updates: its level, its noise, and the beginning of a state that lasts."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rlhf_sweeps.verdicts.student import Floats

Flags = NDArray[np.bool_]
LAST_UPDATES = 5  # recorded updates whose mean is the value at the end; chosen
LAST_SHARE = 3  # of a short series, at most the last third; chosen


@dataclass(frozen=True)
class Ending:
    """What a metric is in its last few updates.

    Attributes:
        mean, deviation: of the recorded values; the standard deviation is unbiased, and 0 for a single value.
        count: the number of these values.
    """

    mean: float
    deviation: float
    count: int


def measure_ending(values: Floats, count: int | None = None) -> Ending:
    """Mean and standard deviation of the last few values.

    Args:
        values: at least one, (n,).
        count: the number of the last values; by default 5, and of less than 15 values a third, but at least one.
    """
    last = values[-(count or max(1, min(LAST_UPDATES, len(values) // LAST_SHARE))) :]
    return Ending(float(last.mean()), float(last.std(ddof=1)) if len(last) > 1 else 0.0, len(last))


@dataclass(frozen=True, eq=False)
class Series:
    """One metric of one run.

    Attributes:
        updates: those that recorded the metric, ascending, (n,).
        values: finite, (n,).
    """

    updates: Floats
    values: Floats

    def __len__(self) -> int:
        return len(self.values)

    @property
    def window(self) -> int:
        """Number of updates over which a level is taken: a tenth of all, 3 to 50."""
        return min(max(3, len(self) // 10), 50)

    @cached_property
    def start(self) -> float:
        """Median of the first window; nan for an empty series."""
        return float(np.median(self.values[: self.window])) if len(self) else math.nan

    @cached_property
    def end(self) -> float:
        """Median of the last window; nan for an empty series."""
        return float(np.median(self.values[-self.window :])) if len(self) else math.nan

    @cached_property
    def ending(self) -> Ending:
        """What sentences say of its end; verdicts take the median of more updates, `end`."""
        return measure_ending(self.values)

    @cached_property
    def noise(self) -> float:
        """Standard deviation of a value about the trend, from the median absolute difference of successive values.

        It is widened for short series, where the median of a few differences is often far too small.
        """
        if len(self) < 3:
            return math.inf
        steps = np.abs(np.diff(self.values)) / math.sqrt(2.0)
        # Half of a normal distribution lies within 0.6745 standard deviations.
        robust = float(np.median(steps)) / 0.6745
        return max(robust, float(steps.mean()) * 0.6) * (1.0 + 4.0 / len(self))

    def where(self, flags: Flags, share: float = 0.6) -> int | None:
        """The update from which a state lasts; None if it never lasts.

        It has to hold in `share` of a whole window of updates, and then either at the end or in a quarter of all
        updates.

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
    """The start of the first stretch that is at least half as long as the longest; shorter ones do not count."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    starts, lengths = edges[::2], edges[1::2] - edges[::2]
    return int(starts[np.argmax(2 * lengths >= lengths.max())])


@dataclass(frozen=True)
class Change:
    """How far a level moved, with its standard error.

    Attributes:
        size: of the change, in the metric's unit.
        error: the change's standard error.
    """

    size: float
    error: float

    @property
    def deviations(self) -> float:
        """The change in standard errors; 0 if the change and its error are both 0."""
        if self.error > 0:
            return self.size / self.error
        return math.copysign(math.inf, self.size) if self.size else 0.0


def rolling_mean(values: Floats, width: int) -> Floats:
    """Means of all whole windows, (n - width + 1,); empty if the values are fewer than a window."""
    if len(values) < width:
        return np.empty(0)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    means: Floats = (sums[width:] - sums[:-width]) / width
    return means


def measure_gain(values: Series) -> Change:
    """The change from the mean of the first fifth to the mean of the last fifth."""
    width = max(3, len(values) // 5)
    if len(values) < 2 * width:
        return Change(0.0, math.inf)
    size = float(values.values[-width:].mean() - values.values[:width].mean())
    return Change(size, values.noise * math.sqrt(2.0 / width))
