"""Dying at the n-th step of a procedure that writes files: a write, a sync, a rename or a removal in a folder.

What comes after the death is not run, as after SIGKILL: not even what the procedure would tidy up. Of the write at
which it dies half arrives. In a power cut, what a file was given since its last sync is lost, too.
"""

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

MOST_STEPS = 1000  # a procedure that takes more does not come to its end


class Death(BaseException):
    """The process is gone."""


class Disk:
    """Counts the steps in a folder, and ends the process at one of them.

    Attributes:
        steps: what was done, a word each, the step of the death included.
    """

    def __init__(self, folder: Path, last: int | None) -> None:
        self._folder, self._last = str(folder), last
        self.steps: list[str] = []
        self._synced: dict[int, int] = {}  # inode -> bytes that are safe, of files with some that are not

    def step(self, what: str, path: Any) -> bool:
        """Note a step; whether it is the last one, which is not done any more."""
        if not str(path).startswith(self._folder) or str(path).endswith((".lock", ".rename")):
            return False  # a lock goes with its process, where it is not Optuna's
        if self._last is not None and len(self.steps) > self._last:
            raise Death
        self.steps.append(what)
        return self._last is not None and len(self.steps) > self._last

    def write(self, file: IO[Any], path: Any, content: Any) -> int:
        is_last = self.step("write", path)
        status = os.fstat(file.fileno())
        self._synced.setdefault(status.st_ino, status.st_size)
        written = file.write(content[: len(content) // 2] if is_last else content)
        file.flush()
        if is_last:
            raise Death
        return written

    def sync(self, handle: int) -> None:
        """In place of os.fsync; no disk is waited for."""
        if self.step("sync", Path(f"/proc/self/fd/{handle}").readlink()):
            raise Death
        status = os.fstat(handle)
        if self._synced.pop(status.st_ino, 0) > status.st_size:
            raise AssertionError("a file has shrunk since its last sync")

    def cut_power(self) -> None:
        """Lose what was not synced."""
        for path in Path(self._folder).rglob("*"):
            if path.is_file() and (size := self._synced.get(path.stat().st_ino)) is not None:
                os.truncate(path, size)


class _Written:
    """A file whose writes are steps."""

    def __init__(self, disk: Disk, file: IO[Any], path: Any) -> None:
        self._disk, self._file, self._path = disk, file, path

    def write(self, content: Any) -> int:
        return self._disk.write(self._file, self._path, content)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> "_Written":
        return self

    def __exit__(self, *error: Any) -> None:
        self._file.close()


@contextmanager
def watched(folder: Path, last: int | None = None) -> Iterator[Disk]:
    """What is done to files in a folder is counted, and ends after `last` steps."""
    disk, plain = Disk(folder, last), io.open

    def opened(path: Any, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        file = plain(path, mode, *arguments, **named)
        is_own = isinstance(path, str | os.PathLike) and str(path).startswith(str(folder)) and mode.strip("rbt") != ""
        return _Written(disk, file, path) if is_own else file

    def stepping(what: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def stepped(path: Any, *arguments: Any, **named: Any) -> Any:
            if disk.step(what, path):
                raise Death
            return function(path, *arguments, **named)

        return stepped

    with pytest.MonkeyPatch.context() as patch:
        for module in (io, "builtins"):
            patch.setattr(*((module, "open") if module is io else ("builtins.open",)), opened)
        patch.setattr(os, "fsync", disk.sync)
        for name, what in (("replace", "rename"), ("rename", "rename"), ("unlink", "remove"), ("remove", "remove")):
            patch.setattr(os, name, stepping(what, getattr(os, name)))
        yield disk


def every_death(
    folder: Path, prepare: Callable[[Path], None], act: Callable[[Path], Any], power_cut: bool = False
) -> Iterator[tuple[Path, list[str]]]:
    """Folders in which a procedure has died at its first step, at its second ..., and at last one where it has not.

    Args:
        prepare: makes what the procedure finds; it does not die.

    Yields:
        the folder, and the steps that were begun there.
    """
    for last in range(MOST_STEPS):
        own = folder / str(last)
        own.mkdir()
        prepare(own)
        with watched(own, last) as disk:
            try:
                act(own)
            except Death:
                is_dead = True
            else:
                is_dead = False
        if power_cut:
            disk.cut_power()
        yield own, disk.steps
        if not is_dead:
            return
    raise AssertionError(f"more than {MOST_STEPS} steps")
