"""Training curves to choose from in the page: single runs, and means over runs that share a value, for every metric."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from analysis.curves.axis import choose_unit
from analysis.curves.curves import MetricCurve
from analysis.curves.metrics import choose_panel_metrics, find_title
from analysis.curves.panels import Choice, choose_axis, choose_lines, make_panels
from analysis.output.charts import GREY
from analysis.output.colors import COLORS
from analysis.output.parts import Block, Part, Sentences
from analysis.output.thinning import pick_extremes
from analysis.records.runs import Floats, Source
from analysis.results.ranking import SourceRanking, list_leaders
from analysis.results.results import Results
from analysis.wording.labels import make_identity
from analysis.wording.statements import format_count, join_words
from rlhf_sweeps.record import natural_key

_EVALUATED = "eval/score"
# Chosen by looking at drawings and lists.
_MAX_PANELS = 6  # that the page shows at first
# Metrics beside the panels: those that say most come first.
_ORDER = ("eval", "judge", "objective", "policy", "val", "loss", "value")
_MAX_OTHERS = 24  # grey lines
_MAX_GROUPS = len(COLORS)
_MAX_VIEWS = 5  # ways to group the runs
_MOST_POINTS = (200, 100, 100)  # of a line in a panel, by detail


def make_curve_chooser(results: Results, detail: int = 0) -> list[Part]:
    """The panels, the lines that can be chosen, and every metric that can be chosen beside them.

    Args:
        detail: 0: everything; 1: half the points; 2: the panels' metrics only.
    """
    source = results.source
    runs = [run for run in source.runs if len(run.updates)]
    if not runs:
        return [Sentences(["no run has recorded an update yet"])]
    panel_titles = _choose_panel_titles(source)
    more = _list_more_metrics(source, panel_titles) if detail < 2 else []
    most = _MOST_POINTS[detail]
    num_points = dict.fromkeys(panel_titles, most) | dict.fromkeys(more, most // 2)
    unit, why = choose_unit(runs)
    views = _make_views(source, results.ranking, num_points, unit)
    for view in views if why else ():
        view["note"] += f"; {why}"
    content = {"views": views, "panels": list(panel_titles.items()), "more": more, "unit": unit}
    parts: list[Part] = [Block("curves", content, "curves")]
    if detail == 2:
        parts.append(
            Sentences(
                ["this file has only the metrics of the panels, since there are too many runs and metrics for more"]
            )
        )
    return parts


def _choose_panel_titles(source: Source) -> dict[str, str]:
    """Metric -> title: the published figure's panels and the held-out score, as far as they are recorded."""
    published = choose_panel_metrics(source.runs)
    evaluated = [_EVALUATED] if _EVALUATED in source.metric_names else []
    metrics = [*published, *evaluated] or source.metric_names
    return {
        metric: "held-out score" if metric == _EVALUATED else find_title(metric) for metric in metrics[:_MAX_PANELS]
    }


def _list_more_metrics(source: Source, panel_titles: Mapping[str, str]) -> list[str]:
    """Every metric without a panel: those that say most come first, counters and the machine last."""
    others = [metric for metric in source.metric_names if metric not in panel_titles]
    place = {group: index for index, group in enumerate(_ORDER)}
    return sorted(
        others, key=lambda m: ("base_score" in m, place.get(m.partition("/")[0], len(_ORDER)), natural_key(m))
    )


def _make_views(
    source: Source, ranking: SourceRanking, num_points: Mapping[str, int], unit: str
) -> list[dict[str, Any]]:
    """What can be chosen to look at: `title`, `note`, `lines` (name and style), `metrics` (points, for each line).

    Args:
        num_points: metric -> how many points a line has at most.
        unit: of the points' first numbers: update or episode.
    """
    singles = _make_run_view(source, ranking, num_points, unit)
    keys = _find_group_keys(source, ranking)[: _MAX_VIEWS - 1]
    grouped = [view for key in keys if len((view := _make_group_view(source, key, num_points, unit))["lines"]) > 1]
    has_seeds = any(len(entry.runs) > 1 for entry in ranking.entries)
    return [*grouped, singles] if has_seeds else [singles, *grouped]


