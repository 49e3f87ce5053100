"""Reading and reporting many runs is heard of while it goes on; each function here waits until it is."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers.records import write_sweep
from helpers.slow import SlowDown
from helpers.slow import slow_down as slow_down

from analysis import command
from analysis.reading import folders, sources, wandb_projects
from analysis.views import report

POINTS = [{"ppo.kl_coef": kl_coef} for kl_coef in (0.01, 0.02)]


@pytest.fixture
def sweeps(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        write_sweep(tmp_path / "outputs" / name, POINTS, updates=12, heights=[1.0, 2.0])
    return tmp_path / "outputs"


def test_a_report_is_heard_of_run_by_run_and_tab_by_tab(slow_down: SlowDown, sweeps: Path) -> None:
    for owner, name, pattern in [
        (sources, "read_folder", r"^reading: 2 records in .*outputs \(0 % after \d+ s\)$"),
        (folders, "read_run", r"^reading: 2 records in .*outputs \(0 % after \d+ s\): 2 runs of a$"),
        (report, "_make_page", r"^writing the report \(for \d+ s\)$"),
    ]:
        slow_down(owner, name, pattern)
    assert command.main(["report", str(sweeps)]) == 0


def test_a_sweep_alone_is_counted_by_its_runs(slow_down: SlowDown, sweeps: Path) -> None:
    slow_down(folders, "make_trials", r"^reading \(for \d+ s\)$")
    slow_down(folders, "salvage", r"^reading: 2 runs of a \(0 % after \d+ s\)$")
    slow_down(command, "write_files", r"^writing files \(for \d+ s\)$")
    assert command.main(["compare", str(sweeps / "a")]) == 0


def test_runs_of_wandb_are_counted(slow_down: SlowDown, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [SimpleNamespace(scan_history=lambda use_cache: [], name=name) for name in ("first", "second")]
    monkeypatch.setattr(wandb_projects, "_make_wandb_run", lambda run, rows: run.name)
    slow_down(wandb_projects, "_make_wandb_run", r"^2 runs of W&B \(0 % after \d+ s\)$")
    assert wandb_projects._read_runs("e/p", runs) == ["first", "second"]
