"""Where the analysis writes: through no link, and over nothing of a record."""

import os
from pathlib import Path

import pytest
from helpers.folders import tree

from analysis.command import main
from rlhf_sweeps.record import Run, Sweep


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """A sweep of two runs with two updates each."""
    folder = tmp_path / "sweep"
    for number in (0, 1):
        run = Run(folder / str(number))
        run.begin({"ppo": {"lr": 1e-4 * (number + 1)}, "seed": 0})
        for update in (1, 2):
            run.append_metrics({"update": update, "eval/score": 0.5 * update + number, "eval/kl": 1.0})
        run.write_summary({"status": "complete", "objective": 1.0 + number})
    Sweep(folder).write_start({"id": "x", "study_name": "sweep", "directions": ["maximize"]})
    return folder


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("curves", "analysis"),
        ("compare", "analysis"),
        ("sweep", "analysis"),
        ("health", "analysis"),
        ("report", "report.html"),
    ],
)
def test_nothing_is_written_through_a_link(
    command: str, name: str, sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "page.html").write_text("the user's", encoding="utf-8")
    (sweep / name).symlink_to(mine / "page.html" if command == "report" else mine)
    before = tree(tmp_path)
    assert main([command, str(sweep)]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("note: ")]
    assert lines == [
        f"error: {sweep / name}: is a link, and nothing is written through links; remove it, or choose a place by --out"
    ]
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("command", "out"),
    [("compare", "sweep"), ("curves", "sweep/0"), ("report", "sweep/sweep.json"), ("report", "sweep/0/metrics.jsonl")],
)
def test_nothing_of_a_record_is_overwritten(
    command: str, out: str, sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(tmp_path)
    assert main([command, str(sweep), "--out", str(tmp_path / out)]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("note: ")]
    assert len(lines) == 1
    assert lines[0].startswith(f"error: --out {tmp_path / out}: ")
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("command", "name"),
    [
        *((command, "analysis/curves.csv") for command in ("curves", "compare", "sweep", "health")),
        ("report", "report.html"),
    ],
)
def test_what_a_user_has_put_there_stays(
    command: str, name: str, sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (sweep / name).parent.mkdir(exist_ok=True)
    (sweep / name).write_text("<!doctype html>\n<html>the user's", encoding="utf-8")
    before = tree(tmp_path)
    assert main([command, str(sweep)]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("note: ")]
    assert lines == [
        f"error: {sweep / 'report.html'}: is no report of the analysis; rename it, or choose another file by --out"
        if command == "report"
        else f"error: {sweep / 'analysis'}: was not made by the analysis (it has no .written_by_analysis); rename it, "
        "or choose a place by --out"
    ]
    assert tree(tmp_path) == before


def test_what_the_analysis_has_written_is_written_again(sweep: Path, tmp_path: Path) -> None:
    """And an empty file, or an empty folder, is nobody's."""
    (sweep / "analysis").mkdir()
    (sweep / "report.html").touch()
    for command in ("health", "report", "health", "report"):
        assert main([command, str(sweep)]) == 0
    assert (sweep / "report.html").stat().st_size > 1_000_000
    (tmp_path / "page.html").write_text("the user's", encoding="utf-8")
    assert main(["report", str(sweep), "--out", str(tmp_path / "page.html")]) == 2
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == "the user's"


def test_a_table_is_reported_on_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text("update,reward,kl\n" + "\n".join(f"{n},{n / 9},0.1" for n in range(9)), encoding="utf-8")
    for _ in range(2):
        assert main(["report", "t.csv"]) == 0
    assert main(["curves", "t.csv", "--format=svg"]) == 0


@pytest.mark.parametrize("kind", ["a folder", "a pipe"])
def test_a_report_goes_into_no_folder_and_no_pipe(
    kind: str, sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "there"
    if kind == "a folder":
        out.mkdir()
    else:
        os.mkfifo(out)
    assert main(["report", str(sweep), "--out", str(out)]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("note: ")]
    assert lines == [f"error: {out}: is {kind}, must be a file; rename it, or choose another file by --out"]
