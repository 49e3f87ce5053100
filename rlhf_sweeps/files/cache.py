"""The cache: one process makes a file that takes long to make, while other processes wait for it. Loads no torch."""

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
from rlhf_sweeps.process.activity import report_activity

Content = TypeVar("Content")


def cache_dir() -> Path:
    """The folder for unpacked wheels and fitted heads: RLHF_SWEEPS_CACHE, else in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("RLHF_SWEEPS_CACHE") or Path(base) / "rlhf_sweeps")


def make_once(target: Path, make: Callable[[Path], Path]) -> Path:
    """Return the file or folder at `target`, and make it if there is none, as `read_or_make` does.

    Each use compares the files with the digests that were noted when they were made. If they differ, they are removed
    and made again.
    """
    note = target.with_name(f"{target.name}.digests")

    def read() -> Path | None:
        try:
            with report_activity(f"checking the digests of {target.name}"):
                return target if note.read_text(encoding="utf-8") == _compute_digests(target) else None
        except (OSError, UnicodeError):
            return None

    def make_noted(scratch: Path) -> Path:
        if target.is_dir():
            shutil.rmtree(target)
        target.unlink(missing_ok=True)
        made = make(scratch)
        noted = scratch / note.name
        noted.write_text(_compute_digests(made), encoding="utf-8")
        place(noted, note)
        return made

    return read_or_make(target, read, make_noted)


def _compute_digests(made: Path) -> str:
    """The SHA-256 of a file, or of all files in a folder, a line for each with its path in the folder."""
    lines = []
    for path in sorted([made, *made.rglob("*")]):
        if path.is_file():
            with path.open("rb") as content:
                digest = hashlib.file_digest(content, "sha256").hexdigest()
            lines.append(f"{digest}  {path.relative_to(made).as_posix()}")
    return "\n".join(lines)


def read_or_make(target: Path, read: Callable[[], Content | None], make: Callable[[Path], Path]) -> Content:
    """Return what `read` returns; if that is None, one process makes the target while other processes wait.

    The operating system frees the lock when its holder dies; the next process in turn then makes the target. An
    exception of `make` frees the lock, too.

    Args:
        target: the path of a file or folder.
        read: reads the target; None if it is missing or damaged.
        make: takes an empty folder beside the target, makes the target's content in there and returns its path; the
            folder is removed afterwards.
    """
    if (content := read()) is not None:
        return content
    target.parent.mkdir(parents=True, exist_ok=True)
    # The lock's file stays: if it were removed while others wait for it, two processes could enter.
    lock = FileLock(target.with_name(f"{target.name}.lock"))
    with report_activity(f"waiting for another process that makes {target.name}"):
        held = lock.acquire()
    with held:
        if (content := read()) is None:
            for leftover in target.parent.glob(f"{glob.escape(target.name)}.*.unfinished"):  # of a killed process
                shutil.rmtree(leftover, ignore_errors=True)
            # The name is new: a killed process may have left a child that still writes into its folder.
            scratch = target.with_name(f"{target.name}.{secrets.token_hex(4)}.unfinished")
            scratch.mkdir()
            try:
                made = make(scratch)
                place(made, target)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
            content = read()
    assert content is not None, f"{target} cannot be read as it was made"
    return content
