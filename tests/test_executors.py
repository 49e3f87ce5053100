"""Where trials run: how they start, what they find, how they end, and that nothing of them is left."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from rlhf_sweeps.platforms import system
from rlhf_sweeps.runs import Run
from rlhf_sweeps.sweep.executors import Executor, InProcess, LocalProcesses
from rlhf_sweeps.sweep.processes import Starter

METHODS = ["forkserver", "spawn"]
KILLED = -9
Open = Callable[..., LocalProcesses]
NewFolder = Callable[[], Path]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


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
        opened.append(LocalProcesses(f"fake_trials.{trial}", num_workers, start_method, **settings))
        return opened[-1]

    yield open_
    for executor in opened:
        executor.close()


def ask(executor: Executor, folder: Path) -> dict[str, Any]:
    """What the trial `describe` finds there."""
    assert executor.submit(folder).result(20) == 0
    found: dict[str, Any] = json.loads((folder / "found.json").read_text(encoding="utf-8"))
    return found


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


def children() -> list[int]:
    """Of this process; without multiprocessing's tracker, which stays to the end."""
    pids = " ".join(path.read_text() for path in Path("/proc/self/task").glob("*/children")).split()
    return [int(pid) for pid in pids if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.mark.parametrize("method", METHODS)
def test_a_trial_finds_what_it_was_promised(
    method: str, open_executor: Open, new_folder: NewFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    before = dict(os.environ)
    executor = open_executor("describe", start_method=method, threads=3, memory=2**31)
    monkeypatch.chdir(new_folder())
    first, second = ask(executor, new_folder()), ask(executor, new_folder())
    assert first["environment"] == {"OMP_NUM_THREADS": "3", "MKL_NUM_THREADS": "3", "CUDA_VISIBLE_DEVICES": None}
    assert first["memory"] == 2**31
    assert first["cwd"] == str(Path.cwd())
    assert first["stdin"] == "/dev/null"
    assert first["sigint_ignored"]
    assert first["sigterm_default"]
    assert first["blocked"] == []
    assert first["group"] == first["pid"] != second["pid"]
    assert dict(os.environ) == before
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_the_server_imports_what_it_can(open_executor: Open, new_folder: NewFolder) -> None:
    executor = open_executor("describe", preload=["no_such_module", "json.no_such_module", "colorsys"])
    assert ask(executor, new_folder())["colorsys"]
    executor.close()
    assert not ask(open_executor("describe"), new_folder())["colorsys"]


def test_a_server_that_cannot_start_says_so(
    open_executor: Open, new_folder: NewFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = new_folder()
    (folder / "broken_module.py").write_text("raise SystemError", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    with pytest.raises(RuntimeError, match="no process can be started"):
        open_executor("nothing", preload=["broken_module"]).submit(new_folder())


def test_each_worker_has_its_device(open_executor: Open, new_folder: NewFolder) -> None:
    executor = open_executor("sleep", 4, devices=["4", "GPU-a", "5"])
    folders = [new_folder() for _ in range(5)]
    futures = [executor.submit(folder) for folder in folders[:4]]
    with pytest.raises(RuntimeError, match="all 4 workers are taken"):
        executor.submit(folders[4])
    with pytest.raises(RuntimeError, match="its trial is running"):
        executor.submit(folders[0])
    # The second worker comes free, and its device goes to the next trial.
    pid_in(folders[1])
    executor.kill(folders[1])
    assert futures[1].result(5) == KILLED
    executor.submit(folders[4])
    for folder, device in zip(folders, ["4", "GPU-a", "5", "4", "GPU-a"], strict=True):
        pid_in(folder)
        assert (folder / "device").read_text(encoding="utf-8") == device
    assert [future.done() for future in futures] == [False, True, False, False]


@pytest.mark.parametrize("method", METHODS)
def test_how_trials_end(method: str, open_executor: Open, new_folder: NewFolder) -> None:
    expected = {"raise": 1, "exit 0": 0, "exit 7": 7, "exit 255": 255, "exit with a text": 1, "os._exit 3": 3}
    expected |= {"segfault": -11, "kill 9": -9, "kill 15": -15}
    executor = open_executor("end", len(expected), start_method=method)
    folders = {how: new_folder() for how in expected}
    for how, folder in folders.items():
        (folder / "how").write_text(how, encoding="utf-8")
    futures = {how: executor.submit(folder) for how, folder in folders.items()}
    assert {how: future.result(20) for how, future in futures.items()} == expected
    logs = {how: Run(folder).log_file.read_text(encoding="utf-8") for how, folder in folders.items()}
    assert logs["raise"].rstrip().endswith("ValueError: a plain error")
    assert "Segmentation fault" in logs["segfault"]
    assert "fake_trials.py" in logs["raise"]
    assert "fake_trials.py" in logs["segfault"]
    assert logs["exit with a text"] == "a text\n"
    assert not any(logs[how] for how in ("exit 0", "exit 7", "os._exit 3", "kill 9", "kill 15"))


@pytest.mark.parametrize("method", METHODS)
def test_all_output_is_in_the_log(
    method: str, open_executor: Open, new_folder: NewFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    folder = new_folder()
    executor = open_executor("write", start_method=method)
    for _ in range(2):
        assert executor.submit(folder).result(20) == KILLED
    lines = ["from python", "from a descriptor", "from a child", "to stderr", "before the kill"]
    assert Run(folder).log_file.read_text(encoding="utf-8").splitlines() == lines * 2


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


@pytest.mark.parametrize(("method", "count"), [("forkserver", 100), ("spawn", 8)])
def test_descriptors_do_not_pile_up(method: str, count: int, open_executor: Open, new_folder: NewFolder) -> None:
    executor = open_executor("nothing", start_method=method)

    def run_one() -> int:
        assert executor.submit(new_folder()).result(20) == 0
        return len(list(Path("/proc/self/fd").iterdir()))

    num_open = run_one()
    assert [run_one() for _ in range(count)] == [num_open] * count


SWEEPER = """
import pathlib, sys, time
from rlhf_sweeps.sweep.executors import LocalProcesses
method, trial, folder, then = sys.argv[1:]
future = LocalProcesses(f"fake_trials.{trial}", 1, method, [], 1, []).submit(pathlib.Path(folder))
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


def test_the_sweepers_side_loads_no_torch() -> None:
    code = "import sys, rlhf_sweeps.sweep.executors; assert not {'torch', 'optuna', 'omegaconf'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_in_process_runs_here_and_calls_watch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    calls: list[str] = []
    with InProcess("fake_trials.call_watch") as executor:
        executor.watch = lambda: calls.append("watched")
        assert executor.submit(tmp_path).result(0) == 0
    assert calls == ["watched"]
    assert pid_in(tmp_path) == os.getpid()
    executor = InProcess("fake_trials.end")
    for how, status in {"raise": 1, "exit 0": 0, "exit 7": 7, "exit with a text": 1}.items():
        (tmp_path / "how").write_text(how, encoding="utf-8")
        assert executor.submit(tmp_path).result(0) == status
    printed = capsys.readouterr().err
    assert "ValueError: a plain error" in printed
    assert printed.endswith("a text\n")
    (tmp_path / "how").write_text("interrupt", encoding="utf-8")
    with pytest.raises(KeyboardInterrupt):
        executor.submit(tmp_path)
    assert InProcess("fake_trials.no_such_function").submit(tmp_path).result(0) == 1


def test_without_a_fork_server_trials_start_afresh(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(preload: object) -> None:
        raise OSError("AF_UNIX path too long")

    monkeypatch.setattr(system, "open_server", fail)
    starter = Starter("forkserver", 1, [])
    assert starter._method == system.start_method("spawn")
    assert "no fork server can be had (AF_UNIX path too long); each trial loads torch anew" in caplog.text
