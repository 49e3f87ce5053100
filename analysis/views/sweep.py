"""The sweep's own views in words and plots: importance, slices, contour, parallel coordinates, Pareto front."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from analysis.output.colors import COLORS
from analysis.output.parts import Cell, Column, Figure, Part, Sentences, Table, number_cell, setting_cell
from analysis.records.runs import Source
from analysis.sweep.analysis import SweepAnalysis, ViewAnalysis
from analysis.sweep.importance import Importance, Share
from analysis.views.parallel import parallel

_MAX_STEPS = 4
_ON_FIRST_SCREEN = "history"
_NAMED = {"blue": COLORS[0], "orange": COLORS[4], "red": COLORS[1], "green": COLORS[2], "cyan": COLORS[5]}
_LINK = re.compile(r"<(?=\s*/?\s*a\b)", re.IGNORECASE)


def sweep_parts(source: Source, found: SweepAnalysis | None) -> list[Part]:
    """What the sweep says about its keys; empty where there is none, or it could not be analysed."""
    if not source.trials or found is None:
        return []
    parts: list[Part] = [Sentences(list(found.notes))] if found.notes else []
    for place, one in enumerate(found.views):
        parts += _of_view(one, place)
    return [*parts, *sweep_figures(source, found)]


def advice_sentences(source: Source, found: SweepAnalysis | None) -> list[str]:
    """What to try next, the most useful first; of a run outside of a sweep, that it takes several."""
    if source.kind == "run":
        return [
            "One run does not tell how much seeds differ: seed=0,1,2 with -m does, search=lr_kl_clip looks for better "
            "settings"
        ]
    views = found.views if found is not None else []
    steps = [f"{one.view.label}: {step.text}" if one.view.label else step.text for one in views for step in one.steps]
    if not steps and any(one.view.is_single and one.view.best for one in views) and len(views) == 1:
        return ["Nothing in the record asks for more of this search; Config has the command for the best run"]
    return steps[:_MAX_STEPS]


def sweep_figures(source: Source, analysis: SweepAnalysis) -> list[Figure]:
    """The figures that there is something to show in."""
    from analysis.sweep.figures import figures

    found = {name: one for name, one in figures(source, analysis).items() if name != _ON_FIRST_SCREEN}
    return [converted(f"sweep-{place}", name, one) for place, (name, one) in enumerate(found.items())]


def converted(identity: str, name: str, figure: Any) -> Figure:
    """A figure of Plotly's Python package in the page's terms: no template, since the page has its own themes."""
    content = _without_links(figure.to_plotly_json())
    layout = dict(content.get("layout") or {})
    layout.pop("template", None)
    title = layout.pop("title", None)
    text = title.get("text") if isinstance(title, Mapping) else title
    height = layout.pop("height", None)
    layout.pop("width", None)
    shown = re.sub(r"<[^>]*>", " ", str(text or name))
    data = [_recolored(trace) for trace in content.get("data") or []]
    if len(data) == 1 and data[0].get("type") == "parcoords":
        data, layout = parallel(data[0])
        note = "A line is a setting; press a range below to hide or show its lines"
        return Figure(identity, shown, data, layout, note, 460)
    return Figure(identity, shown, data, layout, "", int(height or 420))


def _recolored(trace: Mapping[str, Any]) -> dict[str, Any]:
    """Named colours of a trace's marks as colours of the page, which has them for dark ground too."""
    marker = trace.get("marker")
    if not isinstance(marker, Mapping) or not isinstance(marker.get("color"), str):
        return dict(trace)
    return {**trace, "marker": {**marker, "color": _NAMED.get(marker["color"], marker["color"])}}


def _without_links(value: Any) -> Any:
    """Plotly makes links of tags in texts; a record's own words should not become any."""
    if isinstance(value, str):
        return _LINK.sub("&lt;", value)
    if isinstance(value, Mapping):
        return {key: _without_links(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_links(item) for item in value]
    return value


def _of_view(one: ViewAnalysis, place: int) -> list[Part]:
    label = one.view.label
    title = f"What the search says about runs on reward model {label}" if label else "What the search says"
    parts: list[Part] = [Sentences(one.statements, title)] if one.statements else []
    if one.steps:
        parts.append(Sentences(one.steps, "What to try next"))
    for index, result in enumerate(one.importances):
        if any(key.is_clear for key in result.keys):
            parts.append(_importance_table(result, f"importance-{place}-{index}"))
    if not one.view.is_single and one.front:
        parts.append(_front_table(one, f"front-{place}"))
    return parts


def _importance_table(result: Importance, identity: str) -> Table:
    rows = [
        [Cell(key.key), _share_cell(key.fanova), _share_cell(key.ped_anova), number_cell(key.p_value)]
        for key in result.keys
    ]
    columns = [
        Column("Key"),
        Column("fANOVA in %", True, "share of the variance due to the key alone (range over resampled settings)"),
        Column("PED-ANOVA in %", True, "how much it matters for being among the best (range over resampled settings)"),
        Column("p", True, "how probable it is that chance makes any key matter as much, by permutation"),
    ]
    return Table(identity, f"Importance for {result.metric}", columns, rows)


def _share_cell(share: Share | None) -> Cell:
    if share is None:
        return Cell("-")
    return Cell(f"{100 * share.value:.0f} ({100 * share.low:.0f} to {100 * share.high:.0f})", share.value)


def _front_table(one: ViewAnalysis, identity: str) -> Table:
    keys: Sequence[str] = [axis.key for axis in one.view.axes]
    columns = [Column("Trial", True), *[Column(metric, True) for metric in one.view.metrics]]
    columns += [Column(key, True) for key in keys]
    rows = []
    for setting in one.front:
        values = [number_cell(float(value)) for value in setting.objectives]
        known = setting.values
        settings = [
            setting_cell(known.get(key), one.view.shown(key, known[key]) if key in known else None) for key in keys
        ]
        rows.append([number_cell(setting.numbers[0]), *values, *settings])
    return Table(identity, "Pareto front: settings that no other beats in all objectives", columns, rows)
