"""Parallel coordinates: every setting is a line through its objectives and its values.

These are plain lines, since Plotly's own parallel coordinates need WebGL and code that is made while the page runs,
which the page forbids.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.output.charts import Chart, ChartAxis, Layer, Line, Panel, Rule, Texts
from analysis.output.colors import FIFTHS
from analysis.output.thinning import Places, pick_evenly
from analysis.records.runs import Floats
from analysis.sweep.analysis import ViewAnalysis
from analysis.sweep.axes import label_choices, label_positions
from analysis.sweep.settings import View
from analysis.wording.labels import label_values
from analysis.wording.short_labels import shorten_apart
from rlhf_sweeps.figures import format_number
from rlhf_sweeps.record import Axis

# Chosen by looking at drawings and lists.
_MOST_KEYS = 6  # axes
_MOST_LINES = 400  # settings
_NUM_TICKS = 5  # of an axis
_BELOW = 0.15  # of an axis: how far below it a setting lies in which the key is not active


@dataclass(frozen=True, eq=False)
class _Coordinate:
    """One upright axis: the settings' heights on it between 0 and 1, (settings,), their texts, and its ticks."""

    label: str
    heights: Floats
    texts: Sequence[str]
    ticks: Sequence[tuple[float, str]]


def make_parallel_chart(analysis: ViewAnalysis) -> Chart | None:
    """The lines of all settings, coloured by fifths of the first objective; None for fewer than two settings."""
    view = analysis.view
    if len(view.settings) < 2 or not view.axes:
        return None
    order = [key.key for key in analysis.importances[0].keys] if analysis.importances else []
    keys = rank_axes(view.axes, order)[:_MOST_KEYS]
    coordinates = [_make_objective_coordinate(view, place) for place in range(len(view.directions))]
    coordinates += [_make_key_coordinate(view, place) for place in keys]
    worst_first = np.argsort(view.compute_gains(), kind="stable")
    chosen = worst_first[pick_evenly(len(worst_first), _MOST_LINES)]
    layers: list[Layer] = [Rule(place) for place in range(len(coordinates))]
    layers += _draw_lines(view, chosen, coordinates)
    ticks = [(place, *tick) for place, coordinate in enumerate(coordinates) for tick in coordinate.ticks]
    x, y, texts = zip(*ticks, strict=True)
    layers.append(Texts(y, texts, [place + 0.02 for place in x], color="#000000", is_start=True))
    names = [(float(place), coordinate.label) for place, coordinate in enumerate(coordinates)]
    across = ChartAxis(ticks=names, low=-0.35, high=len(coordinates) - 0.65)
    key_fraction = f", {len(keys)} of {len(view.axes)} keys" if len(keys) < len(view.axes) else ""
    line_fraction = f", {len(chosen)} of {len(view.settings)} settings" if len(chosen) < len(view.settings) else ""
    note = f"a line is a setting; its colour is a range of {view.names[0]}, the best range on top"
    panel = Panel(across, ChartAxis(low=-0.06, high=1.06, is_hidden=True), layers)
    title = f"all settings{key_fraction}{line_fraction}"
    return Chart("parallel", title, [panel], note, width=900, height=430, file="sweep_parallel")


def rank_axes(axes: Sequence[Axis], order: Sequence[str]) -> list[int]:
    """The places of axes, those of the first keys first, those that the order does not have last."""
    places = {key: place for place, key in enumerate(order)}
    return sorted(range(len(axes)), key=lambda index: (places.get(axes[index].key, len(places)), index))


def _make_objective_coordinate(view: View, objective: int) -> _Coordinate:
    values = np.array([float(setting.objectives[objective]) for setting in view.settings])
    low, high = float(values.min()), float(values.max())
    ends = np.linspace(low, high, _NUM_TICKS) if high > low else np.array([low])
    ticks = zip(_compute_heights(ends, low, high).tolist(), label_values(ends.tolist(), 3), strict=True)
    return _Coordinate(
        view.names[objective],
        _compute_heights(values, low, high),
        [format_number(value) for value in values],
        list(ticks),
    )


def _make_key_coordinate(view: View, place: int) -> _Coordinate:
    """A setting in which the key is not active lies below the axis."""
    axis = view.axes[place]
    positions = view.compute_positions()[:, place]
    if axis.is_interval:
        ticks = np.linspace(0, 1, _NUM_TICKS).tolist()
        names = label_positions(axis, ticks)
    else:
        ticks = [axis.position(text) for text in axis.choices]
        names = shorten_apart(label_choices(axis), 20)
    low, high = np.nanmin([*ticks, *positions]), np.nanmax([*ticks, *positions])
    is_absent = np.isnan(positions)
    if is_absent.any():
        low -= _BELOW * (high - low)
        ticks, names = [low, *ticks], ["not active", *names]
    heights = _compute_heights(np.where(is_absent, low, positions), low, high)
    texts = [
        view.label_value(axis.key, text) if text is not None else "not active" for text in _list_texts(view, axis.key)
    ]
    return _Coordinate(
        axis.key, heights, texts, list(zip(_compute_heights(np.array(ticks), low, high), names, strict=True))
    )


def _list_texts(view: View, key: str) -> list[str | None]:
    return [setting.values.get(key) for setting in view.settings]


def _compute_heights(values: Floats, low: float, high: float) -> Floats:
    with np.errstate(over="ignore", invalid="ignore"):
        heights = (values - low) / (high - low) if high > low else np.full(len(values), 0.5)
    return np.where(np.isfinite(heights), heights, 0.5)


def _draw_lines(view: View, chosen: Places, coordinates: Sequence[_Coordinate]) -> list[Layer]:
    """A layer for each fifth of the settings, the worst first, so that the best lies on top."""
    fifths = [fifth for fifth in np.array_split(chosen, min(len(FIFTHS), len(chosen))) if len(fifth)]
    values = [float(setting.objectives[0]) for setting in view.settings]
    ends = [sorted((values[fifth[0]], values[fifth[-1]])) for fifth in fifths]
    names = iter(label_values([end for pair in ends for end in pair], 3))
    ranges = [low if low == high else f"{low} to {high}" for low, high in zip(names, names, strict=True)]
    layers: list[Layer] = []
    for place, (fifth, name) in enumerate(zip(fifths, ranges, strict=True)):
        x: list[float] = []
        y: list[float] = []
        hover: list[str] = []
        for setting in fifth:
            text = "\n".join(f"{coordinate.label} {coordinate.texts[setting]}" for coordinate in coordinates)
            x += [*range(len(coordinates)), math.nan]
            y += [*(float(coordinate.heights[setting]) for coordinate in coordinates), math.nan]
            hover += [f"trial {view.settings[setting].numbers[0]}\n{text}"] * (len(coordinates) + 1)
        is_best = place == len(fifths) - 1
        color = FIFTHS[place + len(FIFTHS) - len(fifths)]
        layers.append(Line(x, y, name, color, 2.5 if is_best else 1.6, hover=hover))
    return layers
