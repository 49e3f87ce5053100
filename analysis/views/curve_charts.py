"""Training curves as charts: a panel for each metric, smoothed lines over the raw values."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from analysis.curves.curves import MetricCurve
from analysis.curves.metrics import find_title
from analysis.curves.panels import Choice, MetricPanel
from analysis.curves.sentences import MetricDescription
from analysis.curves.thresholds import MAX_LABEL
from analysis.output.charts import Band, Chart, ChartAxis, Color, ColorScale, Layer, Line, Panel, Points, Rule, Span
from analysis.output.colors import COLORS, pick_color
from analysis.records.runs import CUMULATIVE_REWARD, DIVERGED, FAILED, PRUNED, STOPPED, UNFINISHED
from analysis.wording.short_labels import shorten_apart
from analysis.wording.statements import format_count, join_words

MAX_PANELS = 24  # of one chart
_END_SYMBOLS = {DIVERGED: "thick cross", FAILED: "cross", PRUNED: "triangle", STOPPED: "square", UNFINISHED: "hollow"}
_OTHER_SYMBOL = "diamond"  # of a run that ended for a reason of its own
# Chosen by looking at drawings and lists.
_MAX_ENDS = 12  # marks on a line; more would hide it
_MAX_DOTS = 60  # points of a line that are marked one by one
_WIDTH, _OTHER_WIDTH = 2.1, 0.9  # of lines
_GREY = "#999999"
_INK = "#444444"
# Of other people's lines: dark, and not the black of COLORS.
_BESIDE_COLORS = ("#222222", "#6b3a00", "#3a0ca3")
_BESIDE_DASHES = ("dash", "dashdot")
_FAR = 50.0  # how far above its middle a panel's top is when it gets a logarithmic scale

Looks = Mapping[str, tuple[str, Color, str]]  # a line -> its name in the legend, its colour, its dash


def make_curve_charts(
    title: str, metric_panels: Sequence[MetricPanel], choice: Choice, descriptions: Mapping[str, MetricDescription]
) -> list[Chart]:
    """As many charts as all panels take: curves, curves_2 ...

    Args:
        title: above each.
        metric_panels: the metrics with their curves, in their order.
        choice: the lines and their names.
        descriptions: metric -> the description that is written into its panel; for charts with one line.
    """
    starts = range(0, len(metric_panels), MAX_PANELS)
    return [
        _make_chart(title, place, metric_panels[start : start + MAX_PANELS], choice, descriptions)
        for place, start in enumerate(starts, 1)
    ]


def _make_chart(
    title: str,
    place: int,
    metric_panels: Sequence[MetricPanel],
    choice: Choice,
    descriptions: Mapping[str, MetricDescription],
) -> Chart:
    name = "curves" if place == 1 else f"curves_{place}"
    scale = _make_scale(choice)
    looks = {**_choose_looks(choice, scale), **_choose_beside_looks(metric_panels)}
    num = len(metric_panels)
    return Chart(
        name.replace("_", "-"),
        title,
        [_make_panel(each, choice.unit, looks, descriptions.get(each.metric)) for each in metric_panels],
        "; ".join(_write_notes(metric_panels, choice, bool(descriptions))),
        columns=2 if num == 4 else min(3, num),
        width=630 if num == 1 else 430,
        height=310,
        file=name,
        scale=scale,
        in_legend=list(_draw_legend(metric_panels, choice, looks)),
    )


def _make_scale(choice: Choice) -> ColorScale | None:
    if not choice.scale:
        return None
    low, high = min(choice.scale.values()), max(choice.scale.values())
    return ColorScale(choice.by or "", low, high, is_log=low > 0 and high / low > 20)


def _choose_looks(choice: Choice, scale: ColorScale | None) -> Looks:
    dashes = ("solid", "dashdot")
    looks: dict[str, tuple[str, Color, str]] = {}
    for place, (line, name) in enumerate(choice.names.items()):
        group = f"{choice.by}={name} ({format_count(len(choice.runs[line]), 'run')})"
        color, dash = place % len(COLORS), dashes[place // len(COLORS) % 2]
        looks[line] = (name if choice.by is None else group, color, dash)
    if scale is not None:
        looks |= {line: ("", pick_color(scale, value), "solid") for line, value in choice.scale.items()}
    return looks


def _choose_beside_looks(metric_panels: Sequence[MetricPanel]) -> Looks:
    names = list(dict.fromkeys(curve.label for panel in metric_panels for curve in panel.beside))
    colors, dashes = _BESIDE_COLORS, _BESIDE_DASHES
    return {
        name: (text, colors[place % len(colors)], dashes[place // len(colors) % len(dashes)])
        for place, (name, text) in enumerate(zip(names, shorten_apart(names, MAX_LABEL), strict=True))
    }


def _make_panel(metric_panel: MetricPanel, unit: str, looks: Looks, description: MetricDescription | None) -> Panel:
    metric = metric_panel.metric
    title = find_title(metric)
    layers: list[Layer] = []
    for phase in description.phases[1:] if description else ():
        layers += [Span(*phase.begins), Rule(phase.start, dash="dot", color="#555555")]
    for curve in metric_panel.others:
        layers.append(Line(curve.updates, curve.smoothed, color=_GREY, width=_OTHER_WIDTH, opacity=0.5))
        layers += _draw_ends(curve, _GREY)
    for curve in metric_panel.curves:
        layers += _draw_curve(curve, *looks[curve.label])
    for curve in metric_panel.beside:
        layers += _draw_curve(curve, *looks[curve.label])
    all_curves = (*metric_panel.curves, *metric_panel.others, *metric_panel.beside)
    is_log = _has_far_values([curve.mean for curve in all_curves])
    y = ChartAxis(metric if title != metric else "", is_log=is_log)
    note = description.statements[0].text if description and description.statements else ""
    return Panel(ChartAxis(unit, is_whole=True), y, layers, f"{title} (logarithmic)" if is_log else title, note)


def _has_far_values(lines: Sequence[np.ndarray]) -> bool:
    values = np.concatenate(lines)
    return bool(len(values)) and values.min() > 0 and values.max() > _FAR * np.median(values)


def _draw_curve(curve: MetricCurve, name: str, color: Color, dash: str) -> Iterator[Layer]:
    """The raw values faintly, the smoothed ones over them, dotted where not all of the group's runs are left."""
    if curve.spread:
        yield Band(curve.updates, curve.low, curve.high, color=color, opacity=0.15)
    if curve.is_smoothed:
        yield Line(curve.updates, curve.mean, color=color, width=1, opacity=0.3)
    is_whole = curve.num_runs == len(curve.runs)
    # The part where runs are missing starts at the last update that all have, so that no gap shows.
    is_partial = ~is_whole
    is_partial[:-1] |= is_partial[1:]
    is_partial[1:] |= ~is_whole[:-1]
    has_dots = _is_sparse(curve) and len(curve.updates) <= _MAX_DOTS
    for part, part_name, part_dash in ((is_whole, name, dash), (is_partial, "", "dot")):
        if part.any():
            values = np.where(part, curve.smoothed, np.nan)
            yield Line(curve.updates, values, part_name, color, _WIDTH, part_dash, has_dots=has_dots)
    yield from _draw_ends(curve, color)


