"""Spikes: up to three values in a row far from all around them. A spike is no phase, but a sentence names it."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from analysis.curves.thresholds import (
    BURST,
    END_RATIO,
    MIN_BURST_POINTS,
    MIN_BURST_SHARE,
    MIN_SPIKE_SHARE,
    SPIKE,
    STEPS_BESIDE_END,
)
from analysis.records.runs import Floats


def remove_spikes(values: Floats) -> Floats:
    """The curve with its spikes put on the straight line between their neighbours, (n,).

    Args:
        values: finite, (n,).
    """
    cleaned = np.array(values, np.float64)
    if len(cleaned) < 5:
        return cleaned
    for first, last in _find_spikes(cleaned):
        before, after = first - 1, last + 1
        if before < 0 or after >= len(cleaned):
            cleaned[first : last + 1] = cleaned[after] if before < 0 else cleaned[before]
        else:
            cleaned[first : last + 1] = np.interp(np.arange(first, after), [before, after], cleaned[[before, after]])
    return cleaned


def select_large_spikes(values: Floats, cleaned: Floats, noise: float) -> NDArray[np.int64]:
    """The indices of the spikes that are large enough to be named, the largest first, (spikes,).

    Args:
        values, cleaned: before and after `remove_spikes`, (n,) each.
        noise: standard deviation of a single value.
    """
    distance = np.abs(values - cleaned)
    far = np.flatnonzero(distance > max(BURST * noise, 0.5 * float(np.ptp(cleaned))))
    return far[np.argsort(-distance[far], kind="stable")]


def _find_spikes(values: Floats) -> list[tuple[int, int]]:
    """First and last index of each spike."""
    turns = np.diff(values, 2)
    usual = 1.4826 * float(np.median(np.abs(turns - np.median(turns)))) / np.sqrt(6)
    size = float(np.ptp(values))
    singles = list(_find_bursts(values, 1, max(SPIKE * usual, MIN_SPIKE_SHARE * size)))
    least = max(BURST * usual, MIN_BURST_SHARE * size)
    longer = (
        [burst for length in (2, 3) for burst in _find_bursts(values, length, least)]
        if len(values) >= MIN_BURST_POINTS
        else []
    )
    # Within a longer spike a single value may stand out, too.
    singles = [(i, i) for i, _ in singles if not any(first <= i <= last for first, last in longer)]
    ends = [i for i, steps in ((0, np.diff(values)), (len(values) - 1, np.diff(values[::-1]))) if _is_end(steps, least)]
    return [*singles, *longer, *((i, i) for i in ends)]


def _find_bursts(values: Floats, length: int, least: float) -> Iterator[tuple[int, int]]:
    """Stretches that leave what is around them by more than `least`, all to the same side.

    Around a single value are its two neighbours; around two or three are three values on each side, among which the
    curve must be calm, so that no top of a wider peak is taken.
    """
    num_around = 1 if length == 1 else 3
    windows = np.lib.stride_tricks.sliding_window_view(values, length + 2 * num_around)
    inner, around = windows[:, num_around:-num_around], windows[:, [*range(num_around), *range(-num_around, 0)]]
    above = inner.min(axis=1) - around.max(axis=1)
    below = around.min(axis=1) - inner.max(axis=1)
    least_here = least if length == 1 else np.maximum(least, 2 * np.ptp(around, axis=1))
    taken = -1
    for start in np.flatnonzero(np.maximum(above, below) > least_here) + num_around:
        if start > taken:
            taken = int(start) + length - 1
            yield int(start), taken


def _is_end(steps: Floats, least: float) -> bool:
    """Whether the first value is far from all that come next, as in no steady growth or decay."""
    beside = np.abs(steps[1 : 1 + STEPS_BESIDE_END])
    return len(beside) == STEPS_BESIDE_END and bool(abs(steps[0]) > max(least, END_RATIO * beside.max()))
