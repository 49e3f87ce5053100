"""Sweeps and trials that are killed, hang, exit or are interrupted: nothing is lost, and nothing is run twice."""

import contextlib
import math
import os
import random
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import SMALL
from optuna.trial import TrialState
from sweeping import (
    contents,
    descendants,
    is_alive,
    kill,
    misbehave,
    pids,
    printed,
    start,
    start_sweep,
    starts,
    sweep,
    trials,
    until,
    updates,
)

from rlhf_sweeps.fields import ConfigError
from rlhf_sweeps.runs import Run

COMPLETE, PRUNED, FAIL = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL
SEARCH = ("ppo.lr=tag(log,interval(1e-5,1e-2))", "ppo.kl_coef=tag(log,interval(0.001,1))")
NUM_UPDATES = 30  # of the fake trainer with the default config
BASE_SCORE = 0.0  # likewise
KL_BUDGET = 15.0  # objective.kl_budget by default
COMMAND = ["python", "-m", "rlhf_sweeps", "-m"]
INTERRUPTED = 130

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


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


@pytest.fixture(scope="module")
def rough(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grid of eight of which six go wrong, each in its own way, beside one that does not."""
    folder = tmp_path_factory.mktemp("rough") / "sweep"
    misbehave(
        folder,
        seconds_each=0.02,
        trial_0={"8": "kill_once"},
        trial_1={"12": "segfault_once"},
        trial_2={"7": "os_exit_once"},
        trial_3={"3": "exit"},
        trial_4={"9": "hang_once"},
        trial_5={"28": "kill_once", "29": "kill_once", "30": "kill_once"},
    )
    process = start_sweep(folder, grid(8), "sweep.update_timeout=2", "hydra.sweeper.max_failure_rate=1")
    assert end(process) == 0
    return folder


def test_whatever_ends_a_process_costs_its_own_trial_the_updates_since_its_checkpoint(rough: Path) -> None:
    assert [trial.state for trial in trials(rough)] == [COMPLETE] * 3 + [FAIL, COMPLETE, FAIL] + [COMPLETE] * 2
    assert [starts(rough / str(number)) for number in range(8)] == [2, 2, 2, 3, 2, 3, 1, 1]
    for number in (0, 1, 2, 4, 6, 7):
        check_history(rough / str(number))
        assert updates(rough / str(number)) == NUM_UPDATES
    begun = [line for line in (rough / "1" / "history").read_text().split("\n") if line.startswith("update")]
    assert len(begun) == NUM_UPDATES + 1  # update 11 twice: it came after the checkpoint, and 12 was not reached


def test_each_lost_process_is_told_with_how_it_ended(rough: Path) -> None:
    for number, how in enumerate(["ended by SIGKILL", "ended by SIGSEGV", "exit status 0, no summary"]):
        assert (
            f"trial {number}: lost its process, starting it again (1 of 2): {how}; see {rough / str(number)}"
            in text(rough)
        )
    assert "trial 4: no update for 2 s, ending it" in text(rough)
    assert "Segmentation fault" in (rough / "1" / "rlhf_sweeps.log").read_text(encoding="utf-8")


def test_a_trial_out_of_retries_has_failed_with_the_reason(rough: Path) -> None:
    for number, how in ((3, "exit status 3, no summary"), (5, "ended by SIGKILL")):
        notes = trials(rough)[number].user_attrs
        assert (notes["cause"], notes["message"]) == (
            "lost_process",
            f"{how}; see {rough / str(number) / 'rlhf_sweeps.log'}",
        )


@pytest.mark.slow
def test_a_killed_trial_is_started_again_at_once(folder: Path) -> None:
    misbehave(folder, seconds_each=0.03)
    process = start_sweep(folder, grid(2))
    until(lambda: updates(folder / "0") >= 6 and updates(folder / "1") >= 6)
    kill(*pids(folder / "0"))
    until(lambda: starts(folder / "0") == 2, 1)
    assert end(process) == 0
    assert starts(folder / "1") == 1
    check_all(folder, 2)


@pytest.mark.slow
def test_nothing_outlives_a_killed_sweeper_and_the_same_command_goes_on(folder: Path) -> None:
    misbehave(folder, seconds_each=0.03)
    process = start_sweep(folder, grid(3))
    until(lambda: updates(folder / "0") >= 6 and updates(folder / "1") >= 1)
    others = descendants(process.pid)
    assert set(pids(folder / "0") + pids(folder / "1")) < set(others)
    lose(process)
    until(lambda: gone(*others), 3)
    assert end(start_sweep(folder, grid(3))) == 0
    assert [starts(folder / str(number)) for number in range(3)] == [2, 2, 1]
    check_all(folder, 3)


@pytest.mark.slow
def test_a_sweep_goes_on_after_all_its_processes_were_killed(folder: Path) -> None:
    misbehave(folder, seconds_each=0.03)
    process = start_sweep(folder, grid(3))
    until(lambda: updates(folder / "0") >= 6 and updates(folder / "1") >= 1)
    lose(process, *descendants(process.pid))
    assert end(start_sweep(folder, grid(3))) == 0
    check_all(folder, 3)


@pytest.mark.slow
def test_a_killed_fork_server_is_replaced(folder: Path) -> None:
    misbehave(folder, seconds_each=0.03)
    process = start_sweep(folder, grid(3))
    until(lambda: updates(folder / "0") >= 6 and updates(folder / "1") >= 6)
    [server] = {int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) for pid in pids(folder / "0")}
    kill(server)
    assert end(process) == 0
    assert [starts(folder / str(number)) for number in range(3)] == [2, 2, 1]
    check_all(folder, 3)


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
def test_a_second_sweeper_is_refused_and_the_first_not_disturbed(folder: Path, tmp_path: Path) -> None:
    misbehave(folder, trial_0={"9": "hang_once"})
    process = start_sweep(folder, grid(2))
    until(lambda: (folder / "0" / "misbehaved_9").exists())
    files = [folder / name for name in ("sweeper.json", "multirun.yaml", "0/.hydra/config.yaml")]
    before = [path.stat().st_mtime_ns for path in files]
    second = start([*shlex.split(f"hydra.sweep.dir={folder} tracking=disabled"), grid(2)], tmp_path / "second")
    assert end(second) == 2
    *_, error = text(tmp_path / "second").splitlines()
    who = f"process {process.pid} on {socket.gethostname()} is sweeping there since "
    assert error.startswith(f"error: hydra.sweep.dir={folder}: {who}")
    assert "Traceback" not in text(tmp_path / "second")
    assert [path.stat().st_mtime_ns for path in files] == before
    kill(*pids(folder / "0"))
    assert end(process) == 0
    assert [starts(folder / str(number)) for number in range(2)] == [2, 1]
    check_all(folder, 2)


@pytest.mark.slow
def test_updates_that_are_done_again_are_a_sign_of_life(folder: Path) -> None:
    """Four of 0.6 s each, after the loss of a process, where two seconds without an update are too long."""
    misbehave(folder, seconds_each=0.6, trial_0={"5": "kill_once"})
    process = start_sweep(folder, grid(1), "sweep.update_timeout=2", "ppo.total_episodes=160")
    assert end(process) == 0
    assert starts(folder / "0") == 2


@pytest.mark.slow
def test_a_trial_that_is_lost_after_its_time_is_over_has_timed_out(folder: Path) -> None:
    """Each update says that it took 0.01 s; the eleventh is over the limit, and the twelfth never ends."""
    misbehave(folder, seconds_each=0.02, trial_0={"12": "hang"})
    limits = (f"sweep.trial_hours={0.105 / 3600}", "sweep.update_timeout=2")
    assert end(start_sweep(folder, grid(1), *limits)) == 1
    assert trials(folder)[0].user_attrs["cause"] == "timeout"
    assert starts(folder / "0") == 1
    assert "starting it again" not in text(folder)


@pytest.mark.slow
def test_a_signal_without_a_name_costs_the_sweep_no_more_than_others(folder: Path) -> None:
    misbehave(folder, trial_0={"2": "realtime_signal_once"})
    assert end(start_sweep(folder, grid(1))) == 0
    check_all(folder, 1)


def test_runs_that_the_study_does_not_know_are_not_taken_for_its_trials(folder: Path) -> None:
    """A deleted study.db, or another storage: new trials would get the old runs' results."""
    sweep(folder, *SEARCH, "hydra.sweeper.n_trials=2")
    before = [(folder / name / ".hydra" / "config.yaml").read_text(encoding="utf-8") for name in "01"]
    (folder / "study.db").unlink()
    with pytest.raises(ConfigError, match=rf"hydra\.sweep\.dir={re.escape(str(folder))}: .*study"):
        sweep(folder, *SEARCH, "hydra.sweeper.n_trials=2", "hydra.sweeper.seed=5")
    assert [(folder / name / ".hydra" / "config.yaml").read_text(encoding="utf-8") for name in "01"] == before


def kill_at_random(folder: Path, arguments: tuple[str, ...], workers: int, num_kills: int, seed: int) -> None:
    """Run a sweep to its end; until then SIGKILL a trial, the sweeper or everything, at random moments."""
    choose, victims = random.Random(seed), []
    process = start_sweep(folder, *arguments, workers=workers)

    def running() -> list[int]:
        newest = [pid for path in folder.glob("[0-9]*") for pid in pids(path)[-1:]]
        return [pid for pid in newest if is_alive(pid)]

    while len(victims) < num_kills and process.poll() is None:
        victims.append(choose.choice(("trial", "trial", "sweeper", "all")))
        if victims[-1] == "trial":
            until(running, 60)
        time.sleep(choose.uniform(0, 0.5))
        if victims[-1] == "trial":
            kill(*choose.sample(running(), 1) if running() else ())
            continue
        lose(process, *(descendants(process.pid) if victims[-1] == "all" else ()))
        process = start_sweep(folder, *arguments, workers=workers)
        time.sleep(choose.uniform(0, 2))  # its first trial is running then, or not quite
    assert end(process, 120) == 0, text(folder)
    assert len(victims) == num_kills, "the sweep was over too soon"


@pytest.mark.slow
def test_a_search_killed_fifty_times_comes_to_the_same_study(tmp_path: Path) -> None:
    arguments = (*SEARCH, "hydra.sweeper.n_trials=12", "sweep.retries=1000")
    whole, killed = tmp_path / "whole" / "sweep", tmp_path / "killed" / "sweep"
    sweep(whole, *arguments)
    assert {trial.state for trial in trials(whole)} == {COMPLETE, PRUNED}
    misbehave(killed, seconds_each=0.05)
    kill_at_random(killed, arguments, workers=1, num_kills=50, seed=1)
    check_all(killed, 12)
    assert contents(killed) == contents(whole)


@pytest.mark.slow
def test_two_workers_killed_fifty_times_lose_nothing(folder: Path) -> None:
    misbehave(folder, seconds_each=0.05)
    arguments = (*SEARCH, "hydra.sweeper.n_trials=24", "sweep.retries=1000")
    kill_at_random(folder, arguments, workers=2, num_kills=50, seed=2)
    check_all(folder, 24)


@pytest.mark.slow
def test_the_real_trainer_killed_four_times_comes_to_the_same_numbers(tmp_path: Path) -> None:
    arguments = (*SMALL, "ppo.kl_coef=0.01,0.1")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert end(start_sweep(whole, *arguments, workers=1, trainer=True), 120) == 0
    choose, process = random.Random(3), start_sweep(killed, *arguments, workers=1, trainer=True)
    for number, target in ((0, 2), (0, 4), (1, 1), (1, 3)):
        until(lambda: updates(killed / str(number)) >= target, 60)  # noqa: B023
        time.sleep(choose.uniform(0, 0.5))
        lose(process, *(descendants(process.pid) if choose.random() < 0.5 else ()))
        process = start_sweep(killed, *arguments, workers=1, trainer=True)
    assert end(process, 120) == 0, text(killed)
    for number in ("0", "1"):
        rows = [timeless(row) for row in Run(killed / number).metrics()]
        assert rows == [timeless(row) for row in Run(whole / number).metrics()]
        assert len(rows) == 6
    assert contents(killed)[0][1:] == contents(whole)[0][1:]
    assert contents(killed)[1][1:] == contents(whole)[1][1:]


def timeless(row: dict[str, Any]) -> dict[str, Any]:
    """A row without what the clock says."""
    return {key: value for key, value in row.items() if key != "eps" and not key.startswith("perf/")}


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


def test_no_fork_server_outlives_the_sweeper(folder: Path) -> None:
    """Killed while the server still imports torch."""
    process = start_sweep(folder, grid(2), trainer=True)
    until(lambda: servers_of(process), 60)
    servers = servers_of(process)
    time.sleep(0.2)
    kill(process.pid)
    process.wait()
    until(lambda: not any(map(is_alive, servers)), 2)


def servers_of(process: "subprocess.Popen[bytes]") -> list[int]:
    """The fork servers that a sweeper has started."""
    places = {pid: Path(f"/proc/{pid}/cmdline") for pid in descendants(process.pid)}
    return [pid for pid, place in places.items() if place.exists() and b"forkserver" in place.read_bytes()]


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
