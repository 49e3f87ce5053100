"""A sweep outlives faults of the environment: it waits, goes on, and comes to the same study."""

import errno
import itertools
import os
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from helpers.sweeping import contents, misbehave, printed, start_sweep, sweep, trials, until, updates

from rlhf_sweeps.process.environment import EnvironmentFault
from rlhf_sweeps.process.exit_status import choose_exit_status
from rlhf_sweeps.record import Run, Sweep
from rlhf_sweeps.sweep import recovery
from rlhf_sweeps.sweep.active import Active
from rlhf_sweeps.sweep.engine import Engine
from rlhf_sweeps.sweep.outcomes import Outcomes
from rlhf_sweeps.sweep.patience import PAUSES, Patience
from rlhf_sweeps.sweep.study import storage
from rlhf_sweeps.sweep.study.trials import RUNNING, SweepTrial

GRID = "ppo.kl_coef=0.01,0.02,0.03"


def test_pauses_grow_and_end_after_minutes() -> None:
    patience, now = Patience(), 1000.0
    assert not patience.is_pausing(now)
    for seconds in PAUSES:
        assert patience.note("full", now) == seconds
        assert patience.note("full", now + seconds / 2) == seconds / 2  # another run that meets the same fault
        assert patience.is_pausing(now + 0.99 * seconds)
        assert not patience.is_pausing(now + seconds)
        now += seconds
    assert not patience.is_over
    assert list(PAUSES) == sorted(PAUSES)
    assert 120 < sum(PAUSES) < 600
    patience.note("full", now)
    assert (patience.is_over, patience.fault) == (True, "full")
    patience.forget()
    assert (patience.is_over, patience.fault) == (False, None)
    assert patience.note("full", now) == PAUSES[0]


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits, waits for hundredths of a second, twice."""
    monkeypatch.setattr("rlhf_sweeps.sweep.patience.PAUSES", (0.02, 0.04))


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("full_disk", "a full disk, or another fault of the environment"),  # no summary, and here no log either
        ("environment", "no space is left on the disk"),
    ],
)
def test_runs_that_meet_a_fault_go_on_and_come_to_the_same_study(
    how: str, told: str, tmp_path: Path, short: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    sweep(tmp_path / "a" / "s", GRID)
    misbehave(tmp_path / "b" / "s", trial_0={"7": f"{how}_once"}, trial_2={"3": f"{how}_once", "12": f"{how}_once"})
    sweep(tmp_path / "b" / "s", GRID, "hydra.sweeper.max_failure_rate=0")
    assert contents(tmp_path / "b" / "s") == contents(tmp_path / "a" / "s")
    assert caplog.text.count(told) == caplog.text.count("; trying again in 0 s") == 3


def test_what_stays_at_fault_ends_the_sweep_open_and_the_same_command_goes_on(tmp_path: Path, short: None) -> None:
    folder = tmp_path / "s"
    misbehave(folder, trial_1={"8": "environment"})
    with pytest.raises(EnvironmentFault) as caught:
        sweep(folder, GRID, "hydra.sweeper.max_failure_rate=0")
    assert str(caught.value) == f"hydra.sweep.dir={folder}: no space is left on the disk"
    assert choose_exit_status(caught.value) == 2
    assert [str(trial.state).removeprefix("TrialState.").lower() for trial in trials(folder)] == ["complete", RUNNING]
    assert (folder / "1" / "history").read_text().count("start") == 3  # at first, and after each of two pauses
    misbehave(folder)
    sweep(folder, GRID, "hydra.sweeper.max_failure_rate=0")
    sweep(tmp_path / "undisturbed" / "s", GRID)
    assert contents(folder) == contents(tmp_path / "undisturbed" / "s")


def test_a_fault_that_one_trial_alone_meets_holds_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It goes on after the others; since these have come to their ends, the fault is its own."""
    caplog.set_level("INFO")
    monkeypatch.setattr("rlhf_sweeps.sweep.patience.PAUSES", (0.01,) * 9)
    folder = tmp_path / "s"
    misbehave(folder, trial_0={"8": "environment"})
    sweep(folder, GRID)
    assert [str(trial.state).removeprefix("TrialState.").lower() for trial in trials(folder)] == [
        RUNNING, "complete", "complete"
    ]  # fmt: skip
    assert (folder / "0" / "history").read_text().count("start") == 5  # four times at first, and at last once more
    assert "trial 0: no space is left on the disk; trying again in 0 s, after other trials" in caplog.text
    assert "no space is left on the disk; only this run has this fault; the next start continues it" in caplog.text
    misbehave(folder)  # mended
    sweep(folder, GRID)
    sweep(tmp_path / "undisturbed" / "s", GRID)
    assert contents(folder) == contents(tmp_path / "undisturbed" / "s")


