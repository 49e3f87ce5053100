"""Where trials run: how they start, what they find, and how they end."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from helpers.opened_executors import KILLED, METHODS, NewFolder, Open, pid_in
from helpers.opened_executors import new_folder as new_folder
from helpers.opened_executors import open_executor as open_executor

from rlhf_sweeps.platforms import system
from rlhf_sweeps.record import Run
from rlhf_sweeps.sweep.execution.executors import Executor, InProcess
from rlhf_sweeps.sweep.execution.processes import Starter

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def ask(executor: Executor, folder: Path) -> dict[str, Any]:
    """What the trial `describe` finds there."""
    assert executor.submit(folder).result(20) == 0
    found: dict[str, Any] = json.loads((folder / "found.json").read_text(encoding="utf-8"))
    return found


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


@pytest.mark.parametrize(("method", "count"), [("forkserver", 100), ("spawn", 8)])
def test_descriptors_do_not_pile_up(method: str, count: int, open_executor: Open, new_folder: NewFolder) -> None:
    executor = open_executor("nothing", start_method=method)

    def run_one() -> int:
        assert executor.submit(new_folder()).result(20) == 0
        return len(list(Path("/proc/self/fd").iterdir()))

    num_open = run_one()
    assert [run_one() for _ in range(count)] == [num_open] * count


def test_the_sweepers_side_loads_no_torch() -> None:
    code = "import sys, rlhf_sweeps.sweep.execution.executors as _; loaded = set(sys.modules)\n"
    code += "assert not {'torch', 'optuna', 'omegaconf'} & loaded"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_in_process_runs_here_and_calls_watch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    calls: list[str] = []
    with InProcess("helpers.fake_trials.call_watch") as executor:
        executor.watch = lambda: calls.append("watched")
        assert executor.submit(tmp_path).result(0) == 0
    assert calls == ["watched"]
    assert pid_in(tmp_path) == os.getpid()
    executor = InProcess("helpers.fake_trials.end")
    for how, status in {"raise": 1, "exit 0": 0, "exit 7": 7, "exit with a text": 1}.items():
        (tmp_path / "how").write_text(how, encoding="utf-8")
        assert executor.submit(tmp_path).result(0) == status
    printed = capsys.readouterr().err
    assert "ValueError: a plain error" in printed
    assert printed.endswith("a text\n")
    (tmp_path / "how").write_text("interrupt", encoding="utf-8")
    with pytest.raises(KeyboardInterrupt):
        executor.submit(tmp_path)
    assert InProcess("helpers.fake_trials.no_such_function").submit(tmp_path).result(0) == 1


def test_without_a_fork_server_trials_start_afresh(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(preload: object) -> None:
        raise OSError("AF_UNIX path too long")

    monkeypatch.setattr(system, "open_server", fail)
    starter = Starter("forkserver", 1, [])
    starter.prepare()
    assert starter._method == system.start_method("spawn")
    assert "no fork server can be started (AF_UNIX path too long); each trial loads torch itself" in caplog.text
