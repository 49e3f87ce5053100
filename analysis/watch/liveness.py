"""Whether somebody still writes a record, as far as this machine can tell; looks only, and so never disturbs them."""

import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Taking the lock to see whether it is free could refuse a sweeper that starts at that moment; Linux lists those held.
_LOCKS = Path("/proc/locks")
_LOCK = re.compile(r"\d+: FLOCK\s+\S+\s+WRITE\s+(?P<process>\d+)\s+\S+:(?P<inode>\d+)\s")


def claimant(folder: Path) -> int | None:
    """The process on this machine that has claimed a record's folder; None where none has, or it cannot be seen."""
    try:
        inode = folder.stat().st_ino
    except OSError:
        return None
    return next((process for process, claimed in _claims() if claimed == inode), None)


def is_swept(folder: Path, holder: Mapping[str, Any]) -> bool | None:
    """Whether a sweeper is at work in a sweep's folder; None if that cannot be seen from here.

    Args:
        holder: what sweeper.json holds: the process and the host that sweep there, or did last.
    """
    if claimant(folder) is not None:
        return True
    process = holder.get("process")
    if not isinstance(process, int) or process <= 0 or holder.get("host") != socket.gethostname():
        return None
    # Process numbers are given again; and some file systems list a claim under another number than the folder's.
    return _exists(process) and (not _LOCKS.exists() or any(claimer == process for claimer, _ in _claims()))


def _claims() -> list[tuple[int, int]]:
    """Process and inode of every claim on this machine."""
    try:
        lines = _LOCKS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [(int(match["process"]), int(match["inode"])) for line in lines if (match := _LOCK.match(line))]


def _exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except PermissionError:
        return True  # another user's
    except (OSError, OverflowError):
        return False
    return True
