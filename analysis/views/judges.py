"""The win rates of groups under every judge, as a heat map and as a table."""

import math

from analysis.comparison.own_matrix import WinRate as Rate
from analysis.comparison.own_matrix import WinRateMatrix
from analysis.output.charts import Cells, Chart, ChartAxis, Panel
from analysis.output.parts import Cell, Column, Part, Table, make_text_cell
from analysis.views.intervals import make_row_axis
from analysis.wording.short_labels import shorten_apart
from rlhf_sweeps.figures import format_interval, format_percent

# Chosen by looking at drawings and lists.
_MAX_GROUPS, _MAX_JUDGES = 30, 12  # of the heat map
_MAX_COLUMNS = 5  # judges in the terminal
_LONGEST_JUDGE = 20  # letters of a judge's name


def make_judge_parts(matrix: WinRateMatrix, name: str = "judges") -> list[Part]:
    """The heat map and the same numbers as a table; nothing without groups."""
    return [make_judges_chart(matrix, f"{name}-rates"), _make_table(matrix, f"{name}-table")] if matrix.labels else []


def make_judges_chart(matrix: WinRateMatrix, name: str) -> Chart:
    """A row for each group, a column for each judge; own judges have a frame."""
    labels, judges = list(matrix.labels[:_MAX_GROUPS]), list(matrix.judges[:_MAX_JUDGES])
    rates = [[matrix.cells.get((label, judge)) for judge in judges] for label in labels]
    values = [[math.nan if rate is None else 100 * rate.win_rate for rate in row] for row in rates]
    texts = [[_write_rate(rate).replace(" ", "\n", 1) for rate in row] for row in rates]
    framed = [(y, x) for y, row in enumerate(rates) for x, rate in enumerate(row) if rate is not None and rate.is_own]
    hover = [
        [f"trained on {label}, judged by {judge}: {_write_rate(rate)}" for judge, rate in zip(judges, row, strict=True)]
        for label, row in zip(labels, rates, strict=True)
    ]
    columns = ChartAxis("judge", ticks=list(enumerate(shorten_apart(judges, _LONGEST_JUDGE))))
    rows = make_row_axis(shorten_apart(labels), "runs of")
    heat_map = Cells(values, texts, framed, low=0, high=100, label="win rate in %", hover=hover)
    panel = Panel(columns, rows, [heat_map])
    note = f"win rate against the base policy in % [95 % interval]; framed: own judge; {matrix.text}"
    if len(labels) < len(matrix.labels) or len(judges) < len(matrix.judges):
        note += f"; {len(labels)} of {len(matrix.labels)} groups, {len(judges)} of {len(matrix.judges)} judges"
    width, height = 125 * len(judges) + 260, 46 * len(labels) + 110
    return Chart(name, "Win rate of each policy under each judge", [panel], note, 1, width, height, "comparison_judges")


def _make_table(matrix: WinRateMatrix, name: str) -> Table:
    columns = [Column("Runs of")]
    columns += [Column(judge, True, is_detail=place >= _MAX_COLUMNS) for place, judge in enumerate(matrix.judges)]
    rows = [
        [make_text_cell(label), *(_make_rate_cell(matrix.cells.get((label, judge))) for judge in matrix.judges)]
        for label in matrix.labels
    ]
    caption = "Win rate against the base policy in % [95 % interval] under each judge"
    caption += f"; *: own judge, which chose the evaluation; {matrix.text}"
    if len(matrix.judges) > _MAX_COLUMNS:
        caption += f"; the terminal has the first {_MAX_COLUMNS} of {len(matrix.judges)} judges, comparison.json all"
    return Table(name, caption, columns, rows, is_folded=True, most_rows=15, file="comparison.json")


def _write_rate(rate: Rate | None) -> str:
    """`62.5 [55, 69.2]`."""
    if rate is None:
        return "-"
    return f"{format_percent(rate.win_rate)} {format_interval(100 * rate.low, 100 * rate.high)}".rstrip()


def _make_rate_cell(rate: Rate | None) -> Cell:
    if rate is None:
        return Cell("-")
    return Cell(_write_rate(rate) + "*" * rate.is_own, rate.win_rate)
