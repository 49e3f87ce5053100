"""Writing the record's files: whole or not at all, claimed by one process."""

import contextlib
import os
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

from rlhf_sweeps.platforms import system

# As `open_atomically` calls what it writes, and earlier versions did; other names are a user's.
_LEFTOVER = re.compile(r"(.+\.(json|jsonl|yaml|html)(\.[0-9a-f]+)?|stop\.[0-9a-f]+)\.unfinished")
UNFINISHED = ".unfinished"  # how the names of files end that are being written, or whose writer was killed


class Stamp(NamedTuple):
    """Tells one content of a file from another; zeros where there is no file.

    Attributes:
        inode: changes when the file is replaced.
        modified: nanoseconds since 1970.
        size: in bytes.
        changed: nanoseconds since 1970; tells what a copy that keeps the time of modification has replaced.
    """

    inode: int = 0
    modified: int = 0
    size: int = 0
    changed: int = 0


def stamp(path: Path) -> Stamp:
    """Of a file as it is now."""
    try:
        status = path.stat()
    except OSError:
        return Stamp()
    return Stamp(status.st_ino, status.st_mtime_ns, status.st_size, status.st_ctime_ns)


def report_file(folder: Path) -> Path:
    """The analysis' report on what lies in a folder: on a run, a sweep, or several of them."""
    return folder / "report.html"


def analysis_folder(folder: Path) -> Path:
    """Where the analysis' figures and tables of what lies in a folder are."""
    return folder / "analysis"


class InUseError(RuntimeError):
    """Two processes would write one record."""


@contextlib.contextmanager
def claim(folder: Path, refusal: str) -> Iterator[None]:
    """Keep a folder to this process; the operating system gives it free when the process dies.

    What killed processes left half written there is removed after an hour.

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
    """Wait until no other process is in here with the same folder; one that dies is out."""
    folder.mkdir(parents=True, exist_ok=True)
    with system.locked(folder, wait=True):
        yield


def write_atomically(path: Path, text: str) -> None:
    """Write a text as `open_atomically` does."""
    with open_atomically(path) as file:
        file.write(text)


@contextlib.contextmanager
def open_atomically(path: Path, mode: Literal["w", "wb"] = "w") -> Iterator[IO[Any]]:
    """A file to write that takes the path when it is whole and on the disk; where writing fails, all is as it was.

    Several processes may write one path at once: a reader sees what one of them wrote or the old content, also after a
    power cut, and the last to end has it.
    """
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(4)}{UNFINISHED}")
    text: dict[str, Any] = {"encoding": "utf-8", "newline": "\n"} if mode == "w" else {}
    try:
        file = unfinished.open(mode.replace("w", "x"), **text)
    except OSError as error:
        error.filename = str(path)  # which a message can name: nobody knows the other
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
    """Remove what killed processes have left half written; who still writes there has begun within the hour."""
    for path in filter(lambda path: _LEFTOVER.fullmatch(path.name), folder.glob(f"*{UNFINISHED}")):
        with contextlib.suppress(FileNotFoundError):  # another process removes it, too
            if path.is_file() and time.time() - path.stat().st_mtime > 3600:
                path.unlink()
