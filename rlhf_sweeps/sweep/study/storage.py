"""Where Optuna keeps a study: opened safely, written in few commits."""

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.record import Sweep, masked_url
from rlhf_sweeps.wording import told

# Seconds that a write waits for a reader of the file, such as a dashboard.
LOCK_TIMEOUT = 60


@contextlib.contextmanager
def one_commit(storage: BaseStorage) -> Iterator[None]:
    """Commit at the end what Optuna commits write by write: SQLite waits for the disk four times at each."""
    if not isinstance(storage, RDBStorage):
        yield
        return
    sessions, engine = storage.scoped_session, storage.engine
    sessions.remove()
    with engine.begin() as connection:
        # Sessions of a connection that is within a transaction leave its end to who began it.
        sessions.configure(bind=connection)
        try:
            yield
        finally:
            sessions.remove()
            sessions.configure(bind=engine)


def file_url(path: Path) -> str:
    """The URL of an SQLite file, whatever its folder is called: Optuna would fill in braces as a template."""
    return URL.create("sqlite", database=str(path.absolute())).render_as_string(hide_password=False)


def open_storage(url: str) -> BaseStorage:
    """Optuna's storage at an SQLAlchemy URL, or in a journal file (journal:PATH).

    Raises:
        ConfigError: if it cannot be opened.
    """
    try:
        if url.startswith("journal:"):
            return _open_journal(Path(url.removeprefix("journal:")).absolute())
        if (file := _sqlite_file(url)) is not None:
            _check_database(file)
        return _open_database(url)
    except Exception as error:
        raise ConfigError(f"hydra.sweeper.storage={masked_url(url)}: cannot be opened ({told(error)})") from error


def _open_journal(path: Path) -> JournalStorage:
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = JournalFileOpenLock(str(path))
    lock.acquire()  # another sweep may be in the middle of its line
    try:
        _drop_torn_line(path)
    finally:
        lock.release()
    return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))


def _sqlite_file(url: str) -> Path | None:
    """The file of an SQLite URL that names one which is there already."""
    parsed = make_url(url)
    if not parsed.drivername.startswith("sqlite") or parsed.query or parsed.database in (None, "", ":memory:"):
        return None
    path = Path(str(parsed.database))
    return path if path.exists() else None


def _check_database(path: Path) -> None:
    """Raise ValueError, in a line, if an SQLite file is damaged: Optuna would go on until it comes to the place.

    Opened to be written, since what a killed process has left half committed is first taken back.
    """
    with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", LOCK_TIMEOUT, uri=True)) as opened:
        found = [str(row[0]) for row in opened.execute("PRAGMA integrity_check(1)")]
    if found != ["ok"]:
        raise ValueError(f"damaged: {' '.join(found[0].split())}")


def _open_database(url: str) -> RDBStorage:
    """Optuna looks which tables are there, then makes the others: of several sweeps that begin at once, one is first.

    Where a statement was refused, the next try finds what the others have made by then.
    """
    # A connection that broke since it was last used, as where a server was started again, is replaced without an error.
    arguments = {"pool_pre_ping": True, "connect_args": _connect_arguments(make_url(url).drivername)}
    for _ in range(20):
        try:
            return RDBStorage(url, engine_kwargs=arguments)
        except DBAPIError as error:
            if error.statement is None:  # it cannot even be reached
                raise
            time.sleep(0.1)
    return RDBStorage(url, engine_kwargs=arguments)


def _connect_arguments(driver: str) -> dict[str, Any]:
    """Nothing waits for ever: neither for a lock nor for a server that is gone without a word."""
    if driver.startswith("sqlite"):
        return {"timeout": LOCK_TIMEOUT}
    if driver in ("postgresql", "postgresql+psycopg2", "postgresql+psycopg"):  # which hand these to libpq
        return {"connect_timeout": 10, "keepalives_idle": 30, "tcp_user_timeout": 1000 * LOCK_TIMEOUT}
    return {}


def _drop_torn_line(path: Path) -> None:
    """Cut a last line that a power cut left unfinished: the next one would be added to it, and the file be lost."""
    if path.exists():
        content = path.read_bytes()
        if content and not content.endswith(b"\n"):
            with path.open("r+b") as file:
                file.truncate(content.rfind(b"\n") + 1)


def refuse_strays(sweep: Sweep, num_trials: int) -> None:
    """A trial is in the study before it has a folder: what a study of so many does not know are another's results.

    Raises:
        ConfigError: if there are any.
    """
    strays = [str(n) for n in sweep.trials() if n >= num_trials and any(sweep.trial(n).iterdir())]
    if strays:
        raise ConfigError(
            f"hydra.sweep.dir={sweep.folder}: holds trials that its study does not know ({', '.join(strays)}); "
            "bring back its study.db or hydra.sweeper.storage, or choose another folder"
        )
