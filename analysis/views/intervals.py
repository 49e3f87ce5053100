"""Values with intervals: as cells, as lines of a chart, and an axis on which the values can be told apart."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from analysis.output.charts import ChartAxis, Intervals
from analysis.output.parts import Cell, make_interval_cell
from rlhf_sweeps.verdicts.estimates import Estimate


def make_estimate_cell(estimate: Estimate | None, is_rate: bool = False) -> Cell:
    """`0.7 [0.6, 0.8]`, a rate as `70 % [60, 80]`; `-` without an estimate."""
    return make_interval_cell(estimate.value, estimate.low, estimate.high, is_rate) if estimate else Cell("-")


def scale_estimate(estimate: Estimate, is_rate: bool) -> Estimate:
    """The estimate in the unit of a chart: a rate in per cent."""
    if not is_rate:
        return estimate
    names = ("value", "low", "high", "percentile_low", "percentile_high", "error")
    return replace(estimate, **{name: 100 * getattr(estimate, name) for name in names})


def draw_intervals(
    estimates: Mapping[int, Estimate],
    name: str = "",
    ends: tuple[str, str] = ("low", "high"),
    width: float = 2,
    opacity: float = 1.0,
) -> list[Intervals]:
    """A horizontal line at the place of each estimate that has an interval; none if no estimate has one.

    Args:
        ends: the names of the interval's ends in an estimate.
    """
    bounded = {place: estimate for place, estimate in estimates.items() if not math.isnan(estimate.low)}
    lows, highs = ([getattr(estimate, end) for estimate in bounded.values()] for end in ends)
    return [Intervals(list(bounded), lows, highs, name, width=width, opacity=opacity)] if bounded else []


def make_value_axis(label: str, values: Sequence[float], estimates: Sequence[Estimate]) -> ChartAxis:
    """An axis that shows all values, and as much of the intervals as leaves the values apart.

    The interval of two runs may be a hundred times as wide as all values are apart.
    """
    if not values:
        return ChartAxis(label)
    low, high = min(values), max(values)
    room = 0.75 * (high - low) or 0.2 * abs(high) or 1.0
    lows = [estimate.low for estimate in estimates if not math.isnan(estimate.low)] + [low - 0.1 * room]
    highs = [estimate.high for estimate in estimates if not math.isnan(estimate.high)] + [high + 0.1 * room]
    left, right = max(min(lows), low - room), min(max(highs), high + room)
    margin = 0.04 * (right - left)
    return ChartAxis(label, low=left - margin, high=right + margin)


def make_row_axis(labels: Sequence[str], title: str = "") -> ChartAxis:
    """A row for each label, the first one on top."""
    return ChartAxis(title, ticks=list(enumerate(labels)), low=-0.5, high=len(labels) - 0.5, is_reversed=True)


def compute_panel_height(num_rows: int) -> int:
    """The height of a panel with so many rows, in pixels."""
    return 32 * num_rows + 110
