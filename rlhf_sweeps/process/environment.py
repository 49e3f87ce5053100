"""Faults of the environment: the disk, open files, a database, a lock. They say nothing about a setting, and pass."""

import errno
import os
import re
import sqlite3
from collections.abc import Iterator, Mapping

from rlhf_sweeps.process.failures import RewardModelError
from rlhf_sweeps.record.files import InUseError
from rlhf_sweeps.record.reading import PASSING
from rlhf_sweeps.wording import told

# Of a trial's process that ends by such a fault: "temporary failure" in sysexits.h. So the sweeper hears of it where no
# file can be written, as on a full disk.
EXIT_STATUS = 75
# These stay until somebody mends them, and may be a setting's own: a path that nobody may read.
_LASTING = {
    errno.EROFS: "the file system can only be read",
    errno.EACCES: "there is no right to read or write",
    errno.EISDIR: "a folder is where a file should be",
    errno.ENOTDIR: "a file is where a folder should be",
    errno.ENAMETOOLONG: "a path is too long",
}
# SQLite's primary result codes, https://sqlite.org/rescode.html.
_SQLITE = {
    sqlite3.SQLITE_BUSY: "another process keeps the database locked",
    sqlite3.SQLITE_LOCKED: "another process keeps the database locked",
    sqlite3.SQLITE_FULL: PASSING[errno.ENOSPC],
    sqlite3.SQLITE_IOERR: PASSING[errno.EIO],
    sqlite3.SQLITE_CANTOPEN: "the database cannot be opened",
    sqlite3.SQLITE_PROTOCOL: "another process keeps the database locked",
    sqlite3.SQLITE_READONLY: "the database can only be read",
}
# How libraries that are written in Rust, such as safetensors, give an error of the operating system.
_RUST = re.compile(r"\(os error (\d+)\)")


class EnvironmentFault(RuntimeError):
    """What was at fault for longer than anybody waits; nothing is lost by it."""


def fault(error: BaseException) -> str | None:
    """What is at fault where an error, or one that led to it, comes from the environment and may pass; else None."""
    return next(filter(None, map(_fault_of, _chain(error))), None)


def mendable(error: BaseException) -> str | None:
    """What a user can mend, and then give the same command again: a fault, or a right that is missing for good."""
    if (what := fault(error)) is not None:
        return what
    return _told(error, _LASTING) if isinstance(error, OSError) else None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that led to it, newest first; SQLAlchemy's has the driver's as `orig`.

    What a reward model raises is its own, and ends the chain: only who wrote that knows what it means.
    """
    seen: list[BaseException] = []
    while error is not None and error not in seen and not isinstance(error, RewardModelError):
        seen.append(error)
        yield error
        context = None if error.__suppress_context__ else error.__context__
        error = error.__cause__ or getattr(error, "orig", None) or context


def _fault_of(error: BaseException) -> str | None:
    if isinstance(error, (InUseError, EnvironmentFault)):
        return str(error)
    if isinstance(error, sqlite3.Error):
        return _SQLITE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
    if (told_so := _told(error, PASSING)) is not None:
        return told_so
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & {"OperationalError", "InterfaceError"} and not hasattr(error, "orig"):
        return f"the database does not answer ({told(error)})"
    return None


def _told(error: BaseException, table: Mapping[int, str]) -> str | None:
    number = error.errno if isinstance(error, OSError) else None
    if number is None and (found := _RUST.search(str(error))):
        number = int(found[1])
    # A pipe that cannot take more now says EAGAIN, too.
    if number is None or number not in table or (number == errno.EAGAIN and hasattr(error, "characters_written")):
        return None
    file = getattr(error, "filename", None)
    return f"{table[number]}: {os.fsdecode(file)}" if isinstance(file, str | bytes) else table[number]
