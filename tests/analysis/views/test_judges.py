"""The judges' heat map and table: the numbers of the matrix in their cells, own judges framed."""

import math

import pytest
from helpers.judged_groups import table_of, ticks_of

from analysis.comparison.own_matrix import WinRate, WinRateMatrix
from analysis.output.charts import Cells
from analysis.output.parts import Table
from analysis.views.judges import make_judge_parts, make_judges_chart

MATRIX = WinRateMatrix(
    ["x", "y"],
    ["x", "y", "z"],
    {
        ("x", "x"): WinRate(0.9, 0.85, 0.95, 3, is_own=True),
        ("x", "y"): WinRate(0.6, 0.55, 0.65, 3, is_own=False),
        ("y", "y"): WinRate(0.7, math.nan, math.nan, 1, is_own=True),
    },
    "intervals cover the variation over seeds",
)


def test_a_cell_holds_the_rate_and_its_interval_in_percent() -> None:
    chart = make_judges_chart(MATRIX, "x")
    (cells,) = chart.panels[0].layers
    assert isinstance(cells, Cells)
    assert cells.texts == [["90\n[85, 95]", "60\n[55, 65]", "-"], ["-", "70", "-"]]
    assert cells.framed == [(0, 0), (1, 1)]
    assert [[value for value in row if not math.isnan(value)] for row in cells.values] == [[90, 60], [70]]
    assert (cells.low, cells.high, cells.label) == (0, 100, "win rate in %")
    assert ticks_of(chart) == ["x", "y"]


def test_the_table_marks_own_judges() -> None:
    rows = table_of(make_judge_parts(MATRIX), "judges-table")
    assert rows == [["x", "90 [85, 95]*", "60 [55, 65]", "-"], ["y", "-", "70*", "-"]]


def test_many_judges_are_cut_in_the_chart_and_in_the_terminal() -> None:
    judges = [f"judge {place}" for place in range(14)]
    cells = {("x", judge): WinRate(0.5, 0.4, 0.6, 3, is_own=False) for judge in judges}
    chart, table = make_judge_parts(WinRateMatrix(["x"], judges, cells, ""))
    assert len(chart.panels[0].x.ticks) == 12  # type: ignore[union-attr]
    assert "12 of 14 judges" in chart.note  # type: ignore[union-attr]
    assert isinstance(table, Table)
    assert [column.is_detail for column in table.columns] == [False] * 6 + [True] * 9


@pytest.mark.parametrize("labels", [[]])
def test_without_groups_there_is_nothing(labels: list[str]) -> None:
    assert make_judge_parts(WinRateMatrix(labels, ["x"], {}, "")) == []
