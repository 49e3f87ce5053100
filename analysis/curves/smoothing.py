"""Smoothing of curves: the straight line through the values within a window, read in its middle.

Where updates are evenly spaced this is the centred moving average: it lags behind nothing, and no value counts that is
further than half a window away. At the ends, where a centred window would hang over, the window stops at the end and
its line is read there, so that a rise is not flattened (Savitzky and Golay's filter of degree 1, Analytical Chemistry
1964, on any grid). Exponential averages, which many dashboards draw, lag behind by about their window.
"""

import numpy as np

from analysis.curves.thresholds import DEFAULT_SHARE
from analysis.records.runs import Floats


def choose_window(length: float, smooth: float | None = None) -> int:
    """The window in updates, odd; 1 where nothing is smoothed.

    Args:
        length: of the longest curve in the figure, in updates.
        smooth: the window itself from 1 on, its share of the length below 1, 0 for no smoothing; by default a tenth.
    """
    smooth = DEFAULT_SHARE if smooth is None else smooth
    if not np.isfinite(smooth) or not np.isfinite(length) or smooth <= 0:
        return 1
    wanted = smooth * length if smooth < 1 else smooth
    return 2 * int(wanted // 2) + 1 if wanted >= 2 else 1


def smooth_curve(updates: Floats, values: Floats, window: int) -> Floats:
    """A smoothed curve, (n,).

    Args:
        updates, values: ascending updates and the values there, without nan, (n,) each.
        window: in updates, odd; a value counts if it is at most (window - 1) / 2 updates away.
    """
    count = len(values)
    if window <= 1 or count < 3:
        return np.array(values, dtype=np.float64)
    half = min(window - 1, float(updates[-1] - updates[0])) / 2
    middles = np.clip(updates, updates[0] + half, updates[-1] - half)
    # A thousandth of an update forgives rounding in the updates themselves.
    first = np.searchsorted(updates, middles - half - 1e-3, side="left")
    last = np.searchsorted(updates, middles + half + 1e-3, side="right")
    # Centred and scaled, since differences of large running sums lose digits.
    center, scale = float(np.mean(values)), float(np.ptp(values)) or 1.0
    x = (updates - updates.mean()) / max(float(np.ptp(updates)), 1e-300)
    y = (values - center) / scale
    sums = np.concatenate([np.zeros((5, 1)), np.cumsum([np.ones(count), x, y, x * x, x * y], axis=1)], axis=1)
    number, x_sum, y_sum, xx_sum, xy_sum = sums[:, last] - sums[:, first]
    spread = xx_sum - x_sum**2 / number
    is_line = spread > 1e-12 * np.maximum(xx_sum, 1e-300)
    slope = np.where(is_line, xy_sum - x_sum * y_sum / number, 0.0) / np.where(is_line, spread, 1.0)
    lines: Floats = center + scale * (y_sum / number + slope * (x - x_sum / number))
    return lines
