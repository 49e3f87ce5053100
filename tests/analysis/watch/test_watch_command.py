"""`analysis watch` as a command: its arguments, a pipe, and a terminal, which it leaves as it was."""

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from helpers.records import rows, summary, write_sweep
from helpers.watched import POINTS, plan_of, unfinish
from helpers.watched import from_here as from_here

from analysis.command import main
from analysis.watch.watch import watch
from analysis.wording.errors import AnalysisError
from rlhf_sweeps.record.files import claim


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nowhere/s", "there is no such folder"),
        ("gird", "there is no such folder; did you mean "),
        ("file", "must be the folder of a run or sweep"),
        ("empty", "holds no run and no sweep yet"),
    ],
)
def test_a_wrong_path_is_one_line(tmp_path: Path, name: str, expected: str) -> None:
    (tmp_path / "grid").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(AnalysisError, match=expected) as caught:
        watch(tmp_path / name, once=True)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("interval", [0.0, -1.0, float("nan"), float("inf")])
def test_an_interval_is_above_zero(tmp_path: Path, interval: float) -> None:
    with pytest.raises(AnalysisError, match="--interval="):
        watch(tmp_path, interval=interval)


def command(folder: Path, *more: str) -> list[str]:
    """To be run in the folder's parent: a path of any length would break the lines elsewhere."""
    return [sys.executable, "-m", "analysis", "watch", folder.name, *more]


def test_a_folder_has_the_name_by_which_the_other_commands_print_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sweep(tmp_path / "s", POINTS, study=False)
    monkeypatch.chdir(tmp_path)
    printed = []
    for folder in ("s", f"{tmp_path}/s", "./s/"):
        assert main(["watch", "--once", folder]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] == printed[2]
    assert str(tmp_path) not in printed[0]


@pytest.mark.parametrize("more", [["--once"], []])
def test_in_a_pipe_it_is_plain_lines(tmp_path: Path, more: list[str]) -> None:
    sweep = write_sweep(tmp_path / "s", POINTS, study=False)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "FORCE_COLOR": "1", "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command(sweep.folder, *more), cwd=tmp_path, env=environment, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\x1b" not in done.stdout
    assert len(done.stdout.splitlines()) == 3 + len(POINTS)


class Terminal:
    """A command in a terminal of its own."""

    def __init__(self, words: list[str], place: Path) -> None:
        self.process, self.descriptor = pty.fork()
        self.output = ""
        if self.process == 0:
            os.chdir(place)
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell has it ignored in the background
            environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "100", "LINES": "20"}
            os.execve(words[0], words, {**environment, "PYTHONUTF8": "1"})

    def read(self, wanted: str, seconds: float = 30) -> None:
        """Read until a text is there; or to the end, if it is empty."""
        deadline = time.monotonic() + seconds
        while not (wanted and wanted in self.output):
            assert time.monotonic() < deadline, self.output[-2000:]
            if not select.select([self.descriptor], [], [], 0.1)[0]:
                continue
            try:
                content = os.read(self.descriptor, 1 << 16)
            except OSError:  # the other end is closed
                content = b""
            if not content:
                assert not wanted, self.output[-2000:]
                return
            self.output += content.decode("utf-8", "replace")

    def end(self) -> int:
        self.read("")
        status = os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])
        self.process = 0
        return status

    def close(self) -> None:
        if self.process:
            os.kill(self.process, signal.SIGKILL)
            os.waitpid(self.process, 0)
        os.close(self.descriptor)


@pytest.fixture
def terminal(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Starts a command in a terminal."""
    opened: list[Terminal] = []

    def start(folder: Path, *more: str) -> Terminal:
        opened.append(Terminal(command(folder, *more), folder.parent))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


def is_sane(output: str) -> bool:
    """Whether the cursor is back, and the screen as it was."""
    return output.rfind("\x1b[?25h") > output.rfind("\x1b[?25l") and output.rfind("\x1b[?1049l") > output.rfind(
        "\x1b[?1049h"
    )


def test_it_follows_a_sweep_from_before_its_beginning_to_its_end(tmp_path: Path, terminal: Any) -> None:
    shown = terminal(tmp_path / "s", "--interval", "0.1")
    shown.read("nothing there yet; waiting")
    with claim(tmp_path / "s", ""):
        sweep = write_sweep(tmp_path / "s", POINTS, study=False)
        plan_of(sweep.folder)
        unfinish(sweep.run(2, None), 12)
        shown.read("12/30")
        sweep.run(2, None).append_metrics(rows(30)[12])
        shown.read("13/30")
        sweep.run(2, None).write_summary(summary(rows(30)))
        shown.read("the sweeper is finishing")
    assert shown.end() == 0
    assert is_sane(shown.output)
    last = shown.output[shown.output.rfind("\x1b[?1049l") :]
    assert "3/3 trials done: 3 complete" in last  # which stays on the terminal


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_leaves_the_terminal_as_it_was(tmp_path: Path, terminal: Any, number: int, status: int) -> None:
    sweep = write_sweep(tmp_path / "s", POINTS, study=False)
    unfinish(sweep.run(2, None), 12)
    with claim(sweep.folder, ""):
        shown = terminal(sweep.folder)
        shown.read("12/30")
        if number == signal.SIGINT:
            os.write(shown.descriptor, b"\x03")
        else:
            os.kill(shown.process, number)
        assert shown.end() == status
    assert is_sane(shown.output)
    assert "Traceback" not in shown.output
