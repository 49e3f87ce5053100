"""W&B broken in every way seen so far: it costs a warning and a little time, and never a row or the run."""

import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any, cast

import pytest
from helpers.trackers import KEY, SCRIPT, run_python, said, start, unused_url, upload
from helpers.trackers import machine as machine
from helpers.trackers import server as server
from helpers.wandb_stub import WandbStub

from rlhf_sweeps.tracking import wandb_run as tracking
from rlhf_sweeps.tracking.wandb_run import Tracker

pytestmark = pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning")  # wandb's own, from Table


def test_an_unreachable_server_means_offline_soon(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", unused_url())
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    began = time.monotonic()
    tracker = start(init_timeout=1.0)
    assert time.monotonic() - began < 6
    tracker.log({"update": 1})
    tracker.finish(exit_code=0, summary={})
    assert [level for level, _ in said(caplog)] == ["WARNING", "INFO"]
    assert "connection refused" in said(caplog)[0][1]
    assert "\n" not in said(caplog)[0][1]
    (folder,) = Path("outputs/sweep/0/wandb").glob("offline-run-*-abc")
    assert said(caplog)[1][1].endswith(f"wandb sync {folder}")


def test_a_server_that_refuses_the_run_means_offline(
    server: WandbStub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(operation: str, variables: dict[str, Any]) -> dict[str, Any]:
        raise NotImplementedError("permission denied")

    monkeypatch.setattr(server, "graphql", refuse)
    start().finish(exit_code=0, summary={})
    assert "permission denied" in said(caplog)[0][1]
    assert "wandb sync outputs/" in said(caplog)[1][1]


def test_a_server_that_dies_costs_finish_timeout_and_no_row(
    server: WandbStub, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = start(finish_timeout=2.0)
    server.stop()
    began = time.monotonic()
    for update in range(50):
        tracker.log({"update": update})
    assert time.monotonic() - began < 1
    tracker.finish(exit_code=0, summary={"objective": 1.0})
    assert time.monotonic() - began < 6
    ((level, message),) = said(caplog)
    assert level == "WARNING"
    command = message.split(": ", 1)[1]

    with WandbStub() as recovered:
        monkeypatch.setenv("WANDB_BASE_URL", recovered.url)
        upload(command)
        assert [row["update"] for row in recovered.runs["abc"].history] == list(range(50))


def test_a_frozen_process_costs_finish_timeout_and_no_more(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As a SIGSTOP or a machine that swaps leaves it: it answers nothing, and keeps no time of its own."""
    import wandb

    monkeypatch.setattr(tracking, "_GRACE", 0.2)
    tracker = start(mode="offline", finish_timeout=0.5)
    tracker.log({"update": 1})
    process = wandb.setup()._connection._proc._process
    os.kill(process.pid, signal.SIGSTOP)
    began = time.monotonic()
    tracker.finish(exit_code=0, summary={"objective": 1.0})
    assert 0.7 <= time.monotonic() - began < 5
    assert process.wait(timeout=5) == -signal.SIGKILL
    wandb.teardown()  # as at the end of this process, which is not held up
    assert [level for level, _ in said(caplog)] == ["INFO", "WARNING"]
    assert "not taken the whole run in time; to upload the rest: wandb sync " in said(caplog)[1][1]


def test_a_process_that_takes_nothing_is_given_nothing_more(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tracking, "_FROZEN_AFTER", 0.1)
    held, logged = threading.Event(), []

    class Frozen:
        offline, sync_dir, id = True, "wandb/offline-run-1-abc/x", "abc"

        def log(self, row: object) -> None:
            logged.append(row)
            held.wait(20)

    tracker = Tracker(cast(Any, Frozen()))
    tracker.log({"update": 1})
    tracker.log({"update": 2})
    tracker.log_samples([{"update": 2, "prompt": "p"}])
    held.set()
    assert logged == [{"update": 1}]
    assert said(caplog) == [("WARNING", "W&B is off for the rest of this run, training goes on: TimeoutError")]


@pytest.mark.slow
def test_samples_wait_for_a_dead_server_only_once(server: WandbStub, caplog: pytest.LogCaptureFixture) -> None:
    tracker = start(finish_timeout=1.0)
    tracker.log_samples([{"update": 1, "prompt": "p"}])
    server.stop()
    began = time.monotonic()
    for update in range(2, 6):
        tracker.log_samples([{"update": update, "prompt": "p"}])
        tracker.log({"update": update})
    assert time.monotonic() - began < 30
    tracker.finish(exit_code=0, summary={})
    assert [level for level, _ in said(caplog)] == ["WARNING", "WARNING"]
    assert "no more samples" in said(caplog)[0][1]


@pytest.mark.slow
def test_a_server_that_never_answers_holds_up_neither_start_nor_exit() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(16)
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        environment = {**os.environ, "WANDB_BASE_URL": url, "WANDB_API_KEY": KEY}
        began = time.monotonic()
        done = run_python(SCRIPT.format(mode="auto"), env=environment, timeout=60)
        assert time.monotonic() - began < 12
    assert "deadline exceeded" in done.stdout
    assert done.stderr == ""


def test_slow_samples_are_given_up_and_metrics_go_on(
    server: WandbStub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tracking, "_TABLE_PATIENCE", 0.0)
    tracker = start()
    for update in (1, 2):
        tracker.log_samples([{"update": update, "prompt": "p"}])
        tracker.log({"update": update, "loss/policy_avg": 0.0})
    tracker.finish(exit_code=0, summary={})
    history = server.runs["abc"].history
    assert [row["update"] for row in history if "samples" in row] == [1]
    assert [row["update"] for row in history if "loss/policy_avg" in row] == [1, 2]
    assert said(caplog) == [("WARNING", "no more samples of this run are sent to W&B: the server does not answer")]


class BrokenRun:
    """Every use of it raises what it was made with."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        raise self._error


def test_a_wandb_that_raises_costs_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    broken: Any = BrokenRun(RuntimeError("boom\nand more"))
    tracker = Tracker(broken)
    for update in (1, 2):
        tracker.log({"update": update})
        tracker.log_samples([{"update": update}])
    tracker.finish(exit_code=0, summary={"objective": 1.0})
    tracker.finish(exit_code=0, summary={})
    assert [level for level, _ in said(caplog)] == ["WARNING"]
    assert "RuntimeError: boom and more" in said(caplog)[0][1]


def test_a_broken_run_is_closed_all_the_same(server: WandbStub, monkeypatch: pytest.MonkeyPatch) -> None:
    import wandb

    tracker = start()
    tracker.log({"update": 1})
    monkeypatch.setattr(wandb.Run, "log", lambda *_: 1 / 0)
    tracker.log({"update": 2})
    tracker.finish(exit_code=0, summary={})
    assert server.runs["abc"].exit_code == 0


@pytest.mark.parametrize("use", ["log", "log_samples", "finish"])
def test_an_interrupt_gets_through(use: str) -> None:
    interrupted: Any = BrokenRun(KeyboardInterrupt())
    tracker = Tracker(interrupted)
    calls = {
        "log": lambda: tracker.log({"update": 1}),
        "log_samples": lambda: tracker.log_samples([{"update": 1}]),
        "finish": lambda: tracker.finish(exit_code=0, summary={}),
    }
    with pytest.raises(KeyboardInterrupt):
        calls[use]()


def test_a_missing_wandb_costs_one_warning(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "wandb", None)
        tracker = start(mode="offline")
        tracker.log({"update": 1})
        tracker.finish(exit_code=0, summary={})
    assert [level for level, _ in said(caplog)] == ["WARNING"]
