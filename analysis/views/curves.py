"""The curves of a report: single runs, and means over runs that share a value, for every metric."""

from collections.abc import Mapping, Sequence
from typing import Any

from analysis.curves.axis import along, chosen_unit
from analysis.curves.curves import choosing, group_labels, grouped
from analysis.curves.metrics import curve_of, panel_metrics, title_of
from analysis.output.colors import COLORS
from analysis.output.parts import Block, Part, Sentences
from analysis.records.runs import Floats, RunRecord, Source
from analysis.results.ranking import Ranking
from analysis.views.lines import averaged, points, thinned
from analysis.wording.labels import identity
from analysis.wording.statements import counted, listed
from rlhf_sweeps.record import natural

_EVALUATED = "eval/score"
_MAX_PANELS = 6
# Metrics beside the panels: what says most first.
_ORDER = ("eval", "judge", "objective", "policy", "val", "loss", "value")
_NUM_ALL = 12  # so many runs are shown all
_NUM_BEST, _NUM_WORST, _NUM_RUNNING = 6, 3, 3
_MAX_GROUPS = len(COLORS)
_MAX_VIEWS = 5
_RUNNING = ("unfinished", "running")


def curve_parts(source: Source, ranking: Ranking, detail: int = 0) -> list[Part]:
    """The panels and what they are drawn from.

    Args:
        detail: 0: everything; 1: half the points; 2: the panels' metrics only.
    """
    if not any(len(run.updates) for run in source.runs):
        return [Sentences(["No run has recorded an update yet"])]
    shown = panels(source)
    more = more_metrics(source, shown) if detail < 2 else []
    most = 200 if detail == 0 else 100
    metrics = {metric: most for metric, _ in shown} | dict.fromkeys(more, most // 2)
    unit, why = chosen_unit([run for run in source.runs if len(run.updates)])
    views = curve_views(source, ranking, metrics, unit)
    for view in views if why else ():
        view["note"] += f"; {why}"
    content = {"views": views, "panels": shown, "more": more, "unit": unit}
    parts: list[Part] = [Block("curves", content, "curves")]
    if detail == 2:
        parts.append(Sentences(["Of this many runs and metrics only the panels' metrics are in this file"]))
    return parts


def panels(source: Source) -> list[tuple[str, str]]:
    """The published figure's panels and the held-out score, as far as they are recorded: metric, title."""
    found = panel_metrics(source.runs)
    metrics = [*found, *([_EVALUATED] if _EVALUATED in source.metric_names else [])] or source.metric_names
    titles = {_EVALUATED: "held-out score"}
    return [(metric, titles.get(metric, title_of(metric))) for metric in metrics[:_MAX_PANELS]]


def more_metrics(source: Source, shown: Sequence[tuple[str, str]]) -> list[str]:
    """Every metric without a panel: what says most first, counters and the machine last."""
    names = {metric for metric, _ in shown}
    others = [metric for metric in source.metric_names if metric not in names]
    place = {group: index for index, group in enumerate(_ORDER)}
    return sorted(others, key=lambda m: ("base_score" in m, place.get(m.partition("/")[0], len(_ORDER)), natural(m)))


def curve_views(source: Source, ranking: Ranking, metrics: Mapping[str, int], unit: str) -> list[dict[str, Any]]:
    """What can be chosen to look at: `title`, `note`, `lines` (name and style), `metrics` (points, for each line).

    Args:
        metrics: of the panels and beside them -> points a line.
        unit: of the points' first numbers: update or episode.
    """
    views = [_single_runs(source, ranking, metrics, unit)]
    for key in _group_keys(source, ranking)[: _MAX_VIEWS - 1]:
        view = _grouped(source, key, metrics, unit)
        if view is not None:
            views.append(view)
    is_seeded = any(len(entry.runs) > 1 for entry in ranking.entries)
    return [*views[1:], views[0]] if is_seeded else views


def _single_runs(source: Source, ranking: Ranking, metrics: Mapping[str, int], unit: str) -> dict[str, Any]:
    runs, note = _chosen(source, ranking)
    best = ranking.best.run if ranking.best else None
    lines = []
    for index, run in enumerate(runs):
        is_best = run is best
        name = f"{run.name} (the best)" if is_best else run.name
        dash = "solid" if index < len(COLORS) else "dot"
        lines.append(_style(name, index, 3.0 if is_best else 1.6, dash, 1.0 if is_best else 0.85))
    drawn = [along(run, unit) for run in runs]
    found = {
        metric: [points(*thinned(*line, most)) if len(line[0]) else None for line in _lines(drawn, metric)]
        for metric, most in metrics.items()
    }
    return {"title": "single runs", "note": note, "lines": lines, "metrics": found}


def _lines(runs: Sequence[RunRecord], metric: str) -> list[tuple[Floats, Floats]]:
    return [curve_of(run, metric) for run in runs]


def _chosen(source: Source, ranking: Ranking) -> tuple[list[RunRecord], str]:
    """The runs to draw one by one: all if they are few, else the best, the worst, and some that still run."""
    runs = [run for run in source.runs if len(run.updates)]
    if len(runs) <= _NUM_ALL:
        return runs, f"One line a run; {counted(len(runs), 'run')}"
    ranked = [entry.run for entry in ranking.leaders if entry.run is not None and len(entry.run.updates)]
    best, worst = ranked[:_NUM_BEST], ranked[_NUM_BEST:][-_NUM_WORST:]
    running = [run for run in runs if run.state in _RUNNING and run not in ranked][:_NUM_RUNNING]
    chosen = [*best, *worst, *running] or runs[:_NUM_ALL]
    parts = [f"the {len(best)} best"] if best else []
    parts += [f"the {len(worst)} worst"] if len(worst) > 1 else ["the worst"] if worst else []
    parts += [f"{counted(len(running), 'unfinished one')}"] if running else []
    which = listed(parts) or f"the first {len(chosen)}"
    what = "one seed of each" if any(len(entry.runs) > 1 for entry in ranking.leaders) else "one line a run"
    return chosen, f"Shown are {which} of {len(runs)} runs, {what}"


def _group_keys(source: Source, ranking: Ranking) -> list[str]:
    """Keys with a few values: reward models first, then settings, then trials where these have several seeds."""
    keys: list[str] = [key for key in ("reward_model", "model", "dataset") if key in source.axes]
    keys += [key for key in source.axes if key not in keys]
    if any(len(entry.runs) > 1 for entry in ranking.entries) and source.trials:
        keys.append("trial")
    chosen: list[str] = []
    for key in keys:
        values = {identity(run.value(key)) for run in source.runs if not run.is_test}
        if 1 < len(values) <= _MAX_GROUPS:
            chosen.append(key)
    return chosen


def _grouped(source: Source, key: str, metrics: Mapping[str, int], unit: str) -> dict[str, Any] | None:
    recorded = [run for run in source.runs if len(run.updates)]
    runs = [along(run, unit) for run in choosing(recorded)]
    found: dict[str, dict[str, Any]] = {}
    spreads: dict[str, None] = {}
    for metric, most in metrics.items():
        found[metric] = {}
        for curve in grouped(runs, metric, key):
            if len(curve.updates):
                lines = averaged(curve.updates, curve.mean, curve.low, curve.high, most=most)
                found[metric][curve.label] = points(*lines)
                spreads |= {curve.spread: None} if curve.spread else {}
    labels = [label for label in group_labels(runs, key) if any(label in by_label for by_label in found.values())]
    if len(labels) < 2:
        return None
    band = f"; the band: {listed(spreads)}" if spreads else ""
    num_left = len(recorded) - len(runs)
    band += f"; without {counted(num_left, 'run')} on test seeds" if num_left else ""
    return {
        "title": f"by {key}",
        "note": f"Mean over the runs that share a value of {key}, as long as half of them are there{band}",
        "lines": [_style(label, index, 2.2) for index, label in enumerate(labels)],
        "metrics": {metric: [by_label.get(label) for label in labels] for metric, by_label in found.items()},
    }


def _style(name: str, index: int, width: float, dash: str = "solid", opacity: float = 1.0) -> dict[str, Any]:
    color = COLORS[index % len(COLORS)]
    return {"name": name, "color": color, "width": width, "dash": dash, "opacity": opacity}
