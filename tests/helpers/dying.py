"""A machine that dies between any two things that a procedure does to files.

Each making, writing, syncing, renaming and removing counts. Death comes before the n-th: nothing is done from there on,
and what was not synced is lost as a power cut loses it: files are cut to half, and new names in a folder may be gone.
"""

import itertools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.truncate")


class Dead(BaseException):
    """The machine; no `except Exception` outlives it."""


@dataclass
class Disk:
    """What happens in a folder.

    Attributes:
        dies_at: the number of the change, from 0, before which it dies; None: never.
        events: what was done so far: kind and path.
    """

    root: Path
    dies_at: int | None = None
    events: list[tuple[str, Path]] = field(default_factory=list)
    _unsynced: set[Path] = field(default_factory=set)
    _named: list[tuple[Path | None, Path]] = field(default_factory=list)
    _is_dead: bool = False

    def happen(self, kind: str, path: Any) -> None:
        """Something is about to be done to a path."""
        whole = _whole(path)
        if not whole.is_relative_to(self.root):
            return
        if self._is_dead or len(self.events) == self.dies_at:
            self._is_dead = True
            raise Dead
        self.events.append((kind, whole))
        if kind == "write":
            self._unsynced.add(whole)
        if kind == "os.link":
            self._named.append((None, whole))
        if kind == "sync":
            self._unsynced.discard(whole)
            self._named = [(old, new) for old, new in self._named if new.parent != whole]

    def rename(self, old: Any, new: Any) -> None:
        """A path is about to get another name."""
        before, after = _whole(old), _whole(new)
        replaces = after.exists()
        self.happen("os.rename", after)
        self._unsynced = {_moved(one, before, after) for one in self._unsynced}
        self._named = [(name, _moved(one, before, after)) for name, one in self._named]
        if not replaces:  # else the old content is gone with its name
            self._named.append((before, after))

    def lose(self, keeps_names: bool) -> None:
        """What a power cut takes; names may be on the disk before what they stand for, or not."""
        for path in self._unsynced:
            if path.is_file():
                os.truncate(path, path.stat().st_size // 2)
        for old, new in () if keeps_names else reversed(self._named):
            if old is None:
                new.unlink(missing_ok=True)
            elif new.exists() and not old.exists() and old.parent.is_dir():
                new.replace(old)


def _moved(path: Path, before: Path, after: Path) -> Path:
    return after / path.relative_to(before) if path.is_relative_to(before) else path


_disk: Disk | None = None


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    """Python tells of most that is done to files."""
    if _disk is None or event not in (*CHANGES, "open"):
        return
    if event == "open":
        path, _, flags = arguments
        if isinstance(path, str | bytes | os.PathLike) and flags & (os.O_WRONLY | os.O_RDWR):
            _disk.happen("write", path)
    elif event == "os.rename":
        _disk.rename(*arguments[:2])
    elif event == "os.link":
        _disk.happen(event, arguments[1])
    else:  # shutil.rmtree names what it removes from within the folder, whose number comes last
        folder = arguments[-1] if event != "os.truncate" else -1
        _disk.happen(event, arguments[0] if folder < 0 else _whole(f"/proc/self/fd/{folder}") / arguments[0])


def _whole(path: Any) -> Path:
    name = os.fsdecode(path)
    return Path(name).readlink() if name.startswith("/proc/self/fd/") else Path.cwd() / name


sys.addaudithook(_hear)


@contextmanager
def watched(disk: Disk, *writers: tuple[object, str]) -> Iterator[None]:
    """Whatever is done in the disk's folder counts.

    Args:
        writers: module and name of functions (content, path, ...) that write a file without Python's hearing of it.
    """
    global _disk
    with pytest.MonkeyPatch.context() as patch:
        sync = os.fsync

        def synced(handle: int) -> None:
            disk.happen("sync", f"/proc/self/fd/{handle}")
            sync(handle)

        patch.setattr(os, "fsync", synced)
        for module, name in writers:
            patch.setattr(module, name, _told(disk, getattr(module, name)))
        _disk = disk
        try:
            yield
        finally:
            _disk = None


def _told(disk: Disk, write: Callable[..., Any]) -> Callable[..., Any]:
    def told(content: Any, path: Any, *arguments: Any, **options: Any) -> Any:
        disk.happen("write", path)
        return write(content, path, *arguments, **options)

    return told


def deaths(
    prepare: Callable[[], Path], procedure: Callable[[], object], *writers: tuple[object, str]
) -> Iterator[Disk]:
    """Run a procedure again and again, dying one change later each time; yields the disk as each death has left it.

    Args:
        prepare: makes the folder as it is before; returns it.
    """
    for number, keeps_names in itertools.product(range(1000), (False, True)):
        disk = Disk(prepare(), number)
        try:
            with watched(disk, *writers):
                procedure()
        except Dead:
            disk.lose(keeps_names)
            yield disk
        else:
            assert number == len(disk.events) > 0
            return
    raise AssertionError("it never ends")
