"""Records at every stage, and what the live table makes of them."""

import io
import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from analysis.watch.places import Places
from analysis.watch.rows import Snapshot
from analysis.watch.table import Page, draw_snapshots
from helpers.records import lose
from rlhf_sweeps.record import Run, Sweep

HERE = socket.gethostname()
POINTS = [{"ppo.lr": 1e-4}, {"ppo.lr": 5e-4}, {"ppo.lr": 1e-3}]


@pytest.fixture(autouse=True)
def from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths are told as they are given; the long ones of tests would fill the lines."""
    monkeypatch.chdir(tmp_path)


def see(folder: Path) -> Snapshot:
    (seen,) = Places(folder.relative_to(Path.cwd())).look()
    return seen


def text(seen: Sequence[Snapshot], width: int = 120, height: int | None = None, is_ascii: bool = False) -> list[str]:
    """What is drawn, line by line."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(draw_snapshots(seen, Page(width, height, is_ascii)))
    output = console.file
    assert isinstance(output, io.StringIO)
    return [line.rstrip() for line in output.getvalue().splitlines()]


def change(path: Path, **content: Any) -> None:
    """Set keys of a JSON file, which then has no digest, as those of earlier versions."""
    old = json.loads(path.read_text(encoding="utf-8"))
    old.pop("sha256", None)
    path.write_text(json.dumps({**old, **content}), encoding="utf-8")


def unfinish(run: Run, updates: int, *, old: bool = False) -> None:
    """Have a run stand after so many updates."""
    path = run.folder / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:updates]), encoding="utf-8")
    lose(run.summary_file)
    if old:
        for name in ("metrics.jsonl", "run.json"):
            os.utime(run.folder / name, (1e9, 1e9))


def swept_by(folder: Path, process: int, host: str = HERE) -> None:
    (folder / "sweeper.json").write_text(json.dumps({"process": process, "host": host}), encoding="utf-8")


@pytest.fixture
def dead_process() -> int:
    """The number of a process that has been."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def plan_of(folder: Path, **plan: Any) -> None:
    """Have the record say all that a sweeper's does: by default, all trials that are planned are there."""
    told = {"arguments": ["-m", "ppo.lr=1,2", "hydra.sweeper.seed=1"], "num_trials": len(Sweep(folder).trials())}
    change(folder / "sweep.json", **{**told, **plan})
