"""Executors that are closed after a test, and the processes of their trials."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rlhf_sweeps.sweep.execution.executors import LocalProcesses

METHODS = ["forkserver", "spawn"]
KILLED = -9
Open = Callable[..., LocalProcesses]
NewFolder = Callable[[], Path]


@pytest.fixture
def new_folder(tmp_path: Path) -> NewFolder:
    numbers = iter(range(1000))

    def make() -> Path:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        return folder

    return make


@pytest.fixture
def open_executor() -> Iterator[Open]:
    opened: list[LocalProcesses] = []

    def open_(trial: str, num_workers: int = 1, start_method: Any = "forkserver", **settings: Any) -> LocalProcesses:
        settings = {"devices": [], "threads": 1, "preload": [], **settings}
        opened.append(LocalProcesses(f"helpers.fake_trials.{trial}", num_workers, start_method, **settings))
        return opened[-1]

    yield open_
    for executor in opened:
        executor.close()


def until(condition: Callable[[], Any], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.005)


def pid_in(folder: Path, name: str = "pid") -> int:
    until((folder / name).exists)
    return int((folder / name).read_text(encoding="utf-8"))


def state_and_parent(pid: int) -> tuple[str, int]:
    state, parent = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[:2]
    return state, int(parent)


def is_alive(pid: int) -> bool:
    """False for a zombie, too: where nobody waits for orphans, it stays in the table."""
    try:
        return state_and_parent(pid)[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
