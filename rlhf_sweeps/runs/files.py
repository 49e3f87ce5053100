"""Reading and writing the record's files: whole or not at all, claimed by one process."""

import contextlib
import json
import os
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

from rlhf_sweeps.platforms import system

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


def line(row: Mapping[str, Any]) -> str:
    """A row as a line of a file of JSON lines."""
    return json.dumps(row, ensure_ascii=False) + "\n"


def append_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Add rows to a file of JSON lines; they are on the disk when this returns."""
    with system.patiently(lambda: path.open("a", encoding="utf-8", newline="\n")) as file:
        file.write("".join(line(row) for row in rows))
        file.flush()
        os.fsync(file.fileno())


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of JSON lines; none if there is no file; a last line that was cut off is left out."""
    if not path.exists():
        return []
    return parse_lines(system.patiently(path.read_bytes))


def parse_lines(content: bytes) -> list[dict[str, Any]]:
    """The same of its content."""
    # Split at the newline only: responses may hold other line separators, such as U+2028.
    return [json.loads(line) for line in content.split(b"\n")[:-1]]


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; None if there is no file."""
    try:
        content: dict[str, Any] = json.loads(system.patiently(path.read_bytes))
    except FileNotFoundError:
        return None
    return content


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write an object atomically."""
    write_atomically(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


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
    for path in folder.glob(f"*{UNFINISHED}"):
        with contextlib.suppress(FileNotFoundError):  # another process removes it, too
            if path.is_file() and time.time() - path.stat().st_mtime > 3600:
                path.unlink()
