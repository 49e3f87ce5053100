"""How much memory is left for this process, from Linux's files; unknown on other systems.

The smallest of these counts: the machine's memory, the limit of a control group (of either version) that this process
is in, and its share among the workers of a sweep. Swap is not counted, since a run that swaps takes far too long.

The constants below were chosen and not measured, except for the cost of a look.
"""

import functools
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rlhf_sweeps.platforms import system

RESERVE = 2**28  # bytes that are left to other processes; chosen
SECONDS_VALID = 1.0  # seconds that a measurement stays valid; measuring costs half a millisecond; chosen
LEAST_PIECE = 2**24  # bytes: smaller pieces are not taken; Python itself allocates less meanwhile; chosen
_UNLIMITED = 2**60  # version 1 gives a group without a limit a number just below 2**63
# Files of version 2 and of version 1: the limit, the memory in use, and the parts of it that are a file cache, which
# the system frees when needed.
_NAMES = (
    ("memory.max", "memory.current", ("inactive_file", "active_file")),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", ("total_inactive_file", "total_active_file")),
)


class Room:
    """The memory that this process may take.

    Args:
        root: the folder that holds the system's /proc and /sys.

    Attributes:
        share: upper limit in bytes of this process's memory, as one worker of several; None: no limit.
        total: bytes that this process could reach when last measured, with the memory that it has; None: unknown.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root
        self.share: int | None = None
        self.total: int | None = None
        self._most_data: int | None = None
        self._unused: int | None = None
        self._measured = -SECONDS_VALID

    def most_data(self) -> int | None:
        """The most data, in bytes as RLIMIT_DATA counts them, that this process may come to have; None: unknown."""
        if time.monotonic() - self._measured >= SECONDS_VALID:
            self._measure()
            self._measured = time.monotonic()
        return self._most_data

    def set_aside(self, take: Callable[[int], bool]) -> None:
        """Allocate, for good, the unused pieces that the allocator holds.

        A limit of data counts these pieces, although a tensor of another size may not fit into them. Pages that are
        allocated and never touched take no memory; from then on they count as unused.

        Args:
            take: allocates so many bytes from the allocator's pieces; returns whether that was possible.
        """
        own = _read_numbers(self.root / "proc/self/status")
        if self._unused is None or not {"VmData", "RssAnon"} <= own.keys():
            return
        size = _count_untouched(own)
        with system.data_limit(own["VmData"] + LEAST_PIECE // 2):
            while size >= LEAST_PIECE:
                if take(size):
                    self._unused += size
                else:
                    size -= size // 32
        self._measured = -SECONDS_VALID

    def _measure(self) -> None:
        own = _read_numbers(self.root / "proc/self/status")
        room = measure_free_memory(self.root)
        if room is None or not {"VmData", "RssAnon"} <= own.keys():
            return
        resident = _sum_resident(own)
        self.total = resident + room if self.share is None else min(resident + room, max(resident, self.share))
        # Threads and allocators reserve data that they never use. The least reserved amount that was ever measured
        # counts as never used; anything above it, such as weights mapped from their file, may still be used.
        untouched = _count_untouched(own)
        self._unused = untouched if self._unused is None else min(self._unused, untouched)
        self._most_data = self.total + self._unused


def _sum_resident(own: dict[str, int]) -> int:
    """The bytes of this process's own pages, from its status."""
    return own["RssAnon"] + own.get("VmSwap", 0)


def _count_untouched(own: dict[str, int]) -> int:
    """The bytes that this process has reserved and never used, from its status."""
    return own["VmData"] - _sum_resident(own)


def measure_free_memory(root: Path = Path("/")) -> int | None:
    """Bytes that the machine and the control groups have left, minus a reserve; None: unknown.

    Args:
        root: the folder that holds the system's /proc and /sys.
    """
    machine = _read_numbers(root / "proc/meminfo").get("MemAvailable")
    if machine is None:
        return None
    groups = [_measure_group(folder, names) for folder, names in _find_limited_groups(root)]
    return max(0, min([machine, *groups]) - RESERVE)


Names = tuple[str, str, tuple[str, str]]


@functools.cache
def _find_limited_groups(root: Path) -> list[tuple[Path, Names]]:
    """The control groups with a limit that this process is in, with the names of their files."""
    return [
        (folder, names)
        for folder in _find_groups(root)
        for names in _NAMES
        if (limit := _read_number(folder / names[0])) is not None and limit < _UNLIMITED
    ]


def _find_groups(root: Path) -> Iterator[Path]:
    """Yield this process's control groups that may limit memory, and their parents.

    In a container the names may be those outside of it; the outermost folder is then the container's own group.
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


def _measure_group(folder: Path, names: Names) -> int:
    limit, used = _read_number(folder / names[0]), _read_number(folder / names[1])
    if limit is None or used is None:
        return _UNLIMITED
    statistics = _read_numbers(folder / "memory.stat")
    return limit - used + sum(statistics.get(name, 0) for name in names[2])


def _read_numbers(file: Path) -> dict[str, int]:
    """The numbers in a file of names and numbers, in bytes; empty if there is no such file."""
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
