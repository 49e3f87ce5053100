"""Answers before and after on the first screen: three prompts, picked by the own score's change alone."""

from dataclasses import replace
from typing import Any

from helpers.report_records import run, samples

from analysis.output.parts import Table
from analysis.records.runs import RunRecord, Source
from analysis.results.results import Results
from analysis.views.examples import make_examples
from analysis.views.report import make_report_page


def make_source(rows: list[dict[str, Any]]) -> Source:
    alone: RunRecord = replace(run(0), trial=None, read_samples=lambda: rows)
    return Source("s", "run", [alone])


def test_the_most_the_middle_and_the_least_improved_by_hand() -> None:
    """Prompt i of 8 gains i - 2: from prompt 7, +5, to prompt 0, -2; the fifth of the eight is prompt 3."""
    (table,) = make_examples(Results(make_source(samples(8))))
    assert isinstance(table, Table)
    cells = [[cell.text for cell in row] for row in table.rows]
    assert [row[0] for row in cells] == ["most improved", "in the middle", "least improved"]
    assert [row[1].split()[1] for row in cells] == ["p7", "p3", "p0"]
    assert [row[2] for row in cells] == ["base answer 7", "base answer 3", "base answer 0"]
    assert [row[3].split(" <")[0].strip() for row in cells[1:]] == ["answer 3 at 40", "answer 0 at 40"]
    assert [row[4:] for row in cells] == [["1", "6"], ["1", "2"], ["1", "-1"]]
    assert table.caption == "Answers before and after: Run 0, after update 40"


def test_two_answers_are_no_choice() -> None:
    assert make_examples(Results(make_source(samples(2)))) == []
    assert make_examples(Results(make_source([]))) == []


def test_the_page_has_long_answers_whole() -> None:
    rows = samples(8)
    long = " ".join(f"word{i}" for i in range(50))  # 339 characters
    for row in rows:
        row["response"] = f"{row['response'][:8]} {long}"
    assert f"{long}</td>" in make_report_page(make_source(rows)).partition("Answers before and after")[2]
