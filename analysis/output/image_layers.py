"""How matplotlib draws each layer of a chart."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.output.charts import (
    Band,
    Bars,
    Cells,
    Intervals,
    Layer,
    Line,
    Points,
    Rule,
    Span,
    Surface,
    Texts,
)
from analysis.output.colors import DIVERGING, find_hex

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DASHES = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-."}
MARKERS = {
    "circle": "o",
    "hollow": "o",
    "diamond": "D",
    "square": "s",
    "cross": "x",
    "thick cross": "X",
    "star": "*",
    "triangle": "v",
    "tick": "|",
}
_FILLED = ("circle", "diamond", "square", "star", "triangle")


def draw_layer(axes: "Axes", layer: Layer, order: int) -> None:
    """Draw a layer; one of a higher order lies on top."""
    _DRAWN[type(layer)](axes, layer, order)


def escape_formulas(text: str) -> str:
    """A text in which `$` begins no formula."""
    return text.replace("$", r"\$")


def _draw_points(axes: "Axes", layer: Points, order: int) -> None:
    color = find_hex(layer.color)
    look: dict[str, Any] = {"linestyle": "", "marker": MARKERS[layer.symbol], "markersize": 0.65 * layer.size}
    if layer.symbol in _FILLED:  # an edge would cover a face that one can see through
        look |= {"markeredgewidth": 0, "markersize": 0.75 * layer.size}
    axes.plot(
        layer.x, layer.y, color=color, markerfacecolor=choose_face(layer), alpha=layer.opacity, zorder=order, **look
    )
    for x, y, text in zip(layer.x, layer.y, layer.labels, strict=False):
        axes.annotate(escape_formulas(text), (x, y), xytext=(0, 4), textcoords="offset points", ha="center", fontsize=7)


def choose_face(layer: Points) -> str:
    """The colour inside a mark."""
    return "white" if layer.symbol == "hollow" else find_hex(layer.color)


def _draw_line(axes: "Axes", layer: Line, order: int) -> None:
    look: dict[str, Any] = {"linestyle": DASHES[layer.dash], "linewidth": 0.8 * layer.width, "alpha": layer.opacity}
    look |= {"drawstyle": "steps-post" if layer.is_step else "default", "marker": "." if layer.has_dots else None}
    axes.plot(layer.x, layer.y, color=find_hex(layer.color), zorder=order, **look)


def _draw_band(axes: "Axes", layer: Band, order: int) -> None:
    look: dict[str, Any] = {"alpha": layer.opacity, "linewidth": 0, "zorder": order}
    axes.fill_between(layer.x, layer.low, layer.high, color=find_hex(layer.color), **look)


def _draw_intervals(axes: "Axes", layer: Intervals, order: int) -> None:
    draw_lines = axes.hlines if layer.is_horizontal else axes.vlines
    look: dict[str, Any] = {"linewidth": 0.8 * layer.width, "alpha": layer.opacity, "zorder": order}
    draw_lines(layer.places, layer.low, layer.high, color=find_hex(layer.color), **look)
    if layer.has_caps:
        ends = np.concatenate([np.asarray(layer.low, dtype=float), np.asarray(layer.high, dtype=float)])
        places = np.concatenate([np.asarray(layer.places, dtype=float)] * 2)
        both, marker = ((ends, places), "|") if layer.is_horizontal else ((places, ends), "_")
        axes.plot(*both, linestyle="", marker=marker, color=find_hex(layer.color), markersize=4, zorder=order)


def _draw_bars(axes: "Axes", layer: Bars, order: int) -> None:
    starts = np.asarray(layer.starts, dtype=float)
    widths = np.asarray(layer.ends, dtype=float) - starts
    axes.barh(layer.places, widths, layer.height, left=starts, color=find_hex(layer.color), zorder=order)


def _draw_cells(axes: "Axes", layer: Cells, order: int) -> None:
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.patches import Rectangle

    colors = LinearSegmentedColormap.from_list("diverging", DIVERGING)
    values = np.asarray(layer.values, dtype=float)
    image = axes.imshow(
        values, vmin=layer.low, vmax=layer.high, cmap=colors, aspect="auto", origin="lower", zorder=order
    )
    span = layer.high - layer.low
    for (row, column), value in np.ndenumerate(values):
        is_dark = abs((value - layer.low) / span - 0.5) > 0.33
        look: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 8, "zorder": order + 1}
        axes.text(column, row, escape_formulas(layer.texts[row][column]), color="white" if is_dark else "black", **look)
    for row, column in layer.framed:
        box = (column - 0.47, row - 0.47)
        axes.add_patch(Rectangle(box, 0.94, 0.94, fill=False, edgecolor="black", linewidth=1.6, zorder=order + 1))
    axes.figure.colorbar(image, ax=axes, label=escape_formulas(layer.label))


def _draw_surface(axes: "Axes", layer: Surface, order: int) -> None:
    colors = "viridis_r" if layer.is_reversed else "viridis"
    image = axes.contourf(layer.x, layer.y, np.asarray(layer.values, dtype=float), 15, cmap=colors, zorder=order)
    axes.figure.colorbar(image, ax=axes, label=escape_formulas(layer.label))


def _draw_span(axes: "Axes", layer: Span, order: int) -> None:
    axes.axvspan(layer.low, layer.high, color=find_hex(layer.color), alpha=layer.opacity, linewidth=0, zorder=order)


def _draw_rule(axes: "Axes", layer: Rule, order: int) -> None:
    draw_line = axes.axvline if layer.is_upright else axes.axhline
    draw_line(layer.place, color=find_hex(layer.color), linewidth=0.8, linestyle=DASHES[layer.dash], zorder=order)


def _draw_texts(axes: "Axes", layer: Texts, order: int) -> None:
    is_centred = not len(layer.x)
    places = [0.5] * len(layer.texts) if is_centred else layer.x
    transform = axes.get_yaxis_transform() if is_centred else axes.transData
    look: dict[str, Any] = {"ha": "center", "va": "center", "color": find_hex(layer.color), "fontsize": 8}
    look |= {"ha": "left"} if layer.is_start else {}
    for x, y, text in zip(places, layer.y, layer.texts, strict=True):
        axes.text(x, y, escape_formulas(text), transform=transform, zorder=order, **look)


_DRAWN: Mapping[type, Callable[[Any, Any, int], None]] = {
    Points: _draw_points,
    Line: _draw_line,
    Band: _draw_band,
    Intervals: _draw_intervals,
    Bars: _draw_bars,
    Cells: _draw_cells,
    Surface: _draw_surface,
    Span: _draw_span,
    Rule: _draw_rule,
    Texts: _draw_texts,
}
