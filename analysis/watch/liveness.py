"""Whether a process still writes a record, as far as this machine can see; it only looks, and disturbs nothing."""

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlhf_sweeps.platforms import system


def find_claimant(folder: Path) -> int | None:
    """The process on this machine that has claimed a record's folder; None where none has, or it cannot be seen."""
    # Taking the lock to see whether it is free could refuse a sweeper that starts right then; Linux lists those held.
    try:
        inode = folder.stat().st_ino
    except OSError:
        return None
    return next((process for process, claimed in system.claims() or () if claimed == inode), None)


def is_swept(folder: Path, holder: Mapping[str, Any]) -> bool | None:
    """Whether a sweeper is at work in a sweep's folder; None if that cannot be seen from here.

    Args:
        holder: what sweeper.json holds: the process and the host that sweep there, or did last.
    """
    if find_claimant(folder) is not None:
        return True
    process = holder.get("process")
    if not isinstance(process, int) or process <= 0 or holder.get("host") != socket.gethostname():
        return None
    # Process numbers are given again; and some file systems list a claim under another number than the folder's.
    claims = system.claims()
    return system.is_running(process) and (claims is None or any(claimer == process for claimer, _ in claims))
