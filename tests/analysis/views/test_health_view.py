"""The view of what is wrong with runs: sentences, alerts, a table, health.json and health.csv."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.health_sweeps import run, source, sweep

from analysis.output.files import write_files
from analysis.output.parts import Alert, Document, Part, Rows, Sentences, Table
from analysis.output.terminal import render_text
from analysis.records.runs import FAILED, RunRecord, Source, TrialRecord
from analysis.results.results import Results
from analysis.views.health import health_view
from analysis.wording.errors import AnalysisError


def view(given: Source) -> list[Part]:
    return health_view(Results(given))


def the(kind: type, parts: Sequence[Part]) -> Any:
    (part,) = [part for part in parts if isinstance(part, kind)]
    return part


def test_a_kind_is_said_once_for_all_runs_that_have_it() -> None:
    parts = view(sweep(12, 5))
    alert = the(Alert, parts)
    assert (alert.title, alert.where) == ("KL blow-up", "in 5 of 12 runs: 7, 8, 9, 10 and 11")
    assert alert.evidence["KL at the end"] == 90.0
    assert any("only where ppo.lr >= 0.0008" in line for line in alert.lines)
    assert the(Sentences, parts).lines[0] == "5 of 12 runs have findings: KL blow-up (5 runs)"
    assert "KL blow-up in 5 of 12 runs: 7, 8, 9, 10 and 11" in render_text(parts).splitlines()


def test_a_run_alone_is_not_counted() -> None:
    assert the(Sentences, view(source([run("0", 90.0)]))).lines[0] == "this run has 1 finding: KL blow-up"


def test_a_failure_is_named_by_its_cause_and_dated_once() -> None:
    end = {"cause": "out_of_memory", "message": "no memory"}
    parts = view(source([run("0", 5.0), RunRecord("1", {"update": np.arange(1.0, 13.0)}, {}, FAILED, end)]))
    assert the(Sentences, parts).lines[0] == "1 of 2 runs has findings: out of memory (1 run)"
    alert = the(Alert, parts)
    assert alert.title == "failed: out of memory"
    assert alert.lines[0] == "1: the run ended in update 12: no memory"


def test_a_table_is_there_only_where_it_says_more_than_the_alerts() -> None:
    assert not [part for part in view(sweep(12, 1)) if isinstance(part, Table)]
    assert len(the(Table, view(sweep(12, 2))).rows) == 2


def test_files_hold_every_finding() -> None:
    parts = view(sweep(12, 5))
    content = the(Document, parts).content
    assert (content["num_runs"], content["num_runs_with_findings"]) == (12, 5)
    (first, *_) = content["findings"]
    assert (first["run"], first["kind"], first["update"]) == ("7", "KL blow-up", 11)
    assert first["evidence"]["KL at the end"] == 90.0
    rows = [dict(zip(the(Rows, parts).columns, row, strict=True)) for row in the(Rows, parts).rows]
    assert [row["run"] for row in rows] == ["7", "8", "9", "10", "11"]
    assert '"limit": 30.0' in rows[0]["evidence"]
    assert [row[0].text for row in the(Table, parts).rows] == ["7", "8", "9", "10", "11"]


def test_the_same_source_gives_the_same_bytes(tmp_path: Path) -> None:
    paths = write_files(view(sweep(12, 5)), tmp_path / "new" / "folder")
    assert [path.name for path in paths] == ["health.json", "health.csv"]
    before = [path.read_bytes() for path in paths]
    write_files(view(sweep(12, 5)), tmp_path / "new" / "folder")
    assert [path.read_bytes() for path in paths] == before


def test_sound_runs_and_empty_sources() -> None:
    sound = the(Sentences, view(sweep(3, 0)))
    assert (sound.lines[0], sound.tone) == ("no findings in 3 runs", "good")
    assert the(Sentences, view(source([]))).lines[0] == "there are no runs"
    empty = RunRecord("5", {"update": np.empty(0)})
    assert "runs without any update, which can hardly be judged: 5" in the(Sentences, view(source([empty]))).lines


def test_what_is_not_in_the_record_is_said() -> None:
    last = the(Sentences, view(sweep(3, 0))).lines[-1]
    assert last.startswith("not checked, because it is not in the record: entropy, clipping, value model")


def test_failed_trials_without_a_run_are_told() -> None:
    runs = [run("0", 5.0), RunRecord("1", {"update": np.empty(0)}, {}, FAILED, {"cause": "config"})]
    trials = [
        TrialRecord(1, "failed", {}, cause="config", runs=runs[1:]),
        TrialRecord(2, "failed", {}, cause="timeout", message="a\nb"),
    ]
    parts = view(Source("s", "sweep", runs, trials))
    pairs = {(finding["run"], finding["kind"]) for finding in the(Document, parts).content["findings"]}
    assert pairs == {("1", "failed: config"), ("2", "failed: timeout")}
    assert any("sweep.trial_hours" in part.advice for part in parts if isinstance(part, Alert))


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AnalysisError, match="file"):
        write_files(view(sweep(2, 0)), tmp_path / "file")
