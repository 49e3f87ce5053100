"""A sharp change in the last few updates of a curve.

Over a whole curve that is noisy, so few values do not pay for a piece of their own; beside the calm that came just
before, they are plain.
"""

import numpy as np

from analysis.curves.thresholds import (
    CALM_SHARE,
    FEWEST_CALM,
    FEWEST_LAST,
    JUMP_ERRORS,
    LEAST_NOISE,
    LEAST_STEP,
    MIN_JUMP_SHARE,
    MOST_LAST,
    MOST_LAST_SHARE,
)
from analysis.records.runs import Floats


def find_last_change(values: Floats) -> int | None:
    """The index of the first value after a sharp change that lasts to the end; None where there is none.

    All values from there on lie beyond all of the calm values before, and their means differ by more than noise and by
    a share of the curve's range. Most of the change is made by one step. Among several such places the one with the
    largest step is taken.

    Args:
        values: finite, without spikes, (n,).
    """
    most = min(MOST_LAST, int(MOST_LAST_SHARE * len(values)))
    places = [len(values) - count for count in range(FEWEST_LAST, most + 1) if _is_sharp(values, len(values) - count)]
    return max(places, key=lambda place: abs(float(values[place] - values[place - 1])), default=None)


def count_calm(num_last: int) -> int:
    """The number of values before the change that it is compared with."""
    return max(FEWEST_CALM, 2 * num_last)


def _is_sharp(values: Floats, place: int) -> bool:
    last = values[place:]
    before = values[max(0, place - count_calm(len(last))) : place]
    if len(before) < count_calm(len(last)):
        return False
    change = float(last.mean() - before.mean())
    is_apart = last.min() > before.max() if change > 0 else last.max() < before.min()
    if not is_apart or abs(change) <= MIN_JUMP_SHARE * float(np.ptp(values)):
        return False
    # Half of a normal distribution lies within 0.6745 standard deviations.
    usual = float(np.median(np.abs(np.diff(values)))) / np.sqrt(2.0) / 0.6745
    noise = max(float(before.std(ddof=1)), float(last.std(ddof=1)), LEAST_NOISE * usual)
    error = noise * np.sqrt(1 / len(last) + 1 / len(before))
    half = len(before) // 2
    drift = abs(float(before[half:].mean() - before[:half].mean()))
    step = float(values[place] - values[place - 1])
    is_calm = drift <= CALM_SHARE * abs(change)
    return is_calm and abs(change) > JUMP_ERRORS * error and step / change >= LEAST_STEP
