"""Parallel coordinates as plain lines: Plotly's own need WebGL and code made at run time, which this page forbids."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from analysis.output.parts import plain_label
from analysis.output.thinning import spread
from analysis.records.runs import Floats
from analysis.wording.labels import labels as labels_of
from analysis.wording.statements import number

_CLASSES = 5
_TICKS = 5
_MAX_LINES = 400
# From the worst fifth to the best: viridis, of which the ends stay readable on light and on dark ground.
_COLORS = ("#7a6a9b", "#3e6d9c", "#21918c", "#5aa845", "#e0a100")


def parallel(trace: Mapping[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Traces and layout that say the same as a `parcoords` trace.

    Every fifth of the settings by the first dimension is a trace, so that the legend hides and shows it.
    """
    dimensions = [one for one in trace.get("dimensions", ()) if len(one.get("values", ()))]
    if not dimensions:
        return [], {}
    columns = np.array([np.asarray(one["values"], dtype=np.float64) for one in dimensions])
    ranges = [_range(one, column) for one, column in zip(dimensions, columns, strict=True)]
    heights = np.array([_heights(column, *ends) for column, ends in zip(columns, ranges, strict=True)])
    is_lower_better = bool(trace.get("line", {}).get("reversescale"))
    data = _lines(columns[0], heights, [_label(dimensions, column) for column in columns.T], is_lower_better)
    x: list[float] = []
    y: list[float] = []
    text: list[str] = []
    for place, (one, ends) in enumerate(zip(dimensions, ranges, strict=True)):
        for value, label in _ticks(one, ends):
            x.append(place)
            y.append(float(_heights(np.array([value]), *ends)[0]))
            text.append(plain_label(label))
    ticks = {"type": "scatter", "mode": "text", "x": x, "y": y, "text": text, "textposition": "middle right"}
    data.append({**ticks, "hoverinfo": "skip", "showlegend": False, "cliponaxis": False, "textfont": {"size": 11}})
    last = len(dimensions) - 1
    layout = {
        "xaxis": {
            "tickvals": list(range(len(dimensions))),
            "ticktext": [plain_label(str(one.get("label", ""))) for one in dimensions],
            "side": "top",
            "range": [-0.35, last + 0.35],
            "showline": False,
            "fixedrange": True,
        },
        "yaxis": {"visible": False, "range": [-0.06, 1.06], "fixedrange": True},
        "legend": {"orientation": "h"},
        "margin": {"l": 12, "r": 12, "t": 40, "b": 20},
    }
    return data, layout


def _lines(first: Floats, heights: Floats, labels: Sequence[str], is_lower_better: bool) -> list[dict[str, Any]]:
    """The worst fifth first, so that the best lies on top."""
    order = np.argsort(-first if is_lower_better else first, kind="stable")
    order = order[spread(len(order), _MAX_LINES)]
    parts = [part for part in np.array_split(order, min(_CLASSES, len(order))) if len(part)]
    data = []
    ranges = [sorted((float(first[part[0]]), float(first[part[-1]]))) for part in parts]
    ends = iter(labels_of([end for both in ranges for end in both], 3))
    names = [low if low == high else f"{low} to {high}" for low, high in zip(ends, ends, strict=True)]
    for index, part in enumerate(parts):
        x: list[float | None] = []
        y: list[float | None] = []
        text: list[str] = []
        for line in part:
            x += [*range(len(heights)), None]
            y += [*heights[:, line].tolist(), None]
            text += [labels[line]] * (len(heights) + 1)
        is_top = index == len(parts) - 1
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": names[index],
                "x": x,
                "y": y,
                "text": text,
                "hovertemplate": "%{text}<extra></extra>",
                "line": {"color": _COLORS[index + len(_COLORS) - len(parts)], "width": 2.5 if is_top else 1.2},
                "opacity": 1.0 if is_top else 0.7,
            }
        )
    return data


def _range(dimension: Mapping[str, Any], column: Floats) -> tuple[float, float]:
    ends = dimension.get("range")
    if ends is None:
        known = column[np.isfinite(column)]
        ends = (known.min(), known.max()) if len(known) else (0.0, 1.0)
    return float(ends[0]), float(ends[1])


def _heights(column: Floats, low: float, high: float) -> Floats:
    return (column - low) / (high - low) if high > low else np.full(len(column), 0.5)


def _ticks(dimension: Mapping[str, Any], ends: tuple[float, float]) -> list[tuple[float, str]]:
    values, labels = dimension.get("tickvals"), dimension.get("ticktext")
    if values is not None and labels is not None:
        return [(float(value), str(label)) for value, label in zip(values, labels, strict=False)]
    if ends[0] == ends[1]:
        return [(ends[0], number(ends[0]))]
    values = np.linspace(*ends, _TICKS).tolist()
    return list(zip(values, labels_of(values, 3), strict=True))


def _label(dimensions: Sequence[Mapping[str, Any]], values: Floats) -> str:
    lines = []
    for one, value in zip(dimensions, values.tolist(), strict=True):
        known = {
            float(v): str(label) for v, label in zip(one.get("tickvals", ()), one.get("ticktext", ()), strict=False)
        }
        text = known.get(value) or ("-" if math.isnan(value) else number(value))
        # On an axis of positions a value between two ticks has no text of its own.
        if value in known or not known:
            lines.append(plain_label(f"{one.get('label', '')} {text}"))
    return "<br>".join(lines)
