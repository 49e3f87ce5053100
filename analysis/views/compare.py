"""Groups compared, one block for each config key that differs: values with intervals, the judges, the frontier."""

import math
from collections.abc import Sequence

from analysis.comparison.compare import ComparedGroup, GroupComparison
from analysis.comparison.frontier import frontiers_of
from analysis.comparison.groups import Grouping
from analysis.comparison.matched_kl import matched_kl_of
from analysis.comparison.text import statements
from analysis.output.colors import COLORS
from analysis.output.parts import (
    Cell,
    Column,
    Figure,
    Part,
    Sentences,
    Table,
    interval_cell,
    number_cell,
    plain_label,
    text_cell,
)
from analysis.records.runs import Source
from analysis.results.results import Results
from analysis.views.reward_against_kl import frontier_parts, matched_table, matrix_figure
from analysis.wording.statements import counted
from rlhf_sweeps.verdicts.pairs import MEAN, Pair, verdict_text

_MAX_KEYS = 6
_MAX_GROUPS = 30


def compare_parts(results: Results) -> list[Part]:
    """What compares the runs, those of each objective with each other alone, then reward against KL of all of them."""
    parts: list[Part] = []
    for place, part in enumerate(results.parts):
        source, suffix = part.source, ""
        if len(results.parts) > 1:
            suffix = f"-{place}"
            told = f"{counted(len(source.runs), 'run')}, compared with each other"
            parts.append(Sentences([told], f"To {source.objective.text}"))
        parts += _of_objective(source, [part.comparison(key) for key in _keys(source)], suffix)
    keys = _keys(results.source)
    return [*parts, *(_against_kl(results.grouping(keys[0])) if keys else [])]


def _keys(source: Source) -> list[str]:
    """The keys to compare by, reward models first; at most so many as a reader looks at."""
    return sorted(source.axes, key=lambda key: key != "reward_model")[:_MAX_KEYS] if len(source.runs) > 1 else []


def _of_objective(source: Source, found: Sequence[GroupComparison], suffix: str) -> list[Part]:
    """The matrix first, then each key."""
    if not found:
        return [Sentences(["There is nothing to compare: the runs differ in nothing but their seeds"])]
    parts: list[Part] = []
    first = found[0]
    if first.matrix is not None and len(first.matrix.judges) > 1:
        parts.append(matrix_figure(first.matrix, f"judges{suffix}"))
    said: set[str] = set()
    for place, comparison in enumerate(found):
        parts += _of_key(comparison, f"compare{suffix}-{place}", said)
    left = len(source.axes) - len(found)
    if left > 0:
        more = f"{left} more keys differ between the runs; `python -m analysis compare --by KEY` compares them"
        parts.append(Sentences([more]))
    return parts


def _against_kl(grouped: Grouping) -> list[Part]:
    """Frontier and gains at the same KL."""
    by = ", ".join(grouped.keys)
    matched = matched_kl_of(grouped)
    found = frontier_parts(frontiers_of(grouped), by)
    return [*found, *([matched_table(matched, by)] if matched is not None and matched.levels else [])]


def _of_key(comparison: GroupComparison, name: str, said: set[str]) -> list[Part]:
    lines = [statement.text for statement in statements(comparison)]
    new = [lines[0], *(line for line in lines[1:] if line not in said)]
    said.update(lines)
    known = [group for group in comparison.groups if group.estimate is not None]
    parts: list[Part] = [Sentences(new, f"By {comparison.by}")]
    if len(known) > 1:
        parts.append(_interval_figure(comparison, known[:_MAX_GROUPS], name))
    return [*parts, _table(comparison, name)]


def _interval_figure(comparison: GroupComparison, known: Sequence[ComparedGroup], name: str) -> Figure:
    found = [group.estimate for group in known if group.estimate is not None]
    labels = [plain_label(group.label) for group in known]
    runs = {
        "type": "scatter",
        "mode": "markers",
        "name": "a run",
        "x": [value for group in known for value in group.values.values()],
        "y": [plain_label(group.label) for group in known for _ in group.values],
        "text": [plain_label(run) for group in known for run in group.values],
        "hovertemplate": "run %{text}: %{x:.4g}<extra></extra>",
        "marker": {"color": COLORS[0], "size": 6, "opacity": 0.4},
    }
    middle = {
        "type": "scatter",
        "mode": "markers",
        "name": f"{_statistic(comparison)}, 95 % interval",
        "x": [one.value for one in found],
        "y": labels,
        "error_x": {
            "type": "data",
            "array": [one.high - one.value for one in found],
            "arrayminus": [one.value - one.low for one in found],
            "color": COLORS[1],
            "thickness": 2,
        },
        "marker": {"color": COLORS[1], "size": 9, "symbol": "diamond"},
    }
    layout = {
        "xaxis": {"title": {"text": comparison.measure.name}},
        "yaxis": {"type": "category", "autorange": "reversed"},
        "legend": {"orientation": "h"},
        "margin": {"l": 80, "r": 12, "t": 8, "b": 40},
    }
    title = f"{comparison.measure.name} by {comparison.by}"
    return Figure(name, title, [runs, middle], layout, comparison.measure.text, 130 + 34 * len(known))


def _statistic(comparison: GroupComparison) -> str:
    return comparison.ranking.statistic if comparison.ranking else MEAN


def _table(comparison: GroupComparison, name: str) -> Table:
    columns = [
        Column(comparison.by),
        Column("Place", True),
        Column(
            "Value [95 %]", True, f"{_statistic(comparison)} and its interval over seeds: {comparison.measure.text}"
        ),
        Column("Runs", True),
        Column("Settings", True, "of the other keys"),
        Column("Best beats it", True, "probability that a run of the best group beats one of this group"),
        Column("p", True, "of no difference to the best group, adjusted for all pairs (Holm)"),
        Column("Against the best"),
        Column("Not counted"),
    ]
    rows = [_row(comparison, group) for group in comparison.groups]
    return Table(f"{name}-table", f"Groups by {comparison.by}, best first", columns, rows, len(rows) > 12)


def _row(comparison: GroupComparison, group: ComparedGroup) -> list[Cell]:
    found = group.estimate
    pair = comparison.ranking.against_best(group.label) if comparison.ranking and found else None
    excluded = ", ".join(f"{count} {reason}" for reason, count in group.excluded.items())
    return [
        text_cell(group.label),
        number_cell(group.place or None),
        interval_cell(found.value, found.low, found.high) if found else Cell("-"),
        number_cell(len(group.values)),
        number_cell(group.num_settings),
        _probability_cell(pair),
        number_cell(pair.p_value if pair else None),
        Cell(verdict_text(pair)),
        Cell(excluded or "-"),
    ]


def _probability_cell(pair: Pair | None) -> Cell:
    if pair is None or math.isnan(pair.probability.value):
        return Cell("-")
    return interval_cell(pair.probability.value, pair.probability.low, pair.probability.high)
