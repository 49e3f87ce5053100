"""A comparison's figures and files: values with intervals, probabilities of improvement, judges, reward against KL."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from analysis.comparison.compare import GroupComparison, compare
from analysis.comparison.frontier import OWN, all_frontiers
from analysis.comparison.kl_figures import MOST_ROWS, frame, frontier_figure, matched_figure, titled
from analysis.comparison.matched_kl import matched_kl_of
from analysis.comparison.own_matrix import Matrix
from analysis.comparison.tables import write_tables
from analysis.comparison.text import cell_text, comparison_text
from analysis.output.terminal import told_apart
from analysis.records.runs import Source
from rlhf_sweeps.verdicts.pairs import BETTER, MEAN, UNKNOWN
from rlhf_sweeps.wording import short

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_JUDGES = 12


def write_comparison(
    source: Source,
    out: Path,
    *,
    by: str | None = None,
    metric: str | None = None,
    formats: Sequence[str] = ("png", "svg"),
) -> tuple[str, list[Path]]:
    """Compare groups of runs; write comparison.csv, comparison.json and the figures.

    Args:
        source: what was read.
        out: the folder to write to.
        by: a config key, or several joined with commas; what was swept if that is one key.
        metric: what to compare by, as in `compare`.
        formats: of the figures: png, svg, pdf.

    Returns:
        What to print, and the files.

    Raises:
        AnalysisError: if no run has such a key or metric.
    """
    from analysis.output.style import save_figure

    comparison = compare(source, by, metric)
    frontiers = all_frontiers(comparison.grouping)
    matched = matched_kl_of(comparison.grouping)
    paths = write_tables(out, comparison, frontiers, matched)
    figures = {
        "values": values_figure(comparison),
        "probability": probability_figure(comparison),
        "judges": judges_figure(comparison.matrix) if comparison.matrix else None,
        "frontier": frontier_figure(frontiers, [group.label for group in comparison.groups]),
        "matched_kl": matched_figure(matched) if matched else None,
    }
    for name, figure in figures.items():
        if figure is not None:
            paths += [save_figure(figure, out / f"comparison_{name}.{suffix}") for suffix in formats]
    return comparison_text(comparison, frontiers.get(OWN, ()), matched), paths


def values_figure(comparison: GroupComparison) -> "Figure | None":
    """Means with both intervals and every run, best on top; None without values."""
    from analysis.output.colors import COLORS
    from analysis.output.style import new_figure

    groups = [group for group in comparison.groups if group.estimate is not None][:MOST_ROWS]
    if not groups:
        return None
    figure = new_figure(7.0, 0.28 * len(groups) + 1.5)
    axes = figure.subplots()
    for place, group in enumerate(groups):
        found = group.estimate
        assert found is not None
        if found.low == found.low:
            axes.plot([found.low, found.high], [place, place], color=COLORS[0], linewidth=1.2)
            axes.plot(
                [found.percentile_low, found.percentile_high],
                [place, place],
                color=COLORS[0],
                linewidth=5,
                alpha=0.35,
                solid_capstyle="butt",
            )
        runs = np.array(sorted(group.values.values()))
        axes.plot(runs, np.full(len(runs), place + 0.22), "|", color="#555555", markersize=4)
        axes.plot(found.value, place, "o", color=COLORS[0], markersize=5)
    axes.set_yticks(range(len(groups)), [f"{comparison.names[group.label]}  ({len(group.values)})" for group in groups])
    axes.set_ylim(len(groups) - 0.5, -0.5)
    known = [group.estimate for group in groups if group.estimate is not None]
    frame(axes, [value for group in groups for value in group.values.values()], known)
    axes.set_xlabel(_name(comparison))
    rest = sum(group.estimate is not None for group in comparison.groups) - len(groups)
    titled(
        axes,
        f"by {short(comparison.by, 60)}: {comparison.ranking.statistic if comparison.ranking else MEAN}s",
        "line: 95 % interval; band: bootstrap's percentiles; ticks: runs",
        f"the best {len(groups)} of {len(groups) + rest} groups" if rest else "",
    )
    return figure


def _name(comparison: GroupComparison) -> str:
    name = comparison.measure.name
    return f"{name} (lower is better)" if comparison.measure.is_lower_better else name


def probability_figure(comparison: GroupComparison) -> "Figure | None":
    """The probability that a run of the best group beats one of each other group; None where nothing is known."""
    from analysis.output.colors import COLORS
    from analysis.output.style import new_figure

    ranking = comparison.ranking
    if ranking is None:
        return None
    pairs = [pair for label in ranking.labels[1:] if (pair := ranking.against_best(label)) is not None]
    if all(pair.verdict == UNKNOWN for pair in pairs):
        return None
    figure = new_figure(7.0, 0.28 * len(pairs) + 1.5)
    axes = figure.subplots()
    for place, pair in enumerate(pairs):
        chance, is_sure = pair.probability, pair.verdict == BETTER
        if pair.verdict == UNKNOWN:
            axes.text(0.75, place, "cannot tell", ha="center", va="center", color="#555555")
            continue
        color = COLORS[0] if is_sure else "#888888"
        axes.plot([chance.low, chance.high], [place, place], color=color, linewidth=1.4)
        axes.plot(chance.value, place, "o", color=color, markerfacecolor=color if is_sure else "white", markersize=6)
    axes.axvline(0.5, color="#888888", linewidth=0.8)
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(len(pairs) - 0.5, -0.5)
    axes.set_yticks(range(len(pairs)), [comparison.names[pair.second] for pair in pairs])
    axes.set_xlabel("probability (95 % interval)")
    rest = len(ranking.labels) - 1 - len(pairs)
    titled(
        axes,
        f"that a run of {comparison.names[ranking.labels[0]]} beats one of this group",
        "filled: better by more than noise; hollow: within noise",
        f"{rest} more groups are left out" if rest else "",
    )
    return figure


def judges_figure(matrix: Matrix) -> "Figure | None":
    """Win rates of each group under each judge as a heat map, with the numbers in the cells, own judges framed."""
    from matplotlib.patches import Rectangle

    from analysis.output.style import new_figure

    labels, judges = list(matrix.labels)[:MOST_ROWS], list(matrix.judges)[:_MOST_JUDGES]
    if not labels or not judges:
        return None
    rates = np.full((len(labels), len(judges)), np.nan)
    for row, label in enumerate(labels):
        for column, judge in enumerate(judges):
            cell = matrix.cells.get((label, judge))
            rates[row, column] = cell.win_rate if cell else np.nan
    figure = new_figure(1.25 * len(judges) + 2.6, 0.42 * len(labels) + 1.6)
    axes = figure.subplots()
    axes.grid(visible=False)
    image = axes.imshow(rates, vmin=0, vmax=1, cmap="RdBu", aspect="auto")
    for row, label in enumerate(labels):
        for column, judge in enumerate(judges):
            cell = matrix.cells.get((label, judge))
            is_dark = cell is not None and abs(cell.win_rate - 0.5) > 0.33
            text = cell_text(cell).replace("*", "")
            axes.text(column, row, text, ha="center", va="center", fontsize=8, color="white" if is_dark else "black")
            if cell is not None and cell.is_own:
                box = (column - 0.47, row - 0.47)
                axes.add_patch(Rectangle(box, 0.94, 0.94, fill=False, edgecolor="black", linewidth=1.6))
    is_long = any(len(judge) > 12 for judge in judges)
    axes.set_xticks(range(len(judges)), told_apart(judges, 20))
    axes.tick_params("x", labelrotation=25 if is_long else 0)
    axes.set_yticks(range(len(labels)), told_apart(labels))
    axes.set_xlabel("judge")
    axes.set_ylabel("runs of")
    is_cut = len(matrix.labels) > len(labels) or len(matrix.judges) > len(judges)
    titled(
        axes,
        "win rate against the base policy in %",
        "[95 % interval]; framed: own judge",
        f"{len(labels)} of {len(matrix.labels)} groups, {len(judges)} of {len(matrix.judges)} judges" if is_cut else "",
    )
    figure.colorbar(image, ax=axes, label="win rate")
    return figure
