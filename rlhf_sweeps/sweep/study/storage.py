"""Open Optuna's storage of a study safely, and write to it in few commits.

SQLAlchemy is loaded when a storage is opened, so that a sweep is refused before that.
"""

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.record import Sweep, mask_url
from rlhf_sweeps.wording import describe_error

# Seconds that a write waits for a reader of the file, such as a dashboard; chosen.
LOCK_TIMEOUT = 60


@contextlib.contextmanager
def join_commits(storage: BaseStorage) -> Iterator[None]:
    """Join Optuna's commits, one for each write, to a single one: SQLite waits for the disk four times in each."""
    if not isinstance(storage, RDBStorage):
        yield
        return
    sessions, engine = storage.scoped_session, storage.engine
    sessions.remove()
    with engine.begin() as connection:
        # Sessions of a connection with an open transaction do not commit it.
        sessions.configure(bind=connection)
        try:
            yield
        finally:
            sessions.remove()
            sessions.configure(bind=engine)


def make_file_url(path: Path) -> str:
    """The URL of an SQLite file; braces in its path are escaped, since Optuna would read them as a template."""
    from sqlalchemy import URL

    return URL.create("sqlite", database=str(path.absolute())).render_as_string(hide_password=False)


def open_storage(url: str) -> BaseStorage:
    """Optuna's storage at an SQLAlchemy URL, or in a journal file (journal:PATH).

    Raises:
        ConfigError: if it cannot be opened.
    """
    try:
        if url.startswith("journal:"):
            return _open_journal(Path(url.removeprefix("journal:")).absolute())
        if (file := _find_sqlite_file(url)) is not None:
            _check_database(file)
        return _open_database(url)
    except ImportError as error:
        raise ConfigError(
            f"hydra.sweeper.storage={mask_url(url)}: its database needs a driver, PostgreSQL the extra `postgresql` "
            "(python -m pip install 'psycopg[binary]')"
        ) from error
    except Exception as error:
        raise ConfigError(
            f"hydra.sweeper.storage={mask_url(url)}: cannot be opened ({describe_error(error)})"
        ) from error


def _open_journal(path: Path) -> JournalStorage:
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = JournalFileOpenLock(str(path))
    lock.acquire()  # another sweep may be writing a line
    try:
        _drop_torn_line(path)
    finally:
        lock.release()
    return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))


def _find_sqlite_file(url: str) -> Path | None:
    """The file of an SQLite URL, if it exists; else None."""
    from sqlalchemy import make_url

    parsed = make_url(url)
    if not parsed.drivername.startswith("sqlite") or parsed.query or parsed.database in (None, "", ":memory:"):
        return None
    path = Path(str(parsed.database))
    return path if path.exists() else None


def _check_database(path: Path) -> None:
    """Raise ValueError if an SQLite file is damaged: Optuna would notice it only when it reads the damaged place.

    The file is opened for writing, so that SQLite first rolls back a commit that a killed process has left unfinished.
    """
    url = f"{path.absolute().as_uri()}?mode=rw"
    with contextlib.closing(sqlite3.connect(url, timeout=LOCK_TIMEOUT, uri=True)) as opened:
        problems = [str(row[0]) for row in opened.execute("PRAGMA integrity_check(1)")]
    if problems != ["ok"]:
        raise ValueError(f"damaged: {' '.join(problems[0].split())}")


def _open_database(url: str) -> RDBStorage:
    """Open a database, several times if needed: of several sweeps that begin at once, each tries to make the tables.

    If a statement is refused, the next attempt finds the tables that another sweep has made by then.
    """
    from sqlalchemy import make_url
    from sqlalchemy.exc import DBAPIError

    # A connection that has broken, for example by a restart of the server, is replaced without an error.
    arguments = {"pool_pre_ping": True, "connect_args": _choose_timeouts(make_url(url).drivername)}
    for _ in range(20):
        try:
            return RDBStorage(url, engine_kwargs=arguments)
        except DBAPIError as error:
            if error.statement is None:  # the server cannot be reached
                raise
            time.sleep(0.1)
    return RDBStorage(url, engine_kwargs=arguments)


def _choose_timeouts(driver: str) -> dict[str, Any]:
    """Time limits, so that nothing waits forever for a lock or for a server that has disappeared."""
    if driver.startswith("sqlite"):
        return {"timeout": LOCK_TIMEOUT}
    if driver in ("postgresql", "postgresql+psycopg2", "postgresql+psycopg"):  # which pass these to libpq
        return {"connect_timeout": 10, "keepalives_idle": 30, "tcp_user_timeout": 1000 * LOCK_TIMEOUT}
    return {}


def _drop_torn_line(path: Path) -> None:
    """Remove an unfinished last line after a power failure: the next line would be added to it."""
    if path.exists():
        content = path.read_bytes()
        if content and not content.endswith(b"\n"):
            with path.open("r+b") as file:
                file.truncate(content.rfind(b"\n") + 1)


def refuse_strays(sweep: Sweep, num_trials: int) -> None:
    """Refuse folders of trials that the study does not have: a trial is in its study before it has a folder.

    Args:
        num_trials: of the study.

    Raises:
        ConfigError: if there are such folders.
    """
    strays = [str(n) for n in sweep.trials() if n >= num_trials and any(sweep.trial(n).iterdir())]
    if strays:
        raise ConfigError(
            f"hydra.sweep.dir={sweep.folder}: holds trials that are not in its study ({', '.join(strays)}); "
            "restore its study.db or hydra.sweeper.storage, or choose another folder"
        )
