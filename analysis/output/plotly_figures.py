"""Charts as Plotly's figures in plain values, one for each panel: the page's script gives them its colours and theme.

Plotly reads a few tags in texts, so that a record's own words are escaped here.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from analysis.output.charts import (
    Band,
    Bars,
    Cells,
    Chart,
    ChartAxis,
    Color,
    Intervals,
    Line,
    Panel,
    Points,
    Rule,
    Span,
    Surface,
    Texts,
)
from analysis.output.colors import DIVERGING, find_hex

_SYMBOLS = {
    "circle": "circle",
    "hollow": "circle-open",
    "diamond": "diamond",
    "square": "square",
    "cross": "x-thin-open",
    "thick cross": "x",
    "star": "star",
    "triangle": "triangle-down",
    "tick": "line-ns-open",
}
# Chosen by looking at drawings and lists.
_TICK_WIDTH = 110  # pixels that a column of words takes
_TITLE_GAP = 8  # pixels between an axis's title and its longest tick; without it, Plotly prints them over each other
_NO_HOVER = {"hoverinfo": "skip"}


def make_figures(chart: Chart) -> dict[str, dict[str, Any]]:
    """Each panel's data and layout, by the id of its place in the page."""
    return {f"{chart.id}-{place}": _make_figure(chart, panel) for place, panel in enumerate(chart.panels)}


