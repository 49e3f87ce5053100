"""How much memory is left for this process, as Linux tells it; elsewhere nobody knows.

The scarcest counts: the machine's, that of a control group (of either version) which this process is in, and its share
among the workers of a sweep. Swap is not counted: whoever works in it does not come to an end.
"""

import functools
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rlhf_sweeps.platforms import system

RESERVE = 2**28  # bytes that are left to everything else
MEASURED_FOR = 1.0  # seconds: what others take and give back does not change faster, and looking costs half a ms
PIECE = 2**24  # bytes; smaller ones are not worth being taken, and what Python itself needs meanwhile is less
_UNLIMITED = 2**60  # what version 1 says of a group without a limit is not far below 2**63
# Version 2 and 1: the limit, what is used, and the file cache in that, which gives way.
_NAMES = (
    ("memory.max", "memory.current", ("inactive_file", "active_file")),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", ("total_inactive_file", "total_active_file")),
)


class Room:
    """What this process may take.

    Args:
        root: where the system's files begin.

    Attributes:
        share: bytes that it may come to have at most, whatever else there is.
        total: bytes that it might come to have when that was last measured; None: unknown.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root
        self.share: int | None = None
        self.total: int | None = None
        self._most_data: int | None = None
        self._unused: int | None = None
        self._measured = -MEASURED_FOR

    def most_data(self) -> int | None:
        """The bytes of data, as RLIMIT_DATA counts them, that this process may come to; None: unknown."""
        if time.monotonic() - self._measured >= MEASURED_FOR:
            self._measure()
            self._measured = time.monotonic()
        return self._most_data

    def set_aside(self, take: Callable[[int], bool]) -> None:
        """Take, for good, what the allocator has got from the system, does not use, and keeps in pieces.

        A limit of data counts these pieces, although a tensor of another size may not fit into them. What is taken and
        never touched is no memory, and is not counted any more.

        Args:
            take: takes so many bytes from the allocator; whether there were any.
        """
        own = _read_numbers(self.root / "proc/self/status")
        if self._unused is None or not {"VmData", "RssAnon"} <= own.keys():
            return
        size = _untouched(own)
        with system.data_limit(own["VmData"] + PIECE // 2):
            while size >= PIECE:
                if take(size):
                    self._unused += size
                else:
                    size -= size // 32
        self._measured = -MEASURED_FOR

    def _measure(self) -> None:
        own = _read_numbers(self.root / "proc/self/status")
        room = left(self.root)
        if room is None or not {"VmData", "RssAnon"} <= own.keys():
            return
        resident = _resident(own)
        self.total = resident + room if self.share is None else min(resident + room, max(resident, self.share))
        # Threads and allocators reserve what they never use, which counts as data, too. The least that was ever seen of
        # it is taken for that: what comes on top later, such as weights mapped from their file, may yet be used.
        untouched = _untouched(own)
        self._unused = untouched if self._unused is None else min(self._unused, untouched)
        self._most_data = self.total + self._unused


def _resident(own: dict[str, int]) -> int:
    """The bytes of this process's own pages, from its status."""
    return own["RssAnon"] + own.get("VmSwap", 0)


def _untouched(own: dict[str, int]) -> int:
    """The bytes that are reserved and were never used, from its status."""
    return own["VmData"] - _resident(own)


def left(root: Path = Path("/")) -> int | None:
    """Bytes that the machine and the control groups have left, less a reserve; None: unknown.

    Args:
        root: where the system's files begin.
    """
    machine = _read_numbers(root / "proc/meminfo").get("MemAvailable")
    if machine is None:
        return None
    return max(0, min([machine, *(_left_in_group(folder, names) for folder, names in _limited_groups(root))]) - RESERVE)


Names = tuple[str, str, tuple[str, str]]


@functools.cache
def _limited_groups(root: Path) -> list[tuple[Path, Names]]:
    """The control groups with a limit that this process is in, and what their files are called."""
    return [
        (folder, names)
        for folder in _groups(root)
        for names in _NAMES
        if (limit := _read_number(folder / names[0])) is not None and limit < _UNLIMITED
    ]


def _groups(root: Path) -> Iterator[Path]:
    """This process's control groups that may limit memory, and those around them.

    In a container the names may be those outside of it, where the outermost folder is the container's own group.
    """
    mounted = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, name = line.split(":", 2)
        if controllers == "":
            top = mounted if (mounted / "cgroup.controllers").exists() else mounted / "unified"
        elif "memory" in controllers.split(","):
            top = mounted / "memory"
        else:
            continue
        parts = Path(name).parts[1:]
        yield from (top.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1))


def _left_in_group(folder: Path, names: Names) -> int:
    limit, used = _read_number(folder / names[0]), _read_number(folder / names[1])
    if limit is None or used is None:
        return _UNLIMITED
    statistics = _read_numbers(folder / "memory.stat")
    return limit - used + sum(statistics.get(name, 0) for name in names[2])


def _read_numbers(file: Path) -> dict[str, int]:
    """The numbers of a file of names and numbers, in bytes; none where there is no such file."""
    numbers: dict[str, int] = {}
    for line in _read(file).splitlines():
        name, *words = line.split()
        if words and words[0].isdigit():
            numbers[name.rstrip(":")] = int(words[0]) * (1024 if words[1:] == ["kB"] else 1)
    return numbers


def _read_number(file: Path) -> int | None:
    word = _read(file).strip()
    return int(word) if word.isdigit() else None


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


room = Room()
