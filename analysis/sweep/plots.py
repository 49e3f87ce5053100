"""Interactive figures that are not Optuna's: importance with its ranges, fitted surface, parallel coordinates."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from analysis.output.colors import COLORS
from analysis.output.thinning import spread
from analysis.records.runs import Floats
from analysis.sweep.analysis import ViewAnalysis
from analysis.sweep.axes import tell_choices, tell_values
from analysis.sweep.importance import Importance
from analysis.sweep.optimum import Optimum
from analysis.wording.short_labels import shorten_apart
from rlhf_sweeps.record import Axis

MAX_POINTS = 1000  # of a trace
MAX_AXES = 6
_DIGITS = 4
_NUM_CELLS = 30
_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)


def importance_figure(result: Importance, end: str = "") -> Any:
    """Bars by both methods, with the range over resampled settings."""
    import plotly.graph_objects as go

    keys = list(result.keys)[::-1]
    names = [key.key if key.is_clear else f"{key.key} (within chance)" for key in keys]
    figure = go.Figure()
    for name, color in (("PED-ANOVA", COLORS[1]), ("fANOVA", COLORS[0])):
        shares = [key.fanova if name == "fANOVA" else key.ped_anova for key in keys]
        values = [short(100 * share.value) if share else None for share in shares]
        error = {
            "type": "data",
            "symmetric": False,
            "array": [short(100 * (share.high - share.value)) if share else 0 for share in shares],
            "arrayminus": [short(100 * (share.value - share.low)) if share else 0 for share in shares],
        }
        figure.add_bar(x=values, y=names, name=name, orientation="h", error_x=error, marker={"color": color})
    figure.update_layout(
        title=f"Importance for {result.metric}, {result.num_settings} settings{end}",
        barmode="group",
        xaxis={"title": {"text": "share, %"}, "range": [0, 100]},
        yaxis={"automargin": True},
        legend={"traceorder": "reversed"},
    )
    return figure


def contour_figure(one: ViewAnalysis, found: Optimum, end: str = "") -> Any | None:
    """The fitted surface over the two most important axes of numbers, the others as in the best setting."""
    import plotly.graph_objects as go

    order = [key.key for key in one.importances[0].keys]
    numeric = [index for index, axis in enumerate(found.surface.axes) if axis.is_interval]
    numeric.sort(key=lambda index: (*place_in(order, found.surface.axes[index].key), index))
    if len(numeric) < 2:
        return None
    first, second = (found.surface.axes[index] for index in numeric[:2])
    grid = np.linspace(0, 1, _NUM_CELLS)
    anchor = one.view.positions([found.anchor.values])[0]
    points = np.tile(anchor, (_NUM_CELLS**2, 1))
    points[:, numeric[0]] = np.tile(grid, _NUM_CELLS)
    points[:, numeric[1]] = np.repeat(grid, _NUM_CELLS)
    heights = one.view.sign() * found.surface.mean(points).reshape(_NUM_CELLS, _NUM_CELLS)
    figure = go.Figure()
    figure.add_contour(
        x=_values(first, grid),
        y=_values(second, grid),
        z=[[short(value) for value in row] for row in heights],
        colorscale="Viridis",
        reversescale=one.view.sign() < 0,
        colorbar={"title": {"text": one.view.metrics[0]}},
        hovertemplate=f"{first.key} %{{x}}<br>{second.key} %{{y}}<br>%{{z}}<extra>fit</extra>",
    )
    places = one.view.positions()
    chosen = spread(len(places), MAX_POINTS // 2)
    figure.add_scatter(
        x=_values(first, places[chosen, numeric[0]]),
        y=_values(second, places[chosen, numeric[1]]),
        mode="markers",
        marker={"color": "#000000", "size": 5, "line": {"color": "#ffffff", "width": 1}},
        text=[_told(one, index) for index in chosen],
        hovertemplate="%{text}<extra></extra>",
        showlegend=False,
    )
    figure.update_layout(
        title=f"Fitted {one.view.metrics[0]}, other keys as in trial {found.anchor.numbers[0]}{end}",
        xaxis={"title": {"text": first.key}, "type": "log" if first.is_log else "linear"},
        yaxis={"title": {"text": second.key}, "type": "log" if second.is_log else "linear"},
    )
    return figure


def parallel_figure(one: ViewAnalysis, end: str = "") -> Any:
    """Every setting a line through its values and objectives, coloured by the first objective."""
    import plotly.graph_objects as go

    view = one.view
    order = [key.key for key in one.importances[0].keys] if one.importances else []
    ranked = sorted(range(len(view.axes)), key=lambda index: (*place_in(order, view.axes[index].key), index))
    places = view.positions()
    chosen = spread(len(places), MAX_POINTS)
    objectives = np.array([view.settings[index].objectives for index in chosen])
    dimensions = [
        {"label": metric, "values": [short(value) for value in objectives[:, index]]}
        for index, metric in enumerate(view.metrics[: objectives.shape[1]])
    ]
    dimensions += [_dimension(view.axes[index], places[chosen, index]) for index in ranked[:MAX_AXES]]
    line = {
        "color": dimensions[0]["values"],
        "colorscale": "Viridis",
        "showscale": True,
        "reversescale": view.sign() < 0,
        "colorbar": {"title": {"text": view.metrics[0]}},
    }
    figure = go.Figure(go.Parcoords(line=line, dimensions=dimensions))
    left_out = f", {len(chosen)} of {len(places)} settings" if len(chosen) < len(places) else ""
    few = f", {MAX_AXES} of {len(view.axes)} keys" if len(view.axes) > MAX_AXES else ""
    figure.update_layout(title=f"All settings{few}{left_out}{end}", margin={"t": 110})
    return figure


def _dimension(axis: Axis, places: Floats) -> dict[str, Any]:
    """One axis; a key that is not active lies below it, marked as such."""
    if axis.is_interval:
        low, high, ticks = 0.0, 1.0, list(_TICKS)
    else:
        ticks = [axis.position(text) for text in axis.choices]
        low, high = min(ticks), max(ticks)
    labels = tell_values(axis, ticks) if axis.is_interval else shorten_apart(tell_choices(axis), 20)
    if np.isnan(places).any():
        low -= 0.15 * (high - low)
        ticks, labels = [low, *ticks], ["not active", *labels]
    values = [short(low if math.isnan(place) else place) for place in places]
    return {"label": axis.key, "values": values, "range": [low, high], "tickvals": ticks, "ticktext": labels}


def pareto_figure(one: ViewAnalysis) -> Any:
    """Every setting by two objectives; those that no other beats are named and joined."""
    import plotly.graph_objects as go

    first, second = one.view.metrics
    on_front = {setting.numbers for setting in one.front}
    settings = [one.view.settings[index] for index in spread(len(one.view.settings), MAX_POINTS)]
    others = [setting for setting in settings if setting.numbers not in on_front]
    front = sorted(one.front, key=lambda setting: tuple(setting.objectives))
    figure = go.Figure()
    for name, chosen, mode, color, size in (
        ("others", others, "markers", COLORS[0], 6),
        ("Pareto front", front, "lines+markers+text", COLORS[1], 9),
    ):
        figure.add_scatter(
            x=[short(float(setting.objectives[0])) for setting in chosen],
            y=[short(float(setting.objectives[1])) for setting in chosen],
            text=[str(setting.numbers[0]) for setting in chosen],
            mode=mode,
            name=name,
            textposition="top center",
            marker={"color": color, "size": size},
            line={"dash": "dot", "width": 1, "color": color},
            hovertemplate=f"trial %{{text}}<br>{first} %{{x}}<br>{second} %{{y}}<extra></extra>",
        )
    figure.update_layout(
        title="Pareto front, with the trials' numbers",
        xaxis={"title": {"text": first}},
        yaxis={"title": {"text": second}},
        legend={"orientation": "h"},
    )
    return figure


def place_in(order: Sequence[str], key: str) -> tuple[int]:
    """To sort by: where a key stands in an order, behind all others if it does not."""
    return (order.index(key) if key in order else len(order),)


def _values(axis: Axis, places: Floats) -> list[float | None]:
    return [None if math.isnan(place) else short(axis.value(float(place))) for place in places]


def _told(one: ViewAnalysis, index: int) -> str:
    setting = one.view.settings[index]
    return f"trial {setting.numbers[0]}: {short(float(setting.objectives[0]))}"


def short(value: float) -> float:
    """A number with the few digits that a plot can show."""
    return float(f"{value:.{_DIGITS}g}")
