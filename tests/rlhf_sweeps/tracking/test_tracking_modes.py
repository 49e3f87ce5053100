"""Whether a run is online, offline or not tracked at all, and the few lines that say so."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.trackers import KEY, SCRIPT, run_python, said, start, upload
from helpers.trackers import machine as machine
from helpers.trackers import server as server
from helpers.wandb_stub import WandbStub

from analysis.reading.wandb_logs import read_log

pytestmark = pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning")  # wandb's own, from Table


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
