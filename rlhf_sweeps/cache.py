"""The cache: what takes long to make is made once, by one process, while the others wait for it. Loads no torch."""

import glob
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from filelock import FileLock

from rlhf_sweeps.placing import place

Found = TypeVar("Found")


def cache_dir() -> Path:
    """Where unpacked wheels and fitted heads are kept: RLHF_SWEEPS_CACHE, else the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("RLHF_SWEEPS_CACHE") or Path(base) / "rlhf_sweeps")


def make_once(target: Path, make: Callable[[Path], Path]) -> Path:
    """The file or folder at `target`, made where there is none, as by `read_or_make`."""
    return read_or_make(target, lambda: target if target.exists() else None, make)


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
