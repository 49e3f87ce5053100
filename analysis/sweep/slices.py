"""The objective against each swept key: means with 95 % intervals over the settings that share a part of an axis.

An interval is cut into bins that hold about as many settings each; of a list, every choice is a bin. The settings of a
bin differ in the other keys, and their scatter is what the intervals (Student's) are about.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.records.runs import Floats
from analysis.sweep.axes import label_positions
from analysis.sweep.settings import View
from analysis.sweep.thresholds import MAX_BINS, MIN_IN_BIN
from rlhf_sweeps.record import Axis
from rlhf_sweeps.verdicts.student import mean_and_margin


@dataclass(frozen=True)
class SliceBin:
    """A part of an axis.

    Attributes:
        label: its values, for a reader.
        low, high: from which position to which; equal for a choice.
        num: settings in it.
        mean: of their objectives, as measured.
        mean_low, mean_high: the interval of the mean; nan for a single setting.
        best: the best of the objectives.
    """

    label: str
    low: float
    high: float
    num: int
    mean: float
    mean_low: float
    mean_high: float
    best: float


@dataclass(frozen=True, eq=False)
class Slice:
    """The objective along one axis.

    Attributes:
        axis: the key.
        positions: of the settings in which it is active, (settings,).
        values: their objectives, (settings,).
        numbers: their first trials, (settings,).
        bins: in the order of the axis; empty where there are too few settings for one.
    """

    axis: Axis
    positions: Floats
    values: Floats
    numbers: Sequence[int]
    bins: Sequence[SliceBin]


def cut_slices(view: View, objective: int = 0) -> list[Slice]:
    """A slice for each axis of a view."""
    values = np.array([setting.objectives[objective] for setting in view.settings])
    is_best = max if view.directions[objective] == "maximize" else min
    along_axes = []
    for index, axis in enumerate(view.axes):
        column = view.compute_positions()[:, index]
        are_active = np.isfinite(column)
        numbers = [
            setting.numbers[0] for setting, is_active in zip(view.settings, are_active, strict=True) if is_active
        ]
        bins = _make_bins(axis, column[are_active], values[are_active])
        summaries = [
            SliceBin(label, low, high, len(inside), *_measure_mean_and_ends(inside), is_best(inside.tolist()))
            for label, (low, high, inside) in zip(_label_bins(axis, bins), bins, strict=True)
        ]
        along_axes.append(Slice(axis, column[are_active], values[are_active], numbers, summaries))
    return along_axes


def _make_bins(axis: Axis, positions: Floats, values: Floats) -> list[tuple[float, float, Floats]]:
    if not axis.is_interval:
        places = [axis.position(text) for text in axis.choices]
        groups = [(place, place, values[np.isclose(positions, place)]) for place in places]
        return [group for group in groups if len(group[2])]
    num = min(MAX_BINS, len(values) // MIN_IN_BIN)
    if not num:
        return []
    order = np.argsort(positions, kind="stable")
    parts = np.array_split(order, num)
    return [(float(positions[part[0]]), float(positions[part[-1]]), values[part]) for part in parts]


def _label_bins(axis: Axis, bins: Sequence[tuple[float, float, Floats]]) -> list[str]:
    """`0.001 to 0.002`, or one value; ends of different bins are told apart."""
    ends = label_positions(axis, [end for low, high, _ in bins for end in (low, high)])
    return [low if low == high else f"{low} to {high}" for low, high in zip(ends[::2], ends[1::2], strict=True)]


def _measure_mean_and_ends(values: Floats) -> tuple[float, float, float]:
    mean, margin = mean_and_margin(values)
    return mean, mean - margin, mean + margin
