"""Reward against KL: what groups gained at which distance from the base policy, the fitted law, the same KL."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from analysis.comparison.frontier import OWN, SEVERAL_SCALES, TOO_FEW, Frontier
from analysis.comparison.matched_kl import KlLevel, MatchedKl
from analysis.comparison.over_optimization import FittedLaw
from analysis.output.charts import Chart, ChartAxis, Layer, Line, Panel, Points, Rule, Texts
from analysis.output.colors import COLORS
from analysis.output.parts import (
    Cell,
    Column,
    Part,
    Sentences,
    Table,
    make_interval_cell,
    make_number_cell,
    make_text_cell,
)
from analysis.views.intervals import (
    compute_panel_height,
    draw_intervals,
    make_estimate_cell,
    make_row_axis,
    make_value_axis,
    scale_estimate,
)
from analysis.wording.short_labels import list_labels, make_short_names, shorten_apart
from analysis.wording.statements import format_count, join_words
from rlhf_sweeps.figures import format_number
from rlhf_sweeps.verdicts.pairs import describe_verdict

# Chosen by looking at drawings and lists.
_MAX_LINES = len(COLORS)  # groups in a panel
_MAX_ROWS = 30  # groups in the table
_MAX_POINTS = 600  # of a group
_POINTS_ON_CURVE = 100  # of the fitted law
_MOST_PRINTED = 5  # groups at each KL in the terminal
_FAR_BEYOND = 100  # times the largest KL of the points, above which the end of an interval bounds nothing


def make_kl_parts(
    frontiers: Mapping[str, Sequence[Frontier]], matched: MatchedKl | None, labels: Sequence[str], by: str
) -> list[Part]:
    """Gains against sqrt(KL) under each judge with the fitted law, then the groups at the same KL.

    Args:
        frontiers: judge -> the groups' frontiers; nothing is shown of them where it is empty.
        matched: None, or without a level, where no KL was reached.
        labels: of the groups, best first.
        by: the keys that the groups differ in.
    """
    parts: list[Part] = []
    own = sorted(frontiers.get(OWN, ()), key=lambda line: labels.index(line.label))
    if frontiers:
        has_fit = any(line.fit for lines in frontiers.values() for line in lines)
        parts.append(Sentences(_write_sentences(own, has_fit), f"Reward against KL, by {by}"))
        parts.append(make_frontier_chart(frontiers, labels))
    if own:
        parts.append(_make_fit_table(own, by))
    if matched is not None and matched.levels:
        parts += [make_matched_chart(matched), *_matched_parts(matched, by)]
    return parts


_FORMULA = "d (alpha - beta log d)"
_LAW = (
    f"the curves are the law of over-optimization (Gao et al., 2022): gain = {_FORMULA} at a distance "
    "d = sqrt(KL) from the base policy; the larger alpha is, the more is gained at first, and the larger beta is, the "
    "sooner the gain stops growing"
)


def _write_sentences(own: Sequence[Frontier], has_fit: bool) -> list[str]:
    """What the law is, and what limits its fits under the runs' own reward models."""
    lines = [_LAW] if has_fit else []
    if any(line.fit and line.fit.num_runs == 1 for line in own):
        lines.append("intervals of one run treat its points as independent; they leave out how much runs differ")
    if any(line.is_training for line in own):
        lines.append("points are training batches, since there are no evaluations")
    if any(line.note == SEVERAL_SCALES for line in own):
        lines.append(f"no fit for {SEVERAL_SCALES}")
    if few := [line.label for line in own if line.note == TOO_FEW]:
        lines.append(f"{list_labels(few)}: {TOO_FEW}")
    if negative := sum(line.num_negative for line in own):
        lines.append(f"{format_count(negative, 'KL estimate')} below 0 {'was' if negative == 1 else 'were'} taken as 0")
    return lines


