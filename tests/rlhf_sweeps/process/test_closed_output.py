"""A command whose reader has gone, as in `... | head -1`: no traceback, and the exit status says what happened."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

START = "import logging, sys; from rlhf_sweeps.process.closed_output import LogHandler, tolerate_closed_output\n"


def run_unread(arguments: list[str], folder: Path, variables: dict[str, str] | None = None) -> tuple[int, str]:
    """Run Python with a stdout whose other end is closed; returns the exit status and stderr."""
    reading, writing = os.pipe()
    os.close(reading)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "", **(variables or {})}
    started = [sys.executable, *arguments]
    done = subprocess.run(started, cwd=folder, env=environment, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    return done.returncode, done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of Windows cannot be asked")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "words",
    [
        "rlhf_sweeps --help",
        "rlhf_sweeps --version",
        "rlhf_sweeps --cfg job",
        "rlhf_sweeps reward-models --help",
        "rlhf_sweeps sample --help",
        "rlhf_sweeps.sample --help",
        "analysis --help",
        "analysis --version",
    ],
)
def test_an_answer_without_a_reader_ends_quietly(words: str, unbuffered: str, tmp_path: Path) -> None:
    variables = {"PYTHONUNBUFFERED": unbuffered}
    assert run_unread(["-m", *words.split()], tmp_path, variables) == (0, "")


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of Windows cannot be asked")
@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("print('x' * 10**6)", 0, ""),
        ("print('x'); sys.exit(3)", 3, ""),
        ("h = LogHandler(sys.stdout); logging.getLogger().addHandler(h); [logging.error('x')] * 2; sys.exit(4)", 4, ""),
    ],
)
def test_the_exit_status_stays(code: str, status: int, said: str, tmp_path: Path) -> None:
    program = f"{START}with tolerate_closed_output():\n    {code}"
    assert run_unread(["-c", program], tmp_path) == (status, said)


def test_another_broken_pipe_is_an_error(tmp_path: Path) -> None:
    program = f"{START}with tolerate_closed_output():\n    raise BrokenPipeError('of another pipe')"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.endswith("BrokenPipeError: of another pipe\n")