def escape_markup(text: str) -> str:
    """A record's own words where Plotly reads tags and entities."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\n", "<br>")


def _make_figure(chart: Chart, panel: Panel) -> dict[str, Any]:
    data: list[dict[str, Any]] = []
    shapes: list[dict[str, Any]] = []
    for layer in panel.layers:
        for item in _DRAWN[type(layer)](layer):
            (shapes if item["type"] in ("rect", "line") else data).append(item)
    is_named = len(chart.panels) == 1 and len(chart.legend) > 1
    layout: dict[str, Any] = {
        "xaxis": _make_axis(panel.x),
        "yaxis": _make_axis(panel.y),
        "showlegend": is_named,
        "legend": {"orientation": "h", "itemsizing": "constant"},
        "barmode": "overlay",  # each bar in its own place, not beside those of other layers
        "margin": {"l": 12 if panel.y.is_hidden else 56, "r": 12, "t": 30 if _has_columns(panel) else 8, "b": 40},
        "meta": {"leastWidth": _TICK_WIDTH * len(panel.x.ticks) if _has_columns(panel) else 0},
    }
    if _has_columns(panel):
        layout["xaxis"]["side"] = "top"
    if any(trace.get("xaxis") == "x2" for trace in data):
        layout["xaxis2"] = {"overlaying": "x", "range": [0, 1], "visible": False, "fixedrange": True}
    if shapes:
        layout["shapes"] = shapes
    return {"data": data, "layout": layout}


def _has_columns(panel: Panel) -> bool:
    """Whether names stand over columns of words, which take room."""
    return bool(panel.x.ticks) and (panel.y.is_hidden or any(isinstance(layer, Cells) for layer in panel.layers))


def _make_axis(axis: ChartAxis) -> dict[str, Any]:
    title = {"text": escape_markup(axis.label), "standoff": _TITLE_GAP}
    layout: dict[str, Any] = {"title": title, "type": "log" if axis.is_log else "linear"}
    if axis.ticks:
        layout |= {
            "tickvals": [place for place, _ in axis.ticks],
            "ticktext": [escape_markup(text) for _, text in axis.ticks],
        }
    if axis.is_hidden:
        layout["visible"] = False
    ends = (axis.high, axis.low) if axis.is_reversed else (axis.low, axis.high)
    if axis.low is not None or axis.high is not None:
        layout["range"] = [end if end is None or not axis.is_log else math.log10(end) for end in ends]
    elif axis.is_reversed:
        layout["autorange"] = "reversed"
    return layout


def _make_hover(texts: Iterable[str]) -> dict[str, Any]:
    return {"text": [escape_markup(text) for text in texts], "hovertemplate": "%{text}<extra></extra>"}


def _make_trace(name: str, **options: Any) -> dict[str, Any]:
    return {"type": "scatter", "name": escape_markup(name), "showlegend": bool(name), **options}


def _draw_points(layer: Points) -> Iterable[dict[str, Any]]:
    marker = {"color": find_hex(layer.color), "size": layer.size, "symbol": _SYMBOLS[layer.symbol]}
    trace = _make_trace(layer.name, mode="markers", x=layer.x, y=layer.y, marker=marker, opacity=layer.opacity)
    yield trace | (_make_hover(layer.hover) if len(layer.hover) else {})
    if len(layer.labels):
        text = [escape_markup(label) for label in layer.labels]
        yield _make_trace("", mode="text", x=layer.x, y=layer.y, text=text, textposition="top center", **_NO_HOVER)


def _draw_line(layer: Line) -> Iterable[dict[str, Any]]:
    line = {"color": find_hex(layer.color), "width": layer.width, "dash": layer.dash}
    line |= {"shape": "hv"} if layer.is_step else {}
    mode = "lines+markers" if layer.has_dots else "lines"
    trace = _make_trace(layer.name, mode=mode, x=layer.x, y=layer.y, line=line, opacity=layer.opacity)
    yield trace | (_make_hover(layer.hover) if len(layer.hover) else {} if layer.name else _NO_HOVER)


def _draw_band(layer: Band) -> Iterable[dict[str, Any]]:
    common = {"mode": "lines", "x": layer.x, "line": {"width": 0}, **_NO_HOVER}
    yield _make_trace("", y=layer.low, **common)
    yield _make_trace(layer.name, y=layer.high, fill="tonexty", fillcolor=_tint(layer.color, layer.opacity), **common)


def _draw_intervals(layer: Intervals) -> Iterable[dict[str, Any]]:
    along = [value for ends in zip(layer.low, layer.high, strict=True) for value in (*ends, None)]
    across = [value for place in layer.places for value in (place, place, None)]
    x, y = (along, across) if layer.is_horizontal else (across, along)
    line = {"color": find_hex(layer.color), "width": layer.width}
    caps = {"symbol": "line-ns-open" if layer.is_horizontal else "line-ew-open", "size": 7, "color": line["color"]}
    look = {"mode": "lines+markers", "marker": caps} if layer.has_caps else {"mode": "lines"}
    yield _make_trace(layer.name, x=x, y=y, line=line, opacity=layer.opacity, **look, **_NO_HOVER)


def _draw_bars(layer: Bars) -> Iterable[dict[str, Any]]:
    starts = np.asarray(layer.starts, dtype=np.float64)
    common: dict[str, Any] = {"type": "bar", "orientation": "h", "width": layer.height}
    common |= {"x": np.asarray(layer.ends, dtype=np.float64) - starts, "y": layer.places, "base": starts}
    common |= {"marker": {"color": find_hex(layer.color)}, "textposition": "none"}
    yield _make_trace(layer.name) | common | (_make_hover(layer.hover) if len(layer.hover) else {})


def _draw_cells(layer: Cells) -> Iterable[dict[str, Any]]:
    middle = (layer.low + layer.high) / 2
    yield {
        "type": "heatmap",
        "z": layer.values,
        "text": [[escape_markup(text) for text in row] for row in layer.texts],
        "customdata": [[escape_markup(text) for text in row] for row in layer.hover or layer.texts],
        "texttemplate": "%{text}",
        "hovertemplate": "%{customdata}<extra></extra>",
        "zmin": layer.low,
        "zmid": middle,
        "zmax": layer.high,
        "colorscale": [[0, DIVERGING[0]], [0.5, DIVERGING[1]], [1, DIVERGING[2]]],
        "textfont": {"size": 13},
        "xgap": 2,
        "ygap": 2,
        "colorbar": {"title": {"text": escape_markup(layer.label)}, "thickness": 12},
    }
    for row, column in layer.framed:
        corners = {"x0": column - 0.47, "x1": column + 0.47, "y0": row - 0.47, "y1": row + 0.47}
        yield {"type": "rect", "line": {"width": 2, "color": "#1b1f24"}, **corners}


def _draw_surface(layer: Surface) -> Iterable[dict[str, Any]]:
    colorbar = {"title": {"text": escape_markup(layer.label)}}
    look = {"colorscale": "Viridis", "reversescale": layer.is_reversed, "colorbar": colorbar}
    yield {"type": "contour", "x": layer.x, "y": layer.y, "z": layer.values, "hoverinfo": "x+y+z", **look}


def _draw_span(layer: Span) -> Iterable[dict[str, Any]]:
    corners = {"x0": layer.low, "x1": layer.high, "yref": "y domain", "y0": 0, "y1": 1}
    yield {"type": "rect", "line": {"width": 0}, "layer": "below", **corners} | {
        "fillcolor": find_hex(layer.color),
        "opacity": layer.opacity,
    }
    if layer.name:
        line = {"color": find_hex(layer.color), "width": 8}
        yield _make_trace(layer.name, mode="lines", x=[None], y=[None], line=line, opacity=max(0.4, layer.opacity))


def _draw_rule(layer: Rule) -> Iterable[dict[str, Any]]:
    upright = {"x0": layer.place, "x1": layer.place, "yref": "y domain", "y0": 0, "y1": 1}
    level = {"y0": layer.place, "y1": layer.place, "xref": "x domain", "x0": 0, "x1": 1}
    line = {"color": find_hex(layer.color), "width": 1, "dash": layer.dash}
    yield {"type": "line", "line": line, "layer": "below", **(upright if layer.is_upright else level)}


def _draw_texts(layer: Texts) -> Iterable[dict[str, Any]]:
    place: dict[str, Any] = {"x": layer.x, "y": layer.y}
    if not len(layer.x):  # in the middle of what is shown, by an axis of their own
        place = {"x": [0.5] * len(layer.texts), "y": layer.y, "xaxis": "x2"}
    font = {"size": 11, "color": find_hex(layer.color)}
    text = [escape_markup(text) for text in layer.texts]
    place |= {"textposition": "middle right"} if layer.is_start else {}
    yield _make_trace("", mode="text", text=text, textfont=font, cliponaxis=False, **place, **_NO_HOVER)


_DRAWN: Mapping[type, Callable[[Any], Iterable[dict[str, Any]]]] = {
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


def _tint(color: Color, opacity: float) -> str:
    text = find_hex(color)
    channels: Sequence[int] = [int(text[start : start + 2], 16) for start in (1, 3, 5)]
    return f"rgba({','.join(map(str, channels))},{opacity})"
