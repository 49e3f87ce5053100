"""Faults of the environment: the disk, open files, a database, a lock. They say nothing about a setting, and pass."""

import errno
import os
import re
import sqlite3
from collections.abc import Iterator

from rlhf_sweeps.reward_models import RewardModelError
from rlhf_sweeps.runs.files import InUseError
from rlhf_sweeps.wording import told

# Of a trial's process that ends by such a fault: "temporary failure" in sysexits.h. So the sweeper hears of it where no
# file can be written, as on a full disk.
EXIT_STATUS = 75
# What is at fault, and so what to mend, by the number that the operating system gives an error.
_ERRORS = {
    errno.ENOSPC: "no space is left on the disk",
    errno.EDQUOT: "the disk quota is used up",
    errno.EIO: "the disk cannot be read or written",
    errno.ESTALE: "the file server has lost the folder",
    errno.EMFILE: "too many files are open (see ulimit -n)",
    errno.ENFILE: "too many files are open on this machine",
    errno.EROFS: "the file system can only be read",
    errno.EISDIR: "a folder is where a file should be",
    errno.ENOTDIR: "a file is where a folder should be",
    errno.EACCES: "there is no right to read or write",
    errno.EAGAIN: "no more processes may be started (see ulimit -u)",
}
# SQLite's primary result codes, https://sqlite.org/rescode.html.
_SQLITE = {
    sqlite3.SQLITE_BUSY: "another process keeps the database locked",
    sqlite3.SQLITE_LOCKED: "another process keeps the database locked",
    sqlite3.SQLITE_FULL: _ERRORS[errno.ENOSPC],
    sqlite3.SQLITE_IOERR: _ERRORS[errno.EIO],
    sqlite3.SQLITE_CANTOPEN: "the database cannot be opened",
    sqlite3.SQLITE_READONLY: "the database can only be read",
}
# How libraries that are written in Rust, such as safetensors, give an error of the operating system.
_RUST = re.compile(r"\(os error (\d+)\)")


class EnvironmentFault(RuntimeError):
    """What was at fault for longer than anybody waits; nothing is lost by it."""


def fault(error: BaseException) -> str | None:
    """What is at fault where an error, or one that led to it, comes from the environment; else None.

    What a reward model raises is its own: only who wrote that knows what it means.
    """
    if isinstance(error, RewardModelError):
        return None
    return next(filter(None, map(_fault_of, _chain(error))), None)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that led to it, newest first; SQLAlchemy's has the driver's as `orig`."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        yield error
        error = error.__cause__ or getattr(error, "orig", None) or error.__context__


def _fault_of(error: BaseException) -> str | None:
    if isinstance(error, (InUseError, EnvironmentFault)):
        return str(error)
    if isinstance(error, sqlite3.Error):
        return _SQLITE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
    number = error.errno if isinstance(error, OSError) else None
    if number is None and (found := _RUST.search(str(error))):
        number = int(found[1])
    if number in _ERRORS:
        file = getattr(error, "filename", None)
        return f"{_ERRORS[number]}: {os.fsdecode(file)}" if isinstance(file, str | bytes) else _ERRORS[number]
    if any(kind.__name__ in ("OperationalError", "InterfaceError") for kind in type(error).__mro__) and not hasattr(
        error, "orig"
    ):
        return f"the database does not answer ({told(error)})"
    return None