def _make_run_view(source: Source, ranking: SourceRanking, num_points: Mapping[str, int], unit: str) -> dict[str, Any]:
    metrics = list(num_points)
    choice = choose_axis(choose_lines(source, metrics, None, list_leaders, _MAX_OTHERS), unit)
    best = ranking.best.run if ranking.best else None
    named = {
        line: name if best is None or line != best.name else f"{name}, the best" for line, name in choice.names.items()
    }
    note = "; ".join(choice.notes) or f"each line is a run; {format_count(len(choice.runs), 'run')}"
    view = _make_view("single runs", note, replace(choice, names=named), num_points)
    for line, style in zip((*choice.names, *choice.others), view["lines"], strict=True):
        style["width"] = 3.0 if best is not None and line == best.name else min(style["width"], 1.6)
    return view


def _find_group_keys(source: Source, ranking: SourceRanking) -> list[str]:
    """Keys with a few values: reward models first, then settings, then trials where these have several seeds."""
    keys: list[str] = [key for key in ("reward_model", "model", "dataset") if key in source.axes]
    keys += [key for key in source.axes if key not in keys]
    if any(len(entry.runs) > 1 for entry in ranking.entries) and source.trials:
        keys.append("trial")
    num_values = {key: len({make_identity(run.look_up(key)) for run in source.runs if not run.is_test}) for key in keys}
    return [key for key in keys if 1 < num_values[key] <= _MAX_GROUPS]


def _make_group_view(source: Source, key: str, num_points: Mapping[str, int], unit: str) -> dict[str, Any]:
    choice = choose_axis(choose_lines(source, list(num_points), key), unit)
    return _make_view(f"by {key}", f"mean over the runs that share a value of {key}", choice, num_points)


def _make_view(title: str, note: str, choice: Choice, num_points: Mapping[str, int]) -> dict[str, Any]:
    lines = [*choice.names, *choice.others]
    metrics: dict[str, list[Any]] = {}
    spreads: dict[str, None] = {}
    for panel in make_panels(choice, list(num_points), 0):
        curves = {curve.label: curve for curve in (*panel.curves, *panel.others)}
        spreads |= {curve.spread: None for curve in curves.values() if curve.spread}
        most = num_points[panel.metric]
        metrics[panel.metric] = [
            _list_points(curves[line], most // 4 if line in choice.others else most) if line in curves else None
            for line in lines
        ]
    notes = [note, *([] if choice.by is None else choice.notes)]
    if spreads:
        notes[0] += f", as long as half of them are recorded; the band: {join_words(spreads)}"
    styles = [_choose_style(choice.names.get(line), line, place) for place, line in enumerate(lines)]
    return {"title": title, "note": "; ".join(notes), "lines": styles, "metrics": metrics}


def _choose_style(name: str | None, line: str, place: int) -> dict[str, Any]:
    """`legend` is what a reader presses to hide the line; lines without a name of their own are hidden together."""
    if name is None:
        return {"legend": "others", "name": line, "color": GREY, "width": 1.0, "dash": "solid", "opacity": 0.45}
    dash = "solid" if place < len(COLORS) else "dot"
    color = COLORS[place % len(COLORS)]
    return {"legend": name, "name": name, "color": color, "width": 2.2, "dash": dash, "opacity": 1.0}


def _list_points(curve: MetricCurve, most: int) -> list[list[float]]:
    """x and y of a run, its peaks among them; of a group x, mean and band, averaged over stretches so that they fit."""
    if not curve.spread:
        chosen = pick_extremes(curve.mean, most)
        return [curve.updates[chosen].tolist(), curve.mean[chosen].tolist()]
    return [column.tolist() for column in average_stretches([curve.updates, curve.mean, curve.low, curve.high], most)]


def average_stretches(columns: Sequence[Floats], most: int) -> Sequence[Floats]:
    """Columns of at most `most` rows: means over stretches, (n,) each."""
    num = len(columns[0])
    if num <= most:
        return columns
    edges = np.linspace(0, num, most + 1).astype(int)
    return [np.add.reduceat(column, edges[:-1]) / np.diff(edges) for column in columns]
