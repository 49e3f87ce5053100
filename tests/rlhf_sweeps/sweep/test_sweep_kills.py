"""Sweeps and trials that are killed, hang or exit: nothing is lost, and nothing is run twice."""

import random
import re
import shlex
import socket
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import SMALL
from helpers.sweeper_processes import (
    COMPLETE,
    FAIL,
    NUM_UPDATES,
    PRUNED,
    check_all,
    check_history,
    end,
    gone,
    grid,
    lose,
    servers_of,
    text,
)
from helpers.sweeper_processes import folder as folder
from helpers.sweeping import (
    contents,
    descendants,
    is_alive,
    kill,
    misbehave,
    pids,
    start,
    start_sweep,
    starts,
    sweep,
    trials,
    until,
    updates,
)

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.record import Run

SEARCH = ("ppo.lr=tag(log,interval(1e-5,1e-2))", "ppo.kl_coef=tag(log,interval(0.001,1))")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


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


def test_no_fork_server_outlives_the_sweeper(folder: Path) -> None:
    """Killed while the server still imports torch."""
    process = start_sweep(folder, grid(2), trainer=True)
    until(lambda: servers_of(process), 60)
    servers = servers_of(process)
    time.sleep(0.2)
    kill(process.pid)
    process.wait()
    until(lambda: not any(map(is_alive, servers)), 2)
