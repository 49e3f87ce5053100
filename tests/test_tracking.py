"""The real wandb client against a local stand-in for its server, offline, and broken in every way seen so far."""

import json
import logging
import math
import os
import pty
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from wandb_stub import Tracking, WandbStub

from analysis.reading.wandb_logs import read_log
from rlhf_sweeps import tracking
from rlhf_sweeps.tracking import Tracker

pytestmark = pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning")  # wandb's own, from Table

KEY = "0123456789" * 4


CONFIG: Any = Tracking("auto", tags=["toy"])


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Path]:
    """A machine where nobody has used W&B, and its processes gone afterwards."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("NETRC", str(home / ".netrc"))
    monkeypatch.setenv("PYTHONPATH", str(Path(tracking.__file__).parents[1]))
    monkeypatch.setenv("WANDB_DISABLE_GIT", "true")
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.INFO, logger="rlhf_sweeps")
    yield tmp_path
    if (wandb := sys.modules.get("wandb")) is not None:
        wandb.teardown()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WandbStub]:
    with WandbStub() as stub:
        monkeypatch.setenv("WANDB_BASE_URL", stub.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        yield stub


def start(run_id: str = "abc", config: Any = CONFIG, axis: str = "update", **changes: Any) -> Tracker:
    return tracking.start(
        replace(config, **changes),
        run_dir=Path("outputs/sweep/0").absolute(),
        run_id=run_id,
        name="lr=1e-5",
        group="sweep",
        job_type="train",
        settings={"seed": 1, "ppo": {"lr": 1e-5, "betas": [0.9, 0.95]}, "note": None},
        axis=axis,
    )


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """The level and text of our own lines; pytest's handler also sees wandb's, which reach no console."""
    return [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "rlhf_sweeps"]


def unused_url() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def run_python(code: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", code], text=True, check=True, capture_output=True, **options)


def upload(command: str) -> None:
    """Do what a user does with the command in a message."""
    subprocess.run([sys.executable, "-m", *shlex.split(command)], check=True, capture_output=True, timeout=60)


def test_an_online_run_sends_everything(
    server: WandbStub, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")  # an explicit mode wins
    before = dict(os.environ)
    tracker = start(mode="online", log_model=True)
    tracker.log({"update": 1, "eval/score": 3.0, "eval/kl": 0.5, "loss/policy_avg": 0.1})
    tracker.log({"update": 2, "eval/score": 2.0, "eval/kl": 0.7, "loss/policy_avg": float("nan")})
    rows = [
        {"update": 2, "prompt": "Hi", "response": "Ho", "score": 1, "base_response": None, "base_score": None},
        {"update": 2, "prompt": "A", "response": "B", "score": -0.5, "base_response": "C", "base_score": "x"},
    ]
    tracker.log_samples(rows)
    model = Path("model")
    model.mkdir()
    (model / "config.json").write_text("{}")
    tracker.finish(exit_code=3, summary={"objective": 1.5, "status": "done", "nested": {"no": 1}}, model_dir=model)

    run = server.runs["abc"]
    first = run.upserts[0]
    assert first["project"] == "ppo"
    assert first["groupName"] == "sweep"
    assert first["displayName"] == "lr=1e-5"
    assert first["jobType"] == "train"
    assert first["tags"] == ["toy"]
    assert run.config == {"seed": 1, "ppo": {"lr": 1e-5, "betas": [0.9, 0.95]}, "note": None}
    assert [row["update"] for row in run.history] == [1, 2, 2]
    assert run.history[0]["loss/policy_avg"] == 0.1
    assert math.isnan(run.history[1]["loss/policy_avg"])
    assert run.summary["eval/score"] == {"max": 3}
    assert run.summary["eval/kl"] == {"last": 0.7}
    assert run.summary["objective"] == 1.5
    assert run.summary["status"] == "done"
    assert "nested" not in run.summary
    assert run.exit_code == 3
    table = json.loads(run.files[run.history[2]["samples"]["path"]])
    assert table["columns"] == ["update", "prompt", "response", "score", "base_response", "base_score"]
    assert table["data"] == [[2, "Hi", "Ho", 1, None, None], [2, "A", "B", -0.5, "C", "x"]]
    artifacts = [variables["input"] for name, variables in server.requests if name == "CreateArtifact"]
    assert ("model-abc", "model") in {(a["artifactCollectionName"], a["artifactTypeName"]) for a in artifacts}
    assert said(caplog) == []
    assert dict(os.environ) == before


def test_update_is_the_x_axis_of_every_metric(server: WandbStub) -> None:
    tracker = start()
    tracker.log({"update": 7, "eval/score": 1.0})
    tracker.finish(exit_code=0, summary={})
    defined = json.loads(server.runs["abc"].upserts[-1]["config"])["_wandb"]["value"]["m"]
    # W&B's numbering: 1 name, 2 pattern, 5 the x axis as a position in this list (from 1)
    x_axes = {m.get("1") or m.get("2"): defined[m["5"] - 1]["1"] for m in defined if "5" in m}
    assert x_axes["*"] == "update"
    assert x_axes["eval/score"] == "update"


def test_a_table_on_another_axis(server: WandbStub) -> None:
    tracker = start(axis="trial")
    tracker.log_table("trials", ["trial", "lr"], [(0, 0.5), (1, None), (2, "auto")], at={"trial": 3})
    tracker.finish(exit_code=0, summary={})
    run = server.runs["abc"]
    (row,) = run.history
    assert row["trial"] == 3
    table = json.loads(run.files[row["trials"]["path"]])
    assert table["columns"] == ["trial", "lr"]
    assert table["data"] == [[0, 0.5], [1, None], [2, "auto"]]
    defined = json.loads(run.upserts[-1]["config"])["_wandb"]["value"]["m"]
    assert {m.get("1") or m.get("2"): defined[m["5"] - 1]["1"] for m in defined if "5" in m}["*"] == "trial"


def test_the_same_id_attaches_to_the_same_run(server: WandbStub) -> None:
    for update in (1, 2):
        tracker = start()
        tracker.log({"update": update})
        tracker.finish(exit_code=0, summary={})
    assert list(server.runs) == ["abc"]
    assert [(row["_step"], row["update"]) for row in server.runs["abc"].history] == [(0, 1), (1, 2)]


def test_two_open_runs_in_one_process_stay_apart(server: WandbStub) -> None:
    first, second = start("one"), start("two")
    first.log({"update": 1})
    second.log({"update": 10})
    first.log({"update": 2})
    second.finish(exit_code=0, summary={})
    first.finish(exit_code=1, summary={})
    assert {run_id: [row["update"] for row in run.history] for run_id, run in server.runs.items()} == {
        "one": [1, 2],
        "two": [10],
    }
    assert (server.runs["one"].exit_code, server.runs["two"].exit_code) == (1, 0)


def test_the_command_that_an_offline_run_names_uploads_all_of_it(
    server: WandbStub, caplog: pytest.LogCaptureFixture
) -> None:
    for update in (1, 2):  # started, then continued
        tracker = start(mode="offline")
        tracker.log({"update": update})
        tracker.log_samples([{"update": update, "prompt": "p"}])
        tracker.finish(exit_code=0, summary={"objective": update})
    assert server.requests == []
    folders = sorted(Path("outputs/sweep/0/wandb").glob("offline-run-*-abc*"))
    assert len(folders) == 2
    command = said(caplog)[-1][1].split(": ", 1)[1]
    assert command == f"wandb sync {folders[0]} {folders[1]}"

    upload(command)
    run = server.runs["abc"]
    assert [row["update"] for row in run.history] == [1, 1, 2, 2]
    assert run.summary["objective"] == 2
    assert run.upserts[0]["groupName"] == "sweep"


def test_without_a_key_it_is_offline_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    tracker = start()
    ((level, message),) = said(caplog)
    assert level == "INFO"
    assert re.fullmatch(
        r"W&B is offline \(no API key, see `wandb login`\); to upload this run: "
        r"wandb sync outputs/sweep/0/wandb/offline-run-\d+_\d+-abc",
        message,
    )
    tracker.finish(exit_code=0, summary={})
    assert len(said(caplog)) == 2


def test_online_as_configured_but_without_a_key_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    start(mode="online").finish(exit_code=0, summary={})
    assert [level for level, _ in said(caplog)] == ["WARNING", "INFO"]


def test_a_key_that_login_has_stored_is_found(server: WandbStub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY")
    netrc = Path(os.environ["NETRC"])
    netrc.write_text(f"machine {server.url.removeprefix('http://')} login user password {KEY}\n")
    netrc.chmod(0o600)
    start().finish(exit_code=0, summary={})
    assert list(server.runs) == ["abc"]


def test_wandb_mode_decides_for_auto(server: WandbStub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(Path("elsewhere").absolute()))
    start().finish(exit_code=0, summary={})
    assert server.runs == {}
    assert len(list(Path("elsewhere/wandb").glob("offline-run-*-abc"))) == 1
    assert not Path("outputs").exists()


def test_wandb_offline_decides_for_auto(server: WandbStub) -> None:
    stored = Path.home() / ".config/wandb/settings"
    stored.parent.mkdir(parents=True)
    stored.write_text("[default]\nmode = offline\n")  # what the command `wandb offline` writes
    start().finish(exit_code=0, summary={})
    assert server.runs == {}


SCRIPT = """
import logging, sys
from pathlib import Path
from types import SimpleNamespace
logging.basicConfig(level=logging.INFO, format="%(name)s|%(message)s", stream=sys.stdout)
from analysis.reading.wandb_logs import read_log
from rlhf_sweeps import tracking
config = SimpleNamespace(
    mode={mode!r}, project="p", entity=None, tags=[], log_model=False, init_timeout=2.0, finish_timeout=2.0
)
tracker = tracking.start(
    config, run_dir=Path("run"), run_id="abc", name="n", group=None, job_type="train", settings={{}}
)
tracker.log({{"update": 1}})
tracker.log_samples([{{"update": 1, "prompt": "p"}}])
tracker.finish(exit_code=0, summary={{"objective": 1}}, model_dir=Path("model"))
print("wandb" in sys.modules, "torch" in sys.modules)
"""


def run_in_terminal(code: str) -> list[str]:
    """The lines that a user sees; a question at the terminal would wait for an answer that never comes."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", code], stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    try:
        assert process.wait(timeout=30) == 0
        return os.read(ours, 1 << 16).decode().splitlines()
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_in_a_terminal_only_our_two_lines_are_printed() -> None:
    lines = run_in_terminal(SCRIPT.format(mode="auto"))
    assert len(lines) == 3, lines
    assert lines[0].startswith("rlhf_sweeps|W&B is offline")
    assert lines[1].startswith("rlhf_sweeps|W&B was offline")
    assert lines[2] == "True False"


