"""Trials, their server and their sweeper die: it is noticed at once, and nothing of them is left."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import ROOT
from helpers.opened_executors import KILLED, METHODS, NewFolder, Open, is_alive, pid_in, state_and_parent, until
from helpers.opened_executors import new_folder as new_folder
from helpers.opened_executors import open_executor as open_executor

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def children() -> list[int]:
    """Of this process; without multiprocessing's tracker, which stays to the end."""
    pids = " ".join(path.read_text() for path in Path("/proc/self/task").glob("*/children")).split()
    return [int(pid) for pid in pids if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.mark.parametrize("method", METHODS)
def test_a_death_is_noticed_at_once_and_disturbs_nobody(
    method: str, open_executor: Open, new_folder: NewFolder
) -> None:
    executor = open_executor("sleep_with_child", 2, start_method=method)
    folders = [new_folder(), new_folder()]
    dying, staying = [executor.submit(folder) for folder in folders]
    first, second = [pid_in(folder) for folder in folders]
    start = time.monotonic()
    os.kill(first, signal.SIGKILL)
    assert dying.result(5) == KILLED
    assert time.monotonic() - start < 1.5  # a few milliseconds, but on a busy machine
    assert not staying.done()
    executor.kill(folders[0])
    executor.kill(folders[1])
    assert staying.result(5) == KILLED
    until(lambda: not is_alive(second) and not is_alive(pid_in(folders[1], "child")))
    os.kill(pid_in(folders[0], "child"), signal.SIGKILL)


def test_without_their_server_trials_are_lost_and_the_next_has_a_new_one(
    open_executor: Open, new_folder: NewFolder
) -> None:
    executor = open_executor("sleep", 2)
    folders = [new_folder(), new_folder(), new_folder()]
    futures = [executor.submit(folder) for folder in folders[:2]]
    pids = [pid_in(folder) for folder in folders[:2]]
    os.kill(state_and_parent(pids[0])[1], signal.SIGKILL)
    assert [future.result(5) for future in futures] == [KILLED, KILLED]
    until(lambda: not any(map(is_alive, pids)))
    executor.submit(folders[2])
    assert is_alive(pid_in(folders[2]))


@pytest.mark.parametrize("method", METHODS)
def test_close_leaves_nothing(method: str, open_executor: Open, new_folder: NewFolder) -> None:
    threads, others = threading.active_count(), children()  # as what the session's commands are forked from
    executor = open_executor("spin", 2, start_method=method)
    folders = [new_folder(), new_folder()]
    with executor:
        futures = [executor.submit(folder) for folder in folders]
        pids = [pid_in(folder) for folder in folders]
    assert [future.result(0) for future in futures] == [KILLED, KILLED]
    assert not any(map(is_alive, pids))
    assert children() == others
    assert threading.active_count() == threads
    with pytest.raises(RuntimeError, match="closed"):
        executor.submit(folders[0])


SWEEPER = """
import pathlib, sys, time
from rlhf_sweeps.sweep.execution.executors import LocalProcesses
method, trial, folder, then = sys.argv[1:]
future = LocalProcesses(f"helpers.fake_trials.{trial}", 1, method, [], 1, []).submit(pathlib.Path(folder))
while not pathlib.Path(folder, "pid").exists():
    time.sleep(0.005)
words = ["started"]
while words or then == "wait":
    try:
        if words:
            print(*words, flush=True)
            words = []
        if then == "wait":
            time.sleep(60)
    except KeyboardInterrupt:
        words = ["interrupted", future.done()]
"""


@pytest.fixture
def sweeper() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """A process that starts one trial, in a process group of its own, as a shell would start it."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
        command = [sys.executable, "-X", "dev", "-c", SWEEPER, *arguments]
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            command, env=environment, stdout=pipe, stderr=pipe, text=True, start_new_session=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("trial", ["spin", "sleep_with_child"])
def test_no_trial_outlives_a_killed_sweeper(
    method: str, trial: str, sweeper: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = sweeper(method, trial, str(tmp_path), "wait")
    pids = [pid_in(tmp_path)] + ([pid_in(tmp_path, "child")] if trial == "sleep_with_child" else [])
    if method == "forkserver":
        pids.append(state_and_parent(pids[0])[1])
    process.kill()
    until(lambda: not any(map(is_alive, pids)), seconds=2)


@pytest.mark.parametrize("method", METHODS)
def test_the_interpreter_ends_without_a_call_of_close(
    method: str, sweeper: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = sweeper(method, "sleep", str(tmp_path), "end")
    assert process.communicate(timeout=20) == ("started\n", "")
    assert process.returncode == 0
    assert not is_alive(pid_in(tmp_path))


@pytest.mark.parametrize("method", METHODS)
def test_ctrl_c_is_for_the_sweeper_alone(
    method: str, sweeper: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = sweeper(method, "sleep", str(tmp_path), "wait")
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    os.killpg(process.pid, signal.SIGINT)
    assert process.stdout.readline() == "interrupted False\n"
    assert is_alive(pid_in(tmp_path))