def _is_sparse(curve: MetricCurve) -> bool:
    """Whether its values are further apart than the rows of its runs, as those of evaluations are."""
    steps = [float(np.median(np.diff(run.updates))) for run in curve.runs if len(run.updates) > 1]
    return len(curve.updates) < 2 or float(np.median(np.diff(curve.updates))) > max(1.0, *steps, 1.0)


def _draw_ends(curve: MetricCurve, color: Color) -> Iterator[Points]:
    """Where runs ended that did not complete, on the line; an end beyond the line's last point stands at that."""
    if len(curve.ends) > _MAX_ENDS:
        return
    for update, state in curve.ends:
        if len(curve.updates) and update >= curve.updates[0]:
            x = min(update, float(curve.updates[-1]))
            y = float(np.interp(x, curve.updates, curve.smoothed))
            yield Points([x], [y], color=color, symbol=_END_SYMBOLS.get(state, _OTHER_SYMBOL), size=8.5)


def _draw_legend(metric_panels: Sequence[MetricPanel], choice: Choice, looks: Looks) -> Iterator[Layer]:
    """The lines that any panel has, the others as one, and the marks of ends; nothing for a run alone."""
    drawn = {curve.label for panel in metric_panels for curve in panel.curves}
    beside_looks = _choose_beside_looks(metric_panels)
    is_alone = choice.by is None and len(choice.runs) == 1 and not beside_looks
    for line in choice.names:
        if line in drawn and not is_alone:
            name, color, dash = looks[line]
            yield Line([], [], name, color, _WIDTH, dash)
    if choice.others:
        yield Line([], [], "others", _GREY, _OTHER_WIDTH)
    for name, color, dash in beside_looks.values():
        yield Line([], [], name, color, _WIDTH, dash)
    curves = [curve for panel in metric_panels for curve in (*panel.curves, *panel.others)]
    states = {state for curve in curves if len(curve.ends) <= _MAX_ENDS for _, state in curve.ends}
    for state in [*(state for state in _END_SYMBOLS if state in states), *sorted(states - set(_END_SYMBOLS))]:
        yield Points([], [], f"{state}: ends here", _INK, _END_SYMBOLS.get(state, _OTHER_SYMBOL))


def _write_notes(metric_panels: Sequence[MetricPanel], choice: Choice, has_phases: bool) -> Iterator[str]:
    curves = [curve for panel in metric_panels for curve in panel.curves]
    windows = sorted({panel.window for panel in metric_panels if panel.window > 1})
    if windows:
        widths = str(windows[0]) if len(windows) == 1 else f"{windows[0]} to {windows[-1]}"
        has_sums = any(panel.metric == CUMULATIVE_REWARD for panel in metric_panels)
        sums = " (a running sum is not)" if has_sums else ""
        yield f"smoothed over {widths} {choice.unit}s{sums}{', raw values faint behind' if curves else ''}"
    else:
        yield "not smoothed"
    if spreads := sorted({curve.spread for curve in curves if curve.spread}):
        yield f"line: mean of a group's runs; band: {' / '.join(spreads)}"
    if any((curve.num_runs < len(curve.runs)).any() for curve in curves):
        yield "dotted line: mean after some runs have ended, over at least half of the group"
    if any(len(curve.ends) > _MAX_ENDS for curve in curves):
        yield f"ends of runs are not marked where a line has more than {_MAX_ENDS}"
    if names := list(_choose_beside_looks(metric_panels)):
        yield f"dark and dashed: {join_words(names)}, not among our runs"
    if has_phases:
        yield "dotted vertical: a phase begins; grey: where it may begin"
    yield from choice.notes