def test_a_fault_that_all_meet_ends_the_sweep_whoever_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlhf_sweeps.sweep.patience.PAUSES", (0.01,) * 9)
    folder = tmp_path / "s"
    misbehave(folder, trial_0={"8": "environment"}, trial_1={"8": "environment"}, trial_2={"8": "environment"})
    with pytest.raises(EnvironmentFault, match="no space is left on the disk"):
        sweep(folder, GRID)
    assert [(folder / str(n) / "history").read_text().count("start") for n in range(3)] == [4, 4, 2]


@pytest.mark.parametrize("has_process", [False, True])
def test_only_what_has_run_shows_that_the_environment_is_mended(has_process: bool) -> None:
    """A setting that cannot be composed, or was run before, comes to its end without a run."""
    patience, others, plan = Patience(), [MagicMock() for _ in range(7)], MagicMock()
    outcomes = Outcomes(plan, *others, patience, lambda: False)
    patience.note("full", 0.0)
    for index in (0, 1):
        active = Active(SweepTrial(0, {}, {}, Path()), Run(Path()), 0, index)
        active.future = Future() if has_process else None
        outcomes.refuse(active, "cannot be composed")
        assert patience.fault == (None if has_process else "full")
    copied = Active(SweepTrial(1, {}, {}, Path()), Run(Path()), 0, 0)
    patience.note("full", 1.0)
    outcomes.copy(copied, SweepTrial(0, {}, {}, Path()))
    assert patience.fault == "full"


def test_faults_with_progress_between_them_are_several() -> None:
    active = Active(SweepTrial(0, {}, {}, Path()), Run(Path()), 0, 0)
    counted = []
    for update in (0, 0, 7, 3, 7, 8):  # it goes on from its checkpoint
        active.rows = [{"update": update}]
        active.note_fault()
        counted.append(active.faults)
    assert counted == [1, 2, 1, 2, 3, 1]


def test_a_database_that_is_locked_for_a_while_costs_time_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(storage, "LOCK_TIMEOUT", 0.02)
    monkeypatch.setattr("rlhf_sweeps.sweep.patience.PAUSES", (0.05,) * 40)
    folder = tmp_path / "s"
    locks: list[sqlite3.Connection] = []
    released: list[float] = []

    def sleep(seconds: float) -> None:
        locks[0].rollback()
        released.append(seconds)

    monkeypatch.setattr(recovery, "time", SimpleNamespace(sleep=sleep, monotonic=time.monotonic))

    def take_lock(self: Engine) -> None:
        """After the first trial."""
        looked(self)
        if not locks and self.schedule.trials[0].has_ended:
            locks.append(sqlite3.connect(folder / "study.db"))
            locks[0].execute("BEGIN EXCLUSIVE")

    looked = Engine.look
    monkeypatch.setattr(Engine, "look", take_lock)
    sweep(folder, GRID)
    assert released
    assert "another process keeps the database locked; trying again in 0 s" in caplog.text
    monkeypatch.undo()
    sweep(tmp_path / "undisturbed" / "s", GRID)
    assert contents(folder) == contents(tmp_path / "undisturbed" / "s")


