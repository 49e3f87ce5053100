"""Ids in the page: a second chart of the same id would replace the first one's figure without a word."""

import pytest

from analysis.output.charts import Chart, ChartAxis, Panel, Points
from analysis.output.page import render_page
from analysis.output.parts import Column, Part, Section, Table


def chart(name: str) -> Chart:
    return Chart(name, "title", [Panel(ChartAxis(), ChartAxis(), [Points([0.0], [0.0])])])


def table(name: str) -> Table:
    return Table(name, "caption", [Column("key")], [])


@pytest.mark.parametrize("make", [chart, table])
def test_an_id_stands_once_in_all_tabs(make: object) -> None:
    def parts(*names: str) -> list[Part]:
        return [make(name) for name in names]  # type: ignore[operator]

    sections = [Section("a", "A", parts("same")), Section("b", "B", parts("other", "same"))]
    with pytest.raises(ValueError, match=r"'same' of a .* stands twice"):
        render_page("t", "s", sections)
    with pytest.raises(ValueError, match=r"'has space.x' of a .* letters, digits and dashes"):
        render_page("t", "s", [Section("a", "A", parts("has space.x"))])
    assert render_page("t", "s", [Section("a", "A", parts("same", "Other-2"))])


def test_a_chart_and_a_table_may_share_an_id_but_no_two_tabs() -> None:
    assert render_page("t", "s", [Section("a", "A", [chart("a"), table("a")])])
    with pytest.raises(ValueError, match="'a' of a tab stands twice"):
        render_page("t", "s", [Section("a", "A", []), Section("a", "B", [])])
