"""Ctrl-C, SIGTERM and other signals to a sweeper or to one of its trials: what runs is saved, and goes on."""

import contextlib
import os
import re
import shlex
import signal
import sys
from pathlib import Path

import pytest
from helpers.sweeper_processes import (
    COMPLETE,
    FAIL,
    INTERRUPTED,
    NUM_UPDATES,
    check_all,
    end,
    gone,
    grid,
    servers_of,
    text,
)
from helpers.sweeper_processes import folder as folder
from helpers.sweeping import (
    descendants,
    misbehave,
    start,
    start_sweep,
    starts,
    trials,
    until,
    updates,
)

from rlhf_sweeps.record import Run

COMMAND = ["python", "-m", "rlhf_sweeps", "-m"]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.mark.parametrize("to_group", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_ctrl_c_saves_what_runs_and_prints_the_command_that_finishes(folder: Path, to_group: bool) -> None:
    misbehave(folder, seconds_each=0.03)
    process = start_sweep(folder, grid(3))
    until(lambda: updates(folder / "0") >= 6 and updates(folder / "1") >= 6)
    (os.killpg if to_group else os.kill)(process.pid, signal.SIGINT)
    assert end(process) == INTERRUPTED
    for number in (0, 1):
        run = Run(folder / str(number))
        assert (run.summary() or {})["stop_reason"] == "interrupted"
        assert int((run.folder / "fake_checkpoint").read_text()) == len(run.metrics()) < NUM_UPDATES
    assert not (folder / "2").exists()
    [command] = re.findall(r"^Continue with: (.*)$", text(folder), re.MULTILINE)
    words = shlex.split(command)
    assert words[:4] == COMMAND
    assert end(start(words[4:], folder)) == 0
    assert [starts(folder / str(number)) for number in range(3)] == [2, 2, 1]
    check_all(folder, 3)
    assert all(line.startswith(("start", "update", "checkpoint", "end")) for line in text_of_history(folder))
    for number in (0, 1):  # nothing was done twice
        history = (folder / str(number) / "history").read_text(encoding="utf-8")
        assert history.count("update ") == NUM_UPDATES


def text_of_history(folder: Path) -> list[str]:
    return [line for path in folder.glob("[0-9]*/history") for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.slow
def test_a_second_ctrl_c_ends_at_once(folder: Path) -> None:
    misbehave(folder, trial_0={"4": "hang_once"})
    process = start_sweep(folder, grid(2))
    until(lambda: (folder / "0" / "misbehaved_4").exists())
    others = descendants(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    until(lambda: Run(folder / "0").stop_reason() == "interrupted")
    os.killpg(process.pid, signal.SIGINT)
    assert end(process, 20) == INTERRUPTED  # the trial hangs for 1,000 s
    until(lambda: gone(*others))
    assert end(start_sweep(folder, grid(2))) == 0
    check_all(folder, 2)


@pytest.mark.slow
def test_sigterm_to_one_trial_costs_that_trial_a_restart_and_the_sweep_nothing(folder: Path) -> None:
    """As from earlyoom, or `kill`: the sweeper did not ask for it."""
    misbehave(folder, seconds_each=0.03, trial_0={"8": "sigterm_once"})
    process = start_sweep(folder, grid(3))
    assert end(process) == 0
    assert [starts(folder / str(number)) for number in range(3)] == [2, 1, 1]
    check_all(folder, 3)
    told = "trial 0: lost its process, starting it again (1 of 2): stopped by a signal that is not the sweep's"
    assert told in text(folder)
    assert "Continue with" not in text(folder)


@pytest.mark.slow
def test_a_trial_that_gets_sigterm_every_time_has_failed_alone(folder: Path) -> None:
    misbehave(folder, trial_1={"12": "sigterm", "13": "sigterm", "14": "sigterm"})
    assert end(start_sweep(folder, grid(3), "sweep.retries=2")) == 0
    assert [trial.state for trial in trials(folder)] == [COMPLETE, FAIL, COMPLETE]
    assert trials(folder)[1].user_attrs["cause"] == "lost_process"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP])
def test_what_a_scheduler_or_a_terminal_sends_stops_the_sweep_as_sigterm_does(
    number: signal.Signals, folder: Path
) -> None:
    """To the sweeper and all its processes, as Slurm does it."""
    misbehave(folder, seconds_each=0.03)
    process = start_sweep(folder, grid(3))
    until(lambda: updates(folder / "0") >= 6 and updates(folder / "1") >= 6)
    for pid in {process.pid, *descendants(process.pid)} - set(servers_of(process)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
    assert end(process) == INTERRUPTED
    assert "Continue with" in text(folder)
    assert end(start_sweep(folder, grid(3))) == 0
    check_all(folder, 3)


@pytest.mark.slow
def test_sigterm_to_the_sweeper_stops_the_sweep(folder: Path) -> None:
    misbehave(folder, seconds_each=0.03)
    process = start_sweep(folder, grid(3))
    until(lambda: updates(folder / "0") >= 6 and updates(folder / "1") >= 6)
    os.kill(process.pid, signal.SIGTERM)
    assert end(process) == INTERRUPTED
    assert (Run(folder / "0").summary() or {})["stop_reason"] == "interrupted"
    assert end(start_sweep(folder, grid(3))) == 0
    check_all(folder, 3)
