"""Faults of the environment: the disk, open files, a database, a lock. They pass, and say nothing about a setting."""

import errno
import os
import re
import sqlite3
from collections.abc import Iterator, Mapping

from rlhf_sweeps.process.failures import RewardModelError
from rlhf_sweeps.record.files import InUseError
from rlhf_sweeps.record.reading import PASSING
from rlhf_sweeps.wording import describe_error

# The exit status of a trial's process that such a fault ends ("temporary failure" in sysexits.h). So the sweeper learns
# of the fault even if no file can be written, as on a full disk.
EXIT_STATUS = 75
# These last until somebody mends them, and may belong to a setting: a path that nobody may read.
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
# The form in which libraries written in Rust, such as safetensors, report an error of the operating system.
_RUST = re.compile(r"\(os error (\d+)\)")


class EnvironmentFault(RuntimeError):
    """A fault of the environment that lasted longer than this process waits; nothing is lost by it."""


def find_fault(error: BaseException) -> str | None:
    """Describe the fault if an error or one of its causes comes from the environment and may pass; else return None."""
    return next(filter(None, map(_find_own_fault, _walk_causes(error))), None)


def find_repairable_fault(error: BaseException) -> str | None:
    """A description of an error that a user can mend: a fault, or a missing right, which does not pass by itself."""
    if (fault := find_fault(error)) is not None:
        return fault
    return _describe(error, _LASTING) if isinstance(error, OSError) else None


def _walk_causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and its causes, newest first; SQLAlchemy keeps the driver's error as `orig`.

    An error of a reward model ends the chain: only the author of the reward model knows what it means.
    """
    seen: list[BaseException] = []
    while error is not None and error not in seen and not isinstance(error, RewardModelError):
        seen.append(error)
        yield error
        context = None if error.__suppress_context__ else error.__context__
        error = error.__cause__ or getattr(error, "orig", None) or context


def _find_own_fault(error: BaseException) -> str | None:
    if isinstance(error, (InUseError, EnvironmentFault)):
        return str(error)
    if isinstance(error, sqlite3.Error):
        return _SQLITE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
    if (description := _describe(error, PASSING)) is not None:
        return description
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & {"OperationalError", "InterfaceError"} and not hasattr(error, "orig"):
        return f"the database does not answer ({describe_error(error)})"
    return None


def _describe(error: BaseException, table: Mapping[int, str]) -> str | None:
    number = error.errno if isinstance(error, OSError) else None
    if number is None and (match := _RUST.search(str(error))):
        number = int(match[1])
    # EAGAIN also comes from a full pipe, which has `characters_written`.
    if number is None or number not in table or (number == errno.EAGAIN and hasattr(error, "characters_written")):
        return None
    file = getattr(error, "filename", None)
    return f"{table[number]}: {os.fsdecode(file)}" if isinstance(file, str | bytes) else table[number]
