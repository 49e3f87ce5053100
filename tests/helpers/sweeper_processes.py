"""Sweepers in processes of their own: how they are ended, and that study and folders tell the same after that."""

import math
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from optuna.trial import TrialState

from helpers.sweeping import (
    descendants,
    is_alive,
    kill,
    pids,
    printed,
    trials,
)
from rlhf_sweeps.record import Run

COMPLETE, PRUNED, FAIL = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL
NUM_UPDATES = 30  # of the fake trainer with the default config
BASE_SCORE = 0.0  # likewise
KL_BUDGET = 5.0  # objective.kl_budget by default
INTERRUPTED = 130


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A sweep's; its processes do not outlive the test."""
    folder = tmp_path / "sweep"
    yield folder
    started = {pid for path in folder.glob("[0-9]*") for pid in pids(path)} - {os.getpid()}
    kill(*(pid for pid in started if is_alive(pid)))


def grid(num_points: int) -> str:
    return f"ppo.kl_coef={','.join(f'0.0{number}' for number in range(1, num_points + 1))}"


def text(folder: Path) -> str:
    """What the sweepers of a folder have printed."""
    return printed(folder).read_text(encoding="utf-8")


def end(process: subprocess.Popen[bytes], seconds: float = 60) -> int:
    """Wait for the end of a sweeper that should come to one."""
    try:
        return process.wait(seconds)
    finally:
        kill(process.pid)
        process.wait()


def lose(process: subprocess.Popen[bytes], *others: int) -> None:
    """SIGKILL a sweeper, and others with it, and wait until it is gone."""
    kill(process.pid, *others)
    process.wait()


def gone(*processes: int) -> bool:
    return not any(is_alive(pid) for pid in processes)


def check_history(run: Path) -> None:
    """No update was skipped, none repeated but those after the last checkpoint, and what had ended was let be."""
    last = saved = 0
    ended = False
    for line in (run / "history").read_text(encoding="utf-8").splitlines():
        word, _, number = line.partition(" ")
        assert not ended, f"{run}: {line} after its end"
        if word == "start":
            first = True
        if word == "update":
            assert int(number) == last + 1 or (first and saved < int(number) <= last), f"{run}: {line} after {last}"
            last, first = int(number), False
        if word == "checkpoint":
            saved = int(number)
        ended = word == "end"


def check_all(folder: Path, num_trials: int) -> None:
    """Study and folders tell the same; every trial has ended, and none is missing."""
    found = trials(folder)
    assert [trial.number for trial in found] == list(range(num_trials))
    assert sorted(int(path.name) for path in folder.glob("[0-9]*")) == list(range(num_trials))
    for trial in found:
        run = Run(folder / str(trial.number))
        summary = run.summary()
        assert summary is not None
        assert trial.state in (COMPLETE, PRUNED)
        if trial.state == COMPLETE:
            assert summary["status"] == "complete" or summary["stop_reason"] == "kl_budget"
            within = [row["eval/score"] for row in run.metrics() if row.get("eval/kl", math.inf) <= KL_BUDGET]
            assert trial.values == [max(within, default=BASE_SCORE)]
        else:
            assert summary["status"] == "complete" or summary["stop_reason"] == "pruned"
        if summary["status"] == "complete":
            assert [row["update"] for row in run.metrics()] == list(range(1, NUM_UPDATES + 1))
        check_history(run.folder)


def servers_of(process: "subprocess.Popen[bytes]") -> list[int]:
    """The fork servers that a sweeper has started."""
    places = {pid: Path(f"/proc/{pid}/cmdline") for pid in descendants(process.pid)}
    return [pid for pid, place in places.items() if place.exists() and b"forkserver" in place.read_bytes()]
