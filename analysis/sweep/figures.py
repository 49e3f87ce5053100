"""Interactive figures of a sweep: Optuna's own where they serve, cut down to a size that a page can carry.

Optuna's contour interpolates between neighbours, noise and all, and its lines of the parallel coordinates are a trace
each; so these two are drawn here, from the fitted surface and as Plotly's own parallel coordinates.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from analysis.output.thinning import spread
from analysis.records.runs import Source
from analysis.sweep.analysis import SweepAnalysis, ViewAnalysis, analyse
from analysis.sweep.lengths import in_per_cent, run_lengths
from analysis.sweep.plots import (
    MAX_AXES,
    MAX_POINTS,
    contour_figure,
    importance_figure,
    parallel_figure,
    pareto_figure,
    place_in,
    short,
)
from analysis.wording.short_labels import shorten_apart

_MAX_TRACES = 40
_MAX_TRIALS = 200  # of the timeline
_MAX_STEPS = 25  # of a trial's intermediate values


def figures(source: Source, found: SweepAnalysis | None = None) -> dict[str, Any]:
    """Plotly figures by name: history, importance, slice, contour, parallel_coordinates, pareto, intermediate_values,
    timeline. Those with nothing to show are left out; where reward models are compared, each has its own:
    `contour-tiny`.

    Equal sources give equal figures, each below 200 kB as JSON.

    Args:
        found: what is known of the sweep, where that has been found out before.
    """
    found = analyse(source) if found is None else found
    built: dict[str, Any] = {}
    for one in found.views:
        suffix = f"-{one.view.label}" if one.view.label else ""
        end = f" (reward model {one.view.label})" if one.view.label else ""
        for index, result in enumerate(one.importances):
            number = f"-{index + 1}" if index else ""
            if any(key.is_clear for key in result.keys):
                built[f"importance{number}{suffix}"] = importance_figure(result, end)
        if one.optimum is not None and (contour := contour_figure(one, one.optimum, end)) is not None:
            built[f"contour{suffix}"] = contour
        if len(one.view.metrics) == 2 and one.front:
            built[f"pareto{suffix}"] = pareto_figure(one)
        if len(one.view.settings) > 1 and one.view.axes:
            built[f"parallel_coordinates{suffix}"] = parallel_figure(one, end)
    order = ["history", "importance", "slice", "contour", "parallel_coordinates", "pareto", "intermediate_values"]
    built |= _from_optuna(source, found)
    place = {name: index for index, name in enumerate(order)}
    return dict(sorted(built.items(), key=lambda item: place.get(item[0].split("-")[0], len(order))))


def _from_optuna(source: Source, found: SweepAnalysis) -> dict[str, Any]:
    """Optuna's plots of the study; none where it is of several reward models."""
    if source.study is None or len(found.views) != 1 or found.views[0].view.label:
        return {}
    from optuna import visualization as optuna_plots

    one = found.views[0]
    study, metrics = source.study, one.view.metrics
    makers: dict[str, tuple[str, Callable[[], Any]]] = {}
    if one.view.is_single and one.view.settings:
        name = metrics[0]
        params = _params(study, one)
        makers["history"] = (
            f"{name} by trial",
            lambda: optuna_plots.plot_optimization_history(study, target_name=name),
        )
        if params:
            makers["slice"] = (
                f"{name} against each key",
                lambda: optuna_plots.plot_slice(study, params=params, target_name=name),
            )
    if len(metrics) == 3 and one.view.settings:
        makers["pareto"] = (
            "Pareto front",
            lambda: optuna_plots.plot_pareto_front(study, target_names=list(metrics)),
        )
    trials = study.get_trials(deepcopy=False)
    if one.view.is_single and any(trial.intermediate_values for trial in trials):
        lengths = run_lengths(study, source.trials)
        is_uneven = len(set(lengths.values())) > 1
        makers["intermediate_values"] = (
            f"{metrics[0]} by {'per cent of the run' if is_uneven else 'update'}",
            lambda: optuna_plots.plot_intermediate_values(in_per_cent(study, lengths) if is_uneven else study),
        )
    # A study that was rebuilt from runs does not know when they ran.
    if trials and not any("number" in trial.user_attrs for trial in trials):
        makers["timeline"] = (
            f"Trials over time{f', the last {_MAX_TRIALS}' if len(trials) > _MAX_TRIALS else ''}",
            lambda: optuna_plots.plot_timeline(study, n_recent_trials=_MAX_TRIALS),
        )
    drawn = {key: _drawn(title, make) for key, (title, make) in makers.items()}
    return {key: figure for key, figure in drawn.items() if figure is not None}


def _params(study: Any, one: ViewAnalysis) -> list[str]:
    """The study's names of the most important axes."""
    named = {name.lstrip("+"): name for trial in study.get_trials(deepcopy=False) for name in trial.params}
    order = [key.key for key in one.importances[0].keys]
    keys = sorted((axis.key for axis in one.view.axes), key=lambda key: place_in(order, key))
    return [named[key] for key in keys if key in named][:MAX_AXES]


def _drawn(title: str, make: Callable[[], Any]) -> Any | None:
    """One of Optuna's plots, cut down; None where it cannot be drawn."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            figure = make()
    except (ValueError, RuntimeError, ArithmeticError, LookupError, TypeError):
        return None
    traces = list(figure.data)
    if not traces:
        return None
    lines = [trace for trace in traces if trace.type == "scatter" and trace.mode and "lines" in trace.mode]
    if len(lines) > _MAX_TRACES:
        chosen = set(spread(len(lines), _MAX_TRACES))
        dropped = {id(trace) for index, trace in enumerate(lines) if index not in chosen}
        title += f", {_MAX_TRACES} of {len(lines)} trials"
        figure.data = tuple(trace for trace in traces if id(trace) not in dropped)
    longest = _MAX_STEPS if len(lines) > 4 else MAX_POINTS
    for trace in figure.data:
        _shorten_ticks(figure, trace)
        _cut(trace, longest)
    figure.update_layout(title=title, template=None)
    return figure


def _shorten_ticks(figure: Any, trace: Any) -> None:
    """Choices that are long texts would take the room of the plot, turned upright; Optuna puts texts in quotes."""
    choices = list(dict.fromkeys(() if trace.x is None else trace.x)) if trace.type == "scatter" else []
    if not choices or not all(isinstance(choice, str) for choice in choices):
        return
    axis = figure.layout[f"xaxis{(trace.xaxis or 'x')[1:]}"]
    axis.update(
        tickmode="array", tickvals=choices, ticktext=shorten_apart([choice.strip("'") for choice in choices], 16)
    )


def _cut(trace: Any, longest: int) -> None:
    """Shorten a trace's columns to so many points, evenly, and its numbers to a few digits."""
    length = max((len(trace[name]) for name in ("x", "y") if name in trace and trace[name] is not None), default=0)
    kept = spread(length, longest)
    for name in ("x", "y", "z", "text", "hovertext", "base"):
        if name in trace and isinstance(column := trace[name], list | tuple | np.ndarray) and len(column) == length:
            is_text = name in ("text", "hovertext")
            trace[name] = [_told_short(column[index], is_text) for index in kept]
    if "marker" in trace and trace.marker is not None:
        color = trace.marker.color
        if isinstance(color, list | tuple | np.ndarray) and len(color) == length:
            trace.marker.color = [_told_short(color[index], False) for index in kept]


def _told_short(value: Any, is_text: bool) -> Any:
    """Texts that stand for a place on an axis stay whole, since two of them may begin alike."""
    if isinstance(value, float | np.floating):
        return short(float(value))
    return value[:200] if is_text and isinstance(value, str) else value
