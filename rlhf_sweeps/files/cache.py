"""The cache: what takes long to make is made once, by one process, while the others wait for it. Loads no torch."""

import glob
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from filelock import FileLock

from rlhf_sweeps.files.placing import place

Found = TypeVar("Found")


def cache_dir() -> Path:
    """Where unpacked wheels and fitted heads are kept: RLHF_SWEEPS_CACHE, else the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("RLHF_SWEEPS_CACHE") or Path(base) / "rlhf_sweeps")


def make_once(target: Path, make: Callable[[Path], Path]) -> Path:
    """The file or folder at `target`, made where there is none, as by `read_or_make`.

    At each use its files are compared with their digests as they were made; what differs is removed and made anew.
    """
    note = target.with_name(f"{target.name}.digests")

    def read() -> Path | None:
        try:
            return target if note.read_text(encoding="utf-8") == _digests(target) else None
        except (OSError, UnicodeError):
            return None

    def make_noted(scratch: Path) -> Path:
        if target.is_dir():
            shutil.rmtree(target)
        target.unlink(missing_ok=True)
        made = make(scratch)
        noted = scratch / note.name
        noted.write_text(_digests(made), encoding="utf-8")
        place(noted, note)
        return made

    return read_or_make(target, read, make_noted)


def _digests(made: Path) -> str:
    """The SHA-256 of a file, or of all files in a folder, a line each with the path in there."""
    lines = []
    for path in sorted([made, *made.rglob("*")]):
        if path.is_file():
            with path.open("rb") as content:
                digest = hashlib.file_digest(content, "sha256").hexdigest()
            lines.append(f"{digest}  {path.relative_to(made).as_posix()}")
    return "\n".join(lines)


def read_or_make(target: Path, read: Callable[[], Found | None], make: Callable[[Path], Path]) -> Found:
    """What `read` finds at `target`; where that is nothing, one process makes it and the others wait.

    The operating system frees the lock when its holder dies, and the next in turn makes it anew. What `make` raises
    ends this process's turn.

    Args:
        make: given an empty folder beside the target, makes what belongs there and returns where it lies; the rest of
            the folder is thrown away.
    """
    if (found := read()) is not None:
        return found
    target.parent.mkdir(parents=True, exist_ok=True)
    # The lock's file stays: to remove it under those who wait for it would let two in.
    with FileLock(target.with_name(f"{target.name}.lock")):
        if (found := read()) is None:
            for left in target.parent.glob(f"{glob.escape(target.name)}.*.unfinished"):  # by a killed process
                shutil.rmtree(left, ignore_errors=True)
            # Of a name of its own: a killed process may have left a child that still writes into its folder.
            scratch = target.with_name(f"{target.name}.{secrets.token_hex(4)}.unfinished")
            scratch.mkdir()
            try:
                made = make(scratch)
                place(made, target)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
            found = read()
    assert found is not None, f"{target} cannot be read as it was made"
    return found
