"""Faults of the environment are told from others."""

import errno
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.process.environment import EnvironmentFault, find_fault
from rlhf_sweeps.process.exit_status import choose_exit_status
from rlhf_sweeps.process.failures import RewardModelError
from rlhf_sweeps.record import InUseError, Run, Sweep
from rlhf_sweeps.training.summary import describe_failure


class SafetensorError(Exception):
    """As safetensors raises it, whose errors are made in Rust."""


def raised(act: Callable[[], object]) -> Exception:
    try:
        act()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "x", "/data/a"), "no space is left on the disk: /data/a"),
        (OSError(errno.EDQUOT, "x"), "the disk quota is used up"),
        (OSError(errno.EIO, "x"), "the disk cannot be read or written"),
        (OSError(errno.EMFILE, "x"), "too many files are open (see ulimit -n)"),
        (OSError(errno.ENOSPC, "x", b"/data/b"), "no space is left on the disk: /data/b"),
        (PermissionError(errno.EACCES, "x", "/data/b"), None),  # of a setting's own file
        (BlockingIOError(errno.EAGAIN, "x"), "no more processes may be started (see ulimit -u)"),
        (BlockingIOError(errno.EAGAIN, "x", 7), None),  # a pipe that is full
        (SafetensorError("I/O error: No space left on device (os error 28)"), "no space is left on the disk"),
        (InUseError("another process is training there"), "another process is training there"),
        (EnvironmentFault("full for minutes"), "full for minutes"),
        (ValueError("x"), None),
        (FileNotFoundError(errno.ENOENT, "x", "a"), None),
        (SafetensorError("invalid header (os error 2)"), None),
        (sqlite3.OperationalError("no such table: trials"), None),
        (MemoryError(), None),
    ],
)
def test_what_is_at_fault(error: Exception, told: str | None) -> None:
    assert find_fault(error) == told


def test_what_led_to_an_error_counts_too() -> None:
    def given() -> None:
        try:
            raise OSError(errno.EMFILE, "x")
        except OSError as error:
            raise ConfigError("model.path=a: cannot be loaded") from error

    def in_passing() -> None:
        try:
            raise OSError(errno.ENOSPC, "x")
        except OSError:
            raise RuntimeError("unexpected pos")  # noqa: B904

    assert find_fault(raised(given)) == "too many files are open (see ulimit -n)"
    assert find_fault(raised(in_passing)) == "no space is left on the disk"
    error = RewardModelError("raised OSError")
    error.__cause__ = OSError(errno.ENOSPC, "x")
    assert find_fault(error) is None  # a function of the user's own, which has its own disk
    assert (choose_exit_status(error), describe_failure(error, 1)["cause"]) == (1, "reward_model")
    circle = ValueError("x")
    circle.__context__ = circle
    assert find_fault(circle) is None


def test_sqlite_says_what_is_at_fault(tmp_path: Path) -> None:
    file = tmp_path / "study.db"
    with sqlite3.connect(file, timeout=0.01) as one, sqlite3.connect(file, timeout=0.01) as other:
        one.execute("CREATE TABLE t (x)")
        one.commit()
        one.execute("BEGIN EXCLUSIVE")
        locked = raised(lambda: other.execute("INSERT INTO t VALUES (1)"))
        one.rollback()
        one.execute("PRAGMA max_page_count = 2")
        full = raised(lambda: one.executemany("INSERT INTO t VALUES (?)", [("x" * 1000,)] * 10))
    assert find_fault(locked) == "another process keeps the database locked"
    assert find_fault(full) == "no space is left on the disk"
    engine = create_engine(f"sqlite:///{tmp_path / 'none' / 'study.db'}")
    assert find_fault(raised(engine.connect)) == "the database cannot be opened"
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        error = raised(lambda: connection.execute(text("SELECT * FROM nothing")))
    assert isinstance(error, SQLAlchemyError)
    assert find_fault(error) is None


def test_a_database_that_went_away_is_at_fault() -> None:
    class OperationalError(Exception):
        """As psycopg raises it."""

    error = OperationalError("server closed the connection unexpectedly\n\tThis probably means")
    assert find_fault(error) == (
        "the database does not answer (OperationalError: server closed the connection unexpectedly This probably means)"
    )


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO])
def test_what_cannot_be_read_for_a_moment_is_neither_missing_nor_damaged(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, place = Run(tmp_path / "run"), Sweep(tmp_path)
    run.begin({})
    run.append_metrics({"update": 1})
    run.write_summary({"status": "complete"})
    place.write_start({"id": "x"})
    before = place.start_file.read_bytes()
    opened = os.open
    is_broken = True

    def refuse(path: Any, *arguments: Any, **named: Any) -> int:
        if is_broken and str(path).endswith((".json", ".jsonl", "stop")):
            raise OSError(number, os.strerror(number), str(path))
        return opened(path, *arguments, **named)

    monkeypatch.setattr(os, "open", refuse)
    for read in (run.start, run.summary, run.metrics, run.new_metrics, place.start):
        assert find_fault(raised(read)), read
    is_broken = False
    assert [row["update"] for row in run.new_metrics()] == [1]
    assert place.start_file.read_bytes() == before
