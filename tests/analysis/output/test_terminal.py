"""Parts in a terminal: narrow and wide, coloured only where somebody looks."""

import io

import pytest

from analysis.output.charts import Chart, ChartAxis, Panel
from analysis.output.parts import (
    Alert,
    Answers,
    Cell,
    Column,
    Command,
    Folded,
    Part,
    Rows,
    Sentences,
    Table,
    Tiles,
    number_cell,
)
from analysis.output.terminal import show, text
from analysis.wording.statements import Statement

COLUMNS = [Column("run"), Column("score", True), Column("note", is_detail=True), Column("empty")]
TABLE = Table(
    "t",
    "Scores",
    COLUMNS,
    [[Cell(f"run_{place}", tone="best"), number_cell(place / 4), Cell("long"), Cell("-")] for place in range(5)],
    most_rows=3,
    file="scores.csv",
)


def test_each_part_has_its_lines() -> None:
    parts: list[Part] = [
        Sentences(["first", Statement("second", {"a": 1.0})]),
        Sentences(["third"], "title"),
        Tiles([("Runs", "3", "of one worker"), ("Price", "2", "")]),
        Answers([("Which won?", ["a did"])]),
        Command("again", "python -m x"),
        Alert("KL blow-up", "in 1 run", ["it rises"], {"kl": 3.0}, "a larger kl_coef"),
    ]
    assert text(parts).splitlines() == [
        *("first", "second", "", "title:", "  third"),
        *("runs   3 (of one worker)", "price  2"),
        *("Which won?", "  a did", "", "again:", "python -m x", ""),
        *("KL blow-up in 1 run", "    it rises", "    what helps: a larger kl_coef"),
    ]


def test_a_table_leaves_out_details_empty_columns_and_rows_beyond_its_limit() -> None:
    assert text([TABLE]).splitlines() == [
        "Scores",
        "  run    score",
        "  run_0      0",
        "  run_1   0.25",
        "  run_2    0.5",
        "  and 2 more, in scores.csv",
    ]


def test_charts_files_and_folded_texts_are_left_out() -> None:
    chart = Chart("a", "a chart", [Panel(ChartAxis(), ChartAxis(), [])])
    assert text([chart, Folded("log", "long"), Rows("a.csv", ["a"], [[1]])]) == ""


@pytest.mark.parametrize("width", [30, 60, 100])
def test_no_line_is_wider_than_the_terminal_but_commands_to_copy(width: int) -> None:
    parts: list[Part] = [Sentences(["word " * 40], "a title"), TABLE, Alert("a", "b " * 40, ["c " * 40], {}, "d " * 40)]
    assert max(map(len, text(parts, width).splitlines())) <= width
    assert f"python {'x' * 120}" in text([Command("again", f"python {'x' * 120}")], width).splitlines()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colours_are_for_terminals_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    terminal, file = Terminal(), io.StringIO()
    for place in (terminal, file):
        show([Sentences(["all well"], tone="good"), TABLE], place)
    assert "\x1b[32mall well" in terminal.getvalue()
    assert "\x1b" not in file.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    show([Sentences(["all well"], tone="good")], quiet := Terminal())
    assert "\x1b" not in quiet.getvalue()
