"""Atomic writes of the record's files, and locks that keep a folder to one process."""

import contextlib
import os
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

from rlhf_sweeps.platforms import system

# Names that `open_atomically`, or an earlier version of it, gives to unfinished files. Other files are the user's.
_LEFTOVER = re.compile(r"(.+\.(json|jsonl|yaml|html)(\.[0-9a-f]+)?|stop\.[0-9a-f]+)\.unfinished")
UNFINISHED = ".unfinished"  # the ending of a file that is being written, or whose writer was killed


class Stamp(NamedTuple):
    """Identifies the content of a file at one time; all zeros if there is no file.

    Attributes:
        inode: changes when the file is replaced.
        modified: time of the last modification, in nanoseconds since 1970.
        size: in bytes.
        changed: time of the last change of the inode, in nanoseconds since 1970; it changes, too, when the file is
            replaced by a copy that keeps its time of modification.
    """

    inode: int = 0
    modified: int = 0
    size: int = 0
    changed: int = 0


def take_stamp(path: Path) -> Stamp:
    """The stamp of a file as it is now."""
    try:
        status = path.stat()
    except OSError:
        return Stamp()
    return Stamp(status.st_ino, status.st_mtime_ns, status.st_size, status.st_ctime_ns)


def report_file(folder: Path) -> Path:
    """Where the analysis writes its report on the run, the sweep, or the several of them in a folder."""
    return folder / "report.html"


def analysis_folder(folder: Path) -> Path:
    """Where the analysis writes its figures and tables of the runs in a folder."""
    return folder / "analysis"


SCREEN = "screen.json"  # the result of a screen of reward models, in its folder


class InUseError(RuntimeError):
    """Two processes would write one record."""


@contextlib.contextmanager
def claim(folder: Path, refusal: str) -> Iterator[None]:
    """Lock a folder for this process; the operating system releases the lock when the process dies.

    Unfinished files of killed processes are removed if they are older than an hour.

    Raises:
        InUseError: with `refusal`, if another process has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(system.locked(folder, wait=False))
        except BlockingIOError as error:
            raise InUseError(refusal) from error
        remove_leftovers(folder)
        yield


@contextlib.contextmanager
def wait_for(folder: Path) -> Iterator[None]:
    """Lock a folder for this process, and wait for the lock; the lock of a process that dies is released."""
    folder.mkdir(parents=True, exist_ok=True)
    with system.locked(folder, wait=True):
        yield


def write_atomically(path: Path, text: str) -> None:
    """Write a text as `open_atomically` does."""
    with open_atomically(path) as file:
        file.write(text)


@contextlib.contextmanager
def open_atomically(path: Path, mode: Literal["w", "wb"] = "w") -> Iterator[IO[Any]]:
    """A file to write to, which replaces `path` once it is complete and on the disk; if writing fails, nothing changes.

    Several processes may write the same path at once. A reader sees the old content or that of one writer, even after
    a power cut; in the end the path has the content of the writer that ended last.
    """
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(4)}{UNFINISHED}")
    text: dict[str, Any] = {"encoding": "utf-8", "newline": "\n"} if mode == "w" else {}
    try:
        file = unfinished.open(mode.replace("w", "x"), **text)
    except OSError as error:
        error.filename = str(path)  # for the message: no user knows the name of the unfinished file
        raise
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        system.patiently(lambda: unfinished.replace(path))
    except BaseException as error:
        unfinished.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:  # as of a full disk
            error.filename = str(path)
        raise


def remove(path: Path) -> None:
    """Remove a file, if it is there."""
    system.patiently(lambda: path.unlink(missing_ok=True))


def remove_leftovers(folder: Path) -> None:
    """Remove unfinished files that are older than an hour; a process that still writes one is faster than that."""
    for path in filter(lambda path: _LEFTOVER.fullmatch(path.name), folder.glob(f"*{UNFINISHED}")):
        with contextlib.suppress(FileNotFoundError):  # another process removes it, too
            if path.is_file() and time.time() - path.stat().st_mtime > 3600:
                path.unlink()