def test_in_a_terminal_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_SILENT", "false")  # else that alone would keep wandb from asking
    lines = run_in_terminal(SCRIPT.format(mode="online"))
    assert any(line.startswith("rlhf_sweeps|W&B is offline (no API key") for line in lines)


@pytest.mark.parametrize(("mode", "environment"), [("disabled", {}), ("auto", {"WANDB_MODE": "disabled"})])
def test_disabled_does_not_even_import_wandb(mode: str, environment: dict[str, str]) -> None:
    done = run_python(SCRIPT.format(mode=mode), env={**os.environ, **environment})
    assert done.stdout == "False False\n"
    assert done.stderr == ""


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
    monkeypatch.setattr(tracking, "_FROZEN", 0.1)
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
    monkeypatch.setattr(tracking, "_PATIENCE", 0.0)
    tracker = start()
    for update in (1, 2):
        tracker.log_samples([{"update": update, "prompt": "p"}])
        tracker.log({"update": update, "loss/policy_avg": 0.0})
    tracker.finish(exit_code=0, summary={})
    history = server.runs["abc"].history
    assert [row["update"] for row in history if "samples" in row] == [1]
    assert [row["update"] for row in history if "loss/policy_avg" in row] == [1, 2]
    assert said(caplog) == [("WARNING", "W&B gets no more samples of this run: the server does not answer")]


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