def make_frontier_chart(frontiers: Mapping[str, Sequence[Frontier]], labels: Sequence[str]) -> Chart:
    """A panel for each judge: every evaluation, and the fitted law as far as evaluations go."""
    drawn_labels = list(labels)[:_MAX_LINES]
    names, judges = make_short_names(labels), make_short_names(frontiers)
    panels = []
    for judge, lines in frontiers.items():
        layers: list[Layer] = [Rule(0.0, is_upright=False)]
        for line in sorted(
            (line for line in lines if line.label in drawn_labels), key=lambda line: drawn_labels.index(line.label)
        ):
            layers += _draw_frontier(line, names[line.label], drawn_labels.index(line.label))
        title = OWN if judge == OWN else f"judged by {judges[judge]}"
        distance = ChartAxis("distance from the base policy, √KL (√nats)")
        panels.append(Panel(distance, ChartAxis("gain in score"), layers, title))
    points = (
        "training batches" if all(line.is_training for lines in frontiers.values() for line in lines) else "evaluations"
    )
    fits = [line.fit for lines in frontiers.values() for line in lines if line.fit is not None]
    note = f"points: {points}" + f"; lines: the fitted law {_FORMULA}, d = √KL" * bool(fits)
    note += "; triangles: its peaks" * any(law.is_peak_within_data for law in fits)
    if len(labels) > len(drawn_labels):
        note += f"; the best {len(drawn_labels)} of {len(labels)} groups"
    width, height = (470, 320) if len(panels) > 1 else (700, 420)
    return Chart("frontier", "Reward against KL", panels, note, 2, width, height, "comparison_frontier")