@pytest.mark.slow
def test_what_the_sweeper_cannot_write_costs_time_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short: None
) -> None:
    """A full disk at each of the sweeper's own writes in turn."""
    sweep(tmp_path / "undisturbed" / "s", GRID)
    wrote = Sweep.write_start
    for number in range(1, 4):
        counted = itertools.count(1)

        def write(self: Sweep, start: dict[str, object], counted: Any = counted, number: int = number) -> None:
            if next(counted) == number:
                raise OSError(errno.ENOSPC, "No space left on device", str(self.folder))
            wrote(self, start)

        monkeypatch.setattr(Sweep, "write_start", write)
        monkeypatch.setattr("rlhf_sweeps.sweep.engine.SECONDS_BETWEEN_SAVES", 0.0)
        folder = tmp_path / str(number) / "s"
        if number == 1:  # before anything runs: one line, and nothing to wait for
            with pytest.raises(OSError, match="No space"):
                sweep(folder, GRID)
        sweep(folder, GRID)
        assert contents(folder) == contents(tmp_path / "undisturbed" / "s"), number


def test_a_fault_of_the_sweepers_own_disk_runs_nothing_again_and_forgets_no_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short: None
) -> None:
    """It is full in the midst of trial 1, after trial 0 has failed; it was noted last that 100 s have gone by."""
    folder, looked, refused = tmp_path / "s", Engine.look, []

    def look(self: Engine) -> None:
        looked(self)
        if not refused and updates(folder / "1") == 7:
            refused.append(self)
            Sweep(folder).write_start({**(Sweep(folder).start() or {}), "seconds": 100.0})
            raise OSError(errno.ENOSPC, "No space left on device", str(folder))

    monkeypatch.setattr(Engine, "look", look)
    misbehave(folder, trial_0={"3": "raise"})
    sweep(folder, GRID, "hydra.sweeper.retry_failed=true")
    assert refused
    assert [(folder / str(number) / "history").read_text().count("start") for number in range(3)] == [1, 2, 1]
    assert 100.0 <= (Sweep(folder).start() or {})["seconds"] < 150.0


def test_a_commit_that_was_cut_short_is_taken_back(tmp_path: Path) -> None:
    """The process is killed while its journal is there: whoever opens the database next undoes what was half done."""
    folder = tmp_path / "s"
    sweep(folder, GRID)
    before = contents(folder)
    code = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); "
        "c.execute('PRAGMA cache_size = 1'); c.execute('PRAGMA cache_spill = 1'); c.execute('BEGIN IMMEDIATE'); "
        "c.execute('CREATE TABLE filler (x)'); "
        "c.executemany('INSERT INTO filler VALUES (?)', [('y' * 2000,)] * 200); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(folder / "study.db")], check=False)
    assert (folder / "study.db-journal").stat().st_size > 0
    sweep(folder, GRID)
    assert contents(folder) == before


@pytest.mark.slow  # SQLite waits for a lock for a minute
def test_ctrl_c_during_a_pause_saves_what_runs_and_says_how_to_go_on(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    misbehave(folder, seconds_each=0.05)
    process = start_sweep(folder, GRID, workers=1)
    lock: sqlite3.Connection | None = None
    try:
        until(lambda: updates(folder / "0") >= 3, seconds=60)
        lock = sqlite3.connect(folder / "study.db", isolation_level=None)
        lock.execute("BEGIN EXCLUSIVE")
        until(lambda: "trying again in" in printed(folder).read_text(), seconds=90)
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(timeout=60) == 130
    finally:
        if lock is not None:
            lock.close()
        process.kill()
        process.wait()
    assert "Continue with" in printed(folder).read_text()
    assert (Run(folder / "0").summary() or {})["status"] in ("stopped", "complete")
