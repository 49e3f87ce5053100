"""Two pictures of groups: what they gained at which distance from the base policy, and what the judges say."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from analysis.comparison.frontier import Frontier
from analysis.comparison.matched_kl import MatchedKl
from analysis.comparison.own_matrix import Matrix
from analysis.output.colors import COLORS
from analysis.output.parts import Cell, Column, Figure, Part, Table, interval_cell, number_cell, plain_label, text_cell
from analysis.wording.statements import counted, number
from rlhf_sweeps.verdicts.pairs import verdict_text

_MAX_GROUPS = len(COLORS)
_MAX_POINTS = 600  # of a group
_ON_CURVE = 60


def frontier_parts(found: Sequence[Frontier], by: str) -> list[Part]:
    """Gains against sqrt(KL) with the law of over-optimization, and its coefficients; nothing without any point."""
    shown = [one for one in found if len(one.distances)]
    fits = [one for one in shown if one.fit is not None]
    return [*([_figure(shown, by)] if shown else []), *([_fit_table(fits, by)] if fits else [])]


def matched_table(matched: MatchedKl, by: str) -> Table:
    """What groups had gained when they first reached the same KL."""
    rows = []
    for level in matched.levels:
        for place, label in enumerate(level.ranking.labels, start=1):
            one, pair = level.ranking.estimates[label], level.ranking.against_best(label)
            rows.append(
                [
                    number_cell(level.kl),
                    number_cell(place),
                    text_cell(label),
                    interval_cell(one.value, one.low, one.high),
                    Cell(f"{level.num_reached[label]} of {level.num_runs[label]}", level.num_reached[label]),
                    Cell(verdict_text(pair)),
                ]
            )
    columns = [Column("KL", True, "in nats"), Column("Place", True), Column(by), Column("Value [95 %]", True)]
    columns += [Column("Runs that got there", True), Column("Against the best")]
    caption = f"At the same KL, where a run first reaches it: {matched.text}"
    caption += f"; {matched.note}" if matched.note else ""
    return Table("matched-kl", caption, columns, rows, len(rows) > 12)


def _fit_table(found: Sequence[Frontier], by: str) -> Table:
    rows = []
    for one in found:
        fit = one.fit
        assert fit is not None
        beyond = "" if fit.is_peak_within_data or not fit.has_peak else f", beyond the data ({number(fit.largest_kl)})"
        peak = interval_cell(fit.peak_kl, fit.peak_low, fit.peak_high)
        rows.append(
            [
                Cell(one.label),
                interval_cell(fit.alpha, fit.alpha_low, fit.alpha_high),
                interval_cell(fit.beta, fit.beta_low, fit.beta_high),
                Cell(f"{peak.text}{beyond}", peak.value),
                Cell(f"{fit.num_points} of {counted(fit.num_runs, 'run')}", fit.num_points),
            ]
        )
    columns = [Column(by), Column("alpha [95 %]", True, "how well optimization pays at first")]
    columns += [
        Column("beta [95 %]", True, "how soon it stops to"),
        Column("Best KL by the fit [95 %]", True, "in nats"),
    ]
    caption = "R(d) = d (alpha - beta log d) with d = sqrt(KL), fitted; `-`: the gain does not surely fall at last"
    return Table("fits", caption, [*columns, Column("Points", True)], rows)


def _figure(found: Sequence[Frontier], by: str) -> Figure:
    shown = found[:_MAX_GROUPS]
    data: list[dict[str, Any]] = []
    for index, one in enumerate(shown):
        data += _traces(one, COLORS[index])
    layout = {
        "xaxis": {"title": {"text": "sqrt(KL to the base policy in nats)"}, "rangemode": "tozero"},
        "yaxis": {"title": {"text": "gain in the own score"}},
        "legend": {"orientation": "h"},
        "margin": {"l": 56, "r": 12, "t": 8, "b": 40},
    }
    where = "training batches" if shown[0].is_training else "evaluations"
    left = f"; {len(found) - len(shown)} more groups are not drawn" if len(found) > len(shown) else ""
    note = f"Points are {where}, lines the law of over-optimization of Gao et al. (2022) where it could be fitted{left}"
    return Figure("frontier", f"Reward against KL, by {by}", data, layout, note, 420)


def _traces(one: Frontier, color: str) -> list[dict[str, Any]]:
    step = max(1, -(-len(one.distances) // _MAX_POINTS))
    points = {
        "type": "scatter",
        "mode": "markers",
        "name": plain_label(one.label),
        "x": one.distances[::step],
        "y": one.gains[::step],
        "marker": {"color": color, "size": 6, "opacity": 0.55},
        "legendgroup": plain_label(one.label),
        "hovertemplate": "sqrt(KL) %{x:.3g}, gain %{y:.3g}<extra>%{fullData.name}</extra>",
    }
    if one.fit is None:
        return [points]
    fit, x = one.fit, np.linspace(0.01, float(one.distances.max()), _ON_CURVE)
    line = {
        "type": "scatter",
        "mode": "lines",
        "name": f"fit of {plain_label(one.label)}",
        "showlegend": False,
        "x": x,
        "y": fit.gain(x),
        "line": {"color": color, "width": 2},
        "legendgroup": plain_label(one.label),
        "hoverinfo": "name",
    }
    return [points, line]


def matrix_figure(matrix: Matrix, name: str) -> Figure:
    """Win rates of each group under each judge as a heat map, the own judge marked."""
    rates = [[_cell(matrix, label, judge) for judge in matrix.judges] for label in matrix.labels]
    texts = [[_rate_text(matrix, label, judge) for judge in matrix.judges] for label in matrix.labels]
    trace = {
        "type": "heatmap",
        "z": rates,
        "x": [plain_label(judge) for judge in matrix.judges],
        "y": [plain_label(label) for label in matrix.labels],
        "text": texts,
        "texttemplate": "%{text}",
        "hovertemplate": "trained on %{y}, judged by %{x}: %{text}<extra></extra>",
        "zmin": 0,
        "zmid": 0.5,
        "zmax": 1,
        "colorscale": [[0, "#b35806"], [0.5, "#f7f7f7"], [1, "#2166ac"]],
        "textfont": {"size": 13},
        "xgap": 2,
        "ygap": 2,
        "colorbar": {"title": {"text": "win rate"}, "tickformat": ".0%", "thickness": 12},
    }
    layout = {
        "xaxis": {"title": {"text": "judge"}, "type": "category", "side": "bottom"},
        "yaxis": {"title": {"text": "trained on"}, "type": "category", "autorange": "reversed"},
        "margin": {"l": 80, "r": 12, "t": 8, "b": 40},
    }
    note = f"Win rate against the base policy in % [95 % interval]; *: own judge; {matrix.text}"
    height = 150 + 64 * len(matrix.labels)
    return Figure(f"matrix-{name}", "Who likes whose policy?", [trace], layout, note, height)


def _cell(matrix: Matrix, label: str, judge: str) -> float | None:
    cell = matrix.cells.get((label, judge))
    return None if cell is None else cell.win_rate


def _rate_text(matrix: Matrix, label: str, judge: str) -> str:
    cell = matrix.cells.get((label, judge))
    if cell is None:
        return ""
    interval = "" if math.isnan(cell.low) else f"<br>[{100 * cell.low:.0f}, {100 * cell.high:.0f}]"
    return f"{100 * cell.win_rate:.0f}{'*' if cell.is_own else ''}{interval}"