def _draw_frontier(line: Frontier, name: str, color: int) -> list[Layer]:
    step = max(1, -(-len(line.distances) // _MAX_POINTS))
    distances, gains = line.distances[::step], line.gains[::step]
    size, opacity = (7, 0.6) if len(distances) <= 200 else (4, 0.35)
    layers: list[Layer] = [Points(distances, gains, name, color, size=size, opacity=opacity)]
    if line.fit is not None:
        curve = np.linspace(0, float(line.distances.max()), _POINTS_ON_CURVE)
        layers.append(Line(curve, line.fit.predict_gain(curve), color=color))
        if line.fit.is_peak_within_data:
            peak = np.sqrt(np.array([line.fit.peak_kl]))
            hover = [f"{name}: highest at KL {format_number(line.fit.peak_kl)}"]
            layers.append(Points(peak, line.fit.predict_gain(peak), "", color, "triangle", 15, hover=hover))
    return layers


_PEAK_HINT = (
    "in nats; no certain peak: beta is above 0, so the curve has a peak, but beta's interval does not exclude 0; "
    "no peak: beta is 0 or below"
)


def _make_fit_table(frontiers: Sequence[Frontier], by: str) -> Table:
    columns = [
        Column(by),
        Column("alpha [95 %]", True, "the larger, the more is gained at first"),
        Column("beta [95 %]", True, "the larger, the sooner the gain stops growing"),
        Column("Best KL by the fit [95 %]", True, _PEAK_HINT),
        Column("Largest KL", True, "of the points, in nats"),
        Column("Points", True),
    ]
    rows = [[make_text_cell(line.label), *_make_fit_cells(line.fit), _make_points_cell(line)] for line in frontiers]
    caption = "The law fitted to gains in score under each run's own reward model [95 % interval over runs]"
    if any(line.fit and line.fit.has_peak and not line.fit.is_peak_within_data for line in frontiers):
        caption += "; a best KL above the largest KL of the points is an extrapolation"
    return Table("fits", caption, columns, rows, len(rows) > 12, most_rows=10, file="comparison.json")


def _make_fit_cells(law: FittedLaw | None) -> list[Cell]:
    if law is None:
        return [Cell("-"), Cell("-"), Cell("no fit"), Cell("-")]
    peak = Cell("no certain peak" if law.beta > 0 else "no peak")
    if law.has_peak:
        peak = replace(_make_peak_cell(law), tone="warn" * (not law.is_peak_within_data))
    alpha = make_interval_cell(law.alpha, law.alpha_low, law.alpha_high)
    return [alpha, make_interval_cell(law.beta, law.beta_low, law.beta_high), peak, make_number_cell(law.largest_kl)]


def _make_peak_cell(law: FittedLaw) -> Cell:
    """`12.5 [1.88, 30]`; an upper end far beyond all points is none."""
    if law.peak_high > _FAR_BEYOND * law.largest_kl:
        return Cell(f"{format_number(law.peak_kl)} [{format_number(law.peak_low)}, no upper bound]", law.peak_kl)
    return make_interval_cell(law.peak_kl, law.peak_low, law.peak_high)


def _make_points_cell(line: Frontier) -> Cell:
    return Cell(f"{len(line.gains)} of {format_count(len(line.runs), 'run')}", len(line.gains))


def make_matched_chart(matched: MatchedKl) -> Chart:
    """A panel for each KL: what groups gained where their runs first got there, best on top of the last."""
    last = matched.levels[-1]
    labels = [*last.ranking.labels, *_list_never_reached(last)]
    drawn = labels[:_MAX_ROWS]
    panels = [_make_level_panel(level, drawn, matched.is_rate) for level in matched.levels]
    unit = " in %" if matched.is_rate else ""
    note = f"{matched.text}{unit} [95 % interval]"
    if len(labels) > len(drawn):
        note += f"; the best {len(drawn)} of {len(labels)} groups"
    width, height = 360, compute_panel_height(len(drawn))
    return Chart("matched-kl-values", "At the same KL", panels, note, 3, width, height, "comparison_matched_kl")


def _list_never_reached(level: KlLevel) -> list[str]:
    return [label for label, count in level.num_reached.items() if not count]


def _make_level_panel(level: KlLevel, labels: Sequence[str], is_rate: bool) -> Panel:
    estimates = {
        place: scale_estimate(level.ranking.estimates[label], is_rate)
        for place, label in enumerate(labels)
        if label in level.ranking.estimates
    }
    layers: list[Layer] = [*([Rule(50)] if is_rate else []), *draw_intervals(estimates)]
    partial = {place for place in estimates if level.num_reached[labels[place]] < level.num_runs[labels[place]]}
    kinds = ((estimates.keys() - partial, "reached by all runs", "circle"), (partial, "reached by some runs", "hollow"))
    for places, name, symbol in kinds:
        if places:
            values = [estimates[place].value for place in sorted(places)]
            texts = [
                make_estimate_cell(level.ranking.estimates[labels[place]], is_rate).text for place in sorted(places)
            ]
            hover = [f"{labels[place]}: {text}" for place, text in zip(sorted(places), texts, strict=True)]
            layers.append(Points(values, sorted(places), name, 0, symbol, 8, hover=hover))
    missing = [place for place in range(len(labels)) if place not in estimates]
    if missing:
        layers.append(Texts(missing, ["not reached"] * len(missing)))
    axis = make_value_axis("", [estimate.value for estimate in estimates.values()], list(estimates.values()))
    return Panel(axis, make_row_axis(shorten_apart(labels)), layers, f"at KL {format_number(level.kl)}")


def _matched_parts(matched: MatchedKl, by: str) -> list[Part]:
    """What the values are, then a table for each KL, in the order of the chart's panels."""
    lines = [f"values are those where a run first reaches a KL: {matched.text}"]
    if early := matched.kls_before_evaluation:
        kls = join_words([format_number(kl) for kl in early])
        lines.append(
            f"at KL {kls}, most runs had no evaluation yet; values there are read off a straight line from the base "
            "policy"
        )
    tables = [
        _level_table(level, by, f"matched-kl-{place}", matched.is_rate) for place, level in enumerate(matched.levels)
    ]
    return [Sentences(lines, "At the same KL"), *tables]


def _level_table(level: KlLevel, by: str, identity: str, is_rate: bool) -> Table:
    """Groups that never reached the KL come last."""
    columns = [
        Column("Place", True),
        Column(by),
        Column("Value [95 %]", True),
        Column("Runs that reached it", True),
        Column("Against the best"),
    ]
    rows = _make_level_rows(level, is_rate)
    caption = f"At KL {format_number(level.kl)} (nats)"
    return Table(identity, caption, columns, rows, len(rows) > 12, most_rows=_MOST_PRINTED, file="comparison.json")


def _make_level_rows(level: KlLevel, is_rate: bool) -> list[list[Cell]]:
    rows = []
    for place, label in enumerate([*level.ranking.labels, *_list_never_reached(level)], start=1):
        has_value = label in level.ranking.estimates
        reached = Cell(f"{level.num_reached[label]} of {level.num_runs[label]}", level.num_reached[label])
        verdict = describe_verdict(level.ranking.against_best(label)) if has_value else "never reached"
        own_place = make_number_cell(place if has_value else None)
        value = make_estimate_cell(level.ranking.estimates.get(label), is_rate)
        rows.append([own_place, make_text_cell(label), value, reached, Cell(verdict)])
    return rows
