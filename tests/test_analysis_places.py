"""Where the analysis writes: through no link, and over nothing of a record."""

from pathlib import Path

import pytest
from test_ownership import tree

from analysis.command import main
from rlhf_sweeps.runs import Run, Sweep


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
        f"error: {sweep / name}: is a link, through which nothing is written; remove it, or choose a place by --out"
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
