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
    make_number_cell,
)
from analysis.output.terminal import print_parts, render_text
from analysis.wording.statements import Statement

COLUMNS = [Column("run"), Column("score", True), Column("note", is_detail=True), Column("empty")]
TABLE = Table(
    "t",
    "Scores",
    COLUMNS,
    [[Cell(f"run_{place}", tone="best"), make_number_cell(place / 4), Cell("long"), Cell("-")] for place in range(5)],
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
    assert render_text(parts).splitlines() == [
        *("first", "second", "", "Title", "  third"),
        *("runs   3 (of one worker)", "price  2"),
        *("Which won?", "  a did", "", "Again", "python -m x", ""),
        *("KL blow-up in 1 run", "    it rises", "    what helps: a larger kl_coef"),
    ]


def test_a_table_leaves_out_details_empty_columns_and_rows_beyond_its_limit() -> None:
    assert render_text([TABLE]).splitlines() == [
        "Scores",
        "  run    score",
        "  run_0      0",
        "  run_1   0.25",
        "  run_2    0.5",
        "  and 2 more, in scores.csv",
    ]


def test_charts_files_and_folded_texts_are_left_out() -> None:
    chart = Chart("a", "a chart", [Panel(ChartAxis(), ChartAxis(), [])])
    assert render_text([chart, Folded("log", "long"), Rows("a.csv", ["a"], [[1]])]) == ""


@pytest.mark.parametrize("width", [30, 60, 100])
def test_no_line_is_wider_than_the_terminal_but_commands_to_copy(width: int) -> None:
    parts: list[Part] = [Sentences(["word " * 40], "a title"), TABLE, Alert("a", "b " * 40, ["c " * 40], {}, "d " * 40)]
    assert max(map(len, render_text(parts, width).splitlines())) <= width
    assert f"python {'x' * 120}" in render_text([Command("again", f"python {'x' * 120}")], width).splitlines()


COUNTS = Cell("1 failed, 3 pruned, 1 unfinished")
# As wide as the widest columns of a comparison of reward models.
WIDE = Table(
    "w",
    "Groups",
    [Column("reward_model"), Column("Value [95 %]", True), Column("Tokens", True), Column("Not counted")],
    [
        [
            Cell("OpenAssistant/reward-model-deberta-v3-large-v2"),
            Cell("0.421 [0.4106, 0.431]"),
            Cell("1,111,440"),
            COUNTS,
        ],
        [Cell("complete"), Cell("1.5"), Cell("7"), Cell("-")],
    ],
    file="groups.csv",
)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_numbers_and_words_are_never_broken(width: int) -> None:
    lines = render_text([WIDE], width).splitlines()
    assert max(map(len, lines)) <= width
    words = " ".join(lines).split()
    assert {"complete", "1,111,440", "[0.4106,", "0.431]", "Tokens"} <= set(words)
    assert [line for line in lines if "0.421 [0.4106, 0.431]" in line and "1,111,440" in line]


def test_a_label_wraps_between_words() -> None:
    assert "1 failed, 3 pruned, 1 unfinished" in render_text([WIDE], 120)
    words = " ".join(render_text([WIDE], 90).split())
    assert "1 failed, 3 pruned, 1 unfinished" not in words
    assert {"failed,", "pruned,", "unfinished"} <= set(words.split())


def test_columns_for_which_there_is_no_room_are_named() -> None:
    lines = render_text([WIDE], 44).splitlines()
    assert (
        " ".join(line.strip() for line in lines[-2:])
        == "there is no room for Tokens and Not counted; groups.csv has them"
    )
    assert not any("1,111,440" in line for line in lines)


def test_an_ordered_list_has_numbers() -> None:
    lines = render_text([Sentences(["first", Statement("second")], "what to try next", is_ordered=True)]).splitlines()
    assert lines == ["What to try next", "  1. first", "  2. second"]


def test_headings_look_alike_and_keys_stay_as_they_are() -> None:
    table = [[Cell("1")]]
    parts: list[Part] = [Sentences(["a"], "by model"), Table("t", "failed trials", [Column("a")], table)]
    parts.append(Table("u", "ppo.lr of all", [Column("a")], table))
    headings = [line for line in render_text(parts).splitlines() if line and not line.startswith(" ")]
    assert headings == ["By model", "Failed trials", "ppo.lr of all"]


def test_control_characters_of_a_record_do_not_reach_the_terminal() -> None:
    hostile = "red\x1b[31m \x9b2Jbell\x07"
    parts: list[Part] = [
        Sentences([hostile], hostile),
        Alert(hostile, hostile, [hostile], {}, hostile),
        Command(hostile, hostile),
        Answers([(hostile, [hostile])]),
        Tiles([(hostile, hostile, hostile)]),
        Table(hostile, hostile, [Column(hostile)], [[Cell(hostile)]]),
    ]
    printed = render_text(parts)
    assert "ed[31m" in printed
    assert not [char for char in printed if not char.isprintable() and char != "\n"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colours_are_for_terminals_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    terminal, file = Terminal(), io.StringIO()
    for place in (terminal, file):
        print_parts([Sentences(["all well"], tone="good"), TABLE], place)
    assert "\x1b[32mall well" in terminal.getvalue()
    assert "\x1b" not in file.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    print_parts([Sentences(["all well"], tone="good")], quiet := Terminal())
    assert "\x1b" not in quiet.getvalue()