def test_a_run_that_goes_on_has_not_ended(server: WandbStub) -> None:
    """What an earlier start has said of its end is taken back at once, as the record does: the next may be killed."""
    first = {"status": "stopped", "stop_reason": "waiting", "objective": 1.5, "seconds": 3.0}
    start().finish(exit_code=0, summary=first)
    assert server.runs["abc"].summary.items() >= first.items()
    tracker = start()
    tracker.log({"update": 1})
    tracker.finish(exit_code=1, summary={})
    assert not first.keys() & server.runs["abc"].summary.keys()


def test_what_is_none_is_taken_back(server: WandbStub) -> None:
    start().finish(exit_code=0, summary={"importance/lr": 0.5, "importance/kl": 0.5})
    start().finish(exit_code=0, summary={"importance/lr": 1.0, "importance/kl": None, "importance/never": None})
    assert {key: x for key, x in server.runs["abc"].summary.items() if key.startswith("imp")} == {"importance/lr": 1.0}


def test_an_offline_run_that_went_on_has_one_end(server: WandbStub, caplog: pytest.LogCaptureFixture) -> None:
    for summary in (
        {"status": "stopped", "stop_reason": "waiting"},
        {"status": "failed", "cause": "error", "message": "no"},
        {"status": "complete", "stop_reason": None},
    ):
        tracker = start(mode="offline")
        tracker.log({"update": 1})
        tracker.finish(exit_code=0, summary=summary)
    upload(said(caplog)[-1][1].split(": ", 1)[1])
    ending = {"status", "stop_reason", "cause", "message"}
    assert {key: x for key, x in server.runs["abc"].summary.items() if key in ending} == {"status": "complete"}
    newest = max(Path("outputs/sweep/0/wandb").glob("offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime_ns)
    assert read_log(newest).summary.items() >= {"status": "complete"}.items()
