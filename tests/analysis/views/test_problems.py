"""The tab Problems: every failure, with its cause and log, and every place of a record that could not be read."""

from dataclasses import replace
from pathlib import Path

from helpers.report_records import ATTACK, run, sweep

from analysis.output.parts import Folded, Sentences, Table
from analysis.records.runs import Source
from analysis.results.ranking import rank_source
from analysis.results.results import Results
from analysis.views.problems import problems_view, write_failure_sentence, write_problem_sentences


def test_every_problem_and_failure_is_there() -> None:
    source = sweep()
    runs = [replace(r, problems=(f"metrics.jsonl: line {r.name} is damaged",)) for r in source.runs]
    source = replace(source, runs=runs)
    parts = problems_view(Results(source), ["the tab Config could not be made"])
    tables = {part.id: part for part in parts if isinstance(part, Table)}
    texts = [row[0].text for row in tables["unreadable"].rows]
    assert texts == [f"metrics.jsonl: line {record.name} is damaged" for record in runs]
    (failed,) = tables["failures"].rows
    assert [cell.text for cell in failed[:4]] == ["7", "error", f"ValueError: {ATTACK}", "40"]
    lines = [line for part in parts if isinstance(part, Sentences) for line in part.lines]
    assert source.problems[0] in lines
    assert "the tab Config could not be made" in lines
    assert "1 trial has not finished yet: 8" in lines
    (log,) = [part for part in parts if isinstance(part, Folded)]
    assert (log.title, log.text.splitlines()[0]) == ("Trial 7: traceback", "Traceback")


def test_failures_are_counted_by_cause() -> None:
    source = sweep()
    assert write_failure_sentence(rank_source(source)) == "1 of 12 trials failed: 1 error"
    assert len(write_problem_sentences(source, rank_source(source))) == 2  # the failure, and the damaged sweep.json


def test_nothing_to_report_is_good_news() -> None:
    (part,) = problems_view(Results(Source("one", "run", [run(0)])), [])
    assert isinstance(part, Sentences)
    assert part.tone == "good"


def test_the_end_of_a_log_stands_for_a_missing_traceback(tmp_path: Path) -> None:
    lines = [f"line {i}" for i in range(1000)]
    (tmp_path / "rlhf_sweeps.log").write_text("\n".join(lines), encoding="utf-8")
    bare = run(7, None, "failed")
    summary = {key: value for key, value in bare.summary.items() if key != "traceback"}
    failed = replace(bare, folder=tmp_path, summary=summary)
    parts = problems_view(Results(Source("one", "run", [failed])), [])
    (log,) = [part for part in parts if isinstance(part, Folded)]
    assert log.title == "Run 7: the end of its log"
    assert log.text.splitlines() == lines[-40:]
