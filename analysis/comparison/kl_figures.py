"""Figures of reward against KL: the frontier of each group with its fitted law, and the rankings at the same KL."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.comparison.frontier import OWN, Frontier
from analysis.comparison.matched_kl import Level, MatchedKl
from analysis.output.terminal import shortened, told_apart
from analysis.wording.statements import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_LINES = 8  # groups in a panel: as many as there are colours
MOST_ROWS = 30
_PANELS_IN_ROW = 2


def frontier_figure(frontiers: Mapping[str, Sequence[Frontier]], labels: Sequence[str]) -> "Figure | None":
    """A panel for each judge: every evaluation, and the fitted law as far as evaluations go.

    Args:
        frontiers: judge -> the groups' frontiers.
        labels: of the groups, best first, of which the first MOST_LINES are drawn.
    """
    from analysis.output.colors import COLORS
    from analysis.output.style import new_figure

    shown = list(labels)[:MOST_LINES]
    panels = {
        judge: kept for judge, lines in frontiers.items() if (kept := [line for line in lines if line.label in shown])
    }
    if not panels:
        return None
    columns = min(_PANELS_IN_ROW, len(panels))
    num_rows = -(-len(panels) // columns)
    figure = new_figure(4.4 * columns + 1.8, 3.3 * num_rows + 0.3)
    grid = figure.subplots(num_rows, columns, squeeze=False)
    colors = {label: COLORS[index % len(COLORS)] for index, label in enumerate(shown)}
    drawn: dict[str, Any] = {}
    names, judges = shortened(labels), shortened(panels)
    for axes, (judge, lines) in zip(grid.flat, panels.items(), strict=False):
        for line in sorted(lines, key=lambda line: shown.index(line.label)):
            drawn.setdefault(line.label, _draw_frontier(axes, line, colors[line.label]))
        axes.set_title("own reward model" if judge == OWN else f"judged by {judges[judge]}", fontsize=9)
        axes.set_xlabel("distance from the base policy, √KL (√nats)", fontsize=8)
        axes.set_ylabel("gain in score")
        axes.axhline(0, color="#888888", linewidth=0.8)
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_axis_off()
    order = [label for label in shown if label in drawn]
    figure.legend([drawn[label] for label in order], [names[label] for label in order], loc="outside right upper")
    which = f" of the best {len(shown)} groups" if len(labels) > len(shown) else ""
    law = "lines: fitted d (α - β log d), d = √KL; triangles: their peaks"
    figure.supxlabel(f"points: evaluations{which}; {law}", fontsize=8)
    return figure


def _draw_frontier(axes: "Axes", line: Frontier, color: str) -> Any:
    size = 14 if len(line.gains) <= 200 else 3
    points = axes.scatter(line.distances, line.gains, s=size, color=color, alpha=0.6, linewidths=0)
    if line.fit is None:
        return points
    distances = np.linspace(0, float(line.distances.max()), 200)
    (drawn,) = axes.plot(distances, line.fit.gain(distances), color=color, linewidth=1.6)
    if line.fit.is_peak_within_data:
        peak = np.sqrt(np.array([line.fit.peak_kl]))
        axes.plot(peak, line.fit.gain(peak), marker="v", color=color, markersize=7, markeredgecolor="white")
    return drawn


def matched_figure(matched: MatchedKl) -> "Figure | None":
    """A panel for each KL: what groups gained where their runs first got there, best on top of the last."""
    from analysis.output.colors import COLORS
    from analysis.output.style import new_figure

    if not matched.levels:
        return None
    last = matched.levels[-1]
    order = [*last.ranking.labels, *(label for label in last.num_runs if label not in last.ranking.labels)][:MOST_ROWS]
    figure = new_figure(2.6 * len(matched.levels) + 2.2, 0.24 * len(order) + 1.3)
    panels = figure.subplots(1, len(matched.levels), squeeze=False, sharey=True)[0]
    for axes, level in zip(panels, matched.levels, strict=True):
        _draw_level(axes, level, order, COLORS[0])
        axes.set_title(f"at KL {number(level.kl)}", fontsize=9)
        if matched.is_rate:
            axes.axvline(0.5, color="#888888", linewidth=0.8)
        axes.locator_params(axis="x", nbins=4)
    panels[0].set_yticks(range(len(order)), told_apart(order))
    panels[0].set_ylim(len(order) - 0.5, -0.5)
    rest = len(last.num_runs) - len(order)
    which = f"; the best {len(order)} groups" if rest > 0 else ""
    figure.supxlabel(f"{matched.text} (95 % interval); hollow: some runs never got there{which}", fontsize=8)
    return figure


def _draw_level(axes: "Axes", level: Level, order: Sequence[str], color: str) -> None:
    values = []
    for place, label in enumerate(order):
        found = level.ranking.estimates.get(label)
        if found is None:
            axes.text(0.5, place, "not reached", transform=axes.get_yaxis_transform(), ha="center", va="center")
            continue
        if found.low == found.low:
            axes.plot([found.low, found.high], [place, place], color=color, linewidth=1.2)
        is_partial = level.num_reached[label] < level.num_runs[label]
        axes.plot(found.value, place, "o", color=color, markerfacecolor="white" if is_partial else color, markersize=5)
        values.append(found.value)
    frame(axes, values, [one for label in order if (one := level.ranking.estimates.get(label))])


def frame(axes: "Axes", values: Sequence[float], estimates: Sequence[Any]) -> None:
    """Keep to what can be told apart: intervals of two runs may be a hundred times as wide as all values are apart."""
    if not values:
        return
    low, high = min(values), max(values)
    room = 0.75 * (high - low) or 0.2 * abs(high) or 1.0
    lows = [one.low for one in estimates if one.low == one.low] + [low - 0.1 * room]
    highs = [one.high for one in estimates if one.high == one.high] + [high + 0.1 * room]
    left, right = max(min(lows), low - room), min(max(highs), high + room)
    margin = 0.04 * (right - left)
    axes.set_xlim(left - margin, right + margin)


def titled(axes: "Axes", *lines: str) -> None:
    """Small lines above the axes that begin at their left edge."""
    axes.set_title("\n".join(line for line in lines if line), fontsize=8, loc="left")
