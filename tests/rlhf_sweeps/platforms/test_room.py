"""How much memory a process may have, on pretended machines; all expected numbers by hand."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rlhf_sweeps.platforms import memory
from rlhf_sweeps.platforms.memory import RESERVE, Room, measure_free_memory

MIB = 2**20
Pretend = Callable[..., Path]


@pytest.fixture
def pretend(tmp_path: Path) -> Pretend:
    """Files below the root, by name: their content."""

    def write(**files: str) -> Path:
        for name, content in files.items():
            path = tmp_path / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        return tmp_path

    return write


MEMINFO = (
    "MemTotal:       8388608 kB\nMemFree:         102400 kB\nMemAvailable:   4194304 kB\nHugePages_Total:       0\n"
)
IN_GROUP = "9:name=systemd:/\n0::/user/job\n"


def write_group(folder: Path, limit: str, used: int, cache: int, names: tuple[str, str, str]) -> None:
    """A control group in MiB; names: of the limit, the use, and before what the statistics say of the file cache."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(f"{limit}\n", encoding="utf-8")
    (folder / names[1]).write_text(f"{used * MIB}\n", encoding="utf-8")
    counts = f"anon 77\n{names[2]}inactive_file {cache * MIB}\n{names[2]}active_file {MIB}\n"
    (folder / "memory.stat").write_text(counts, encoding="utf-8")


V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_")
V2 = ("memory.max", "memory.current", "")


def test_the_reserve_is_kept_from_what_the_machine_has(pretend: Pretend) -> None:
    assert measure_free_memory(pretend(proc__meminfo=MEMINFO)) == 4096 * MIB - RESERVE == 3840 * MIB


def test_nobody_knows_where_there_is_no_proc(tmp_path: Path) -> None:
    assert measure_free_memory(tmp_path) is None
    assert Room(tmp_path).most_data() is None


def test_nothing_is_less_than_nothing(pretend: Pretend) -> None:
    assert measure_free_memory(pretend(proc__meminfo="MemAvailable: 1024 kB\n")) == 0


@pytest.mark.parametrize(
    ("inner", "outer", "expected"),
    [
        (f"{1000 * MIB}", "max", 1000 - 400 + 100 + 1),
        ("max", f"{900 * MIB}", 900 - 500 + 50 + 1),
        (f"{1000 * MIB}", f"{900 * MIB}", 900 - 500 + 50 + 1),
        (f"{9000 * MIB}", "max", 4096),  # the machine has less
        ("max", "max", 4096),
    ],
)
def test_the_scarcest_group_counts(inner: str, outer: str, expected: int, pretend: Pretend) -> None:
    """400 MiB are used in the inner one, 100 of them as a cache, in the outer one 500 and 50."""
    root = pretend(proc__meminfo=MEMINFO, proc__self__cgroup=IN_GROUP, sys__fs__cgroup__controllers="memory\n")
    (root / "sys/fs/cgroup/controllers").rename(root / "sys/fs/cgroup/cgroup.controllers")
    write_group(root / "sys/fs/cgroup/user/job", inner, 400, 100, V2)
    write_group(root / "sys/fs/cgroup/user", outer, 500, 50, V2)
    assert measure_free_memory(root) == expected * MIB - RESERVE


@pytest.mark.parametrize(
    ("line", "folder"),
    [
        ("4:memory:/docker/0123", "memory/docker/0123"),
        ("4:memory:/docker/0123", "memory"),  # in the container: the names are the host's, the files its own
        ("7:cpu,memory:/", "memory"),
        ("0::/a:b", "unified/a:b"),  # both versions side by side
    ],
)
def test_groups_of_either_version(line: str, folder: str, pretend: Pretend) -> None:
    root = pretend(proc__meminfo=MEMINFO, proc__self__cgroup=f"5:devices:/\n{line}\n")
    write_group(root / "sys/fs/cgroup" / folder, f"{2000 * MIB}", 700, 30, V2 if "unified" in folder else V1)
    assert measure_free_memory(root) == (2000 - 700 + 30 + 1) * MIB - RESERVE


def test_version_ones_number_for_no_limit(pretend: Pretend) -> None:
    root = pretend(proc__meminfo=MEMINFO, proc__self__cgroup="4:memory:/\n")
    write_group(root / "sys/fs/cgroup/memory", "9223372036854771712", 5000, 0, V1)
    assert measure_free_memory(root) == 3840 * MIB


def status(data: int, resident: int, swapped: int = 0) -> str:
    """Of /proc/self/status, in MiB."""
    kilobytes = {"VmData": data, "RssAnon": resident, "VmSwap": swapped}
    return "Name:\tpython\n" + "".join(f"{name}:\t {1024 * number} kB\n" for name, number in kilobytes.items())


@pytest.mark.parametrize(("share", "total"), [(None, 300 + 3840), (1000, 1000), (9000, 300 + 3840), (200, 300)])
def test_a_share_is_of_all_that_the_process_has(share: int | None, total: int, pretend: Pretend) -> None:
    """Of 1500 MiB reserved it uses 300; the other 1200 stay reserved."""
    room = Room(pretend(proc__meminfo=MEMINFO, proc__self__status=status(1500, 300)))
    room.share = None if share is None else share * MIB
    assert room.most_data() == (total + 1200) * MIB
    assert room.total == total * MIB


def test_what_is_mapped_or_taken_back_later_may_yet_be_used(pretend: Pretend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "SECONDS_VALID", 0.0)
    room = Room(pretend(proc__meminfo=MEMINFO, proc__self__status=status(1500, 300)))
    room.most_data()
    # 500 are mapped from a file, and not yet read or written; then 100 of what was reserved are used.
    pretend(proc__self__status=status(2000, 300))
    assert room.most_data() == (300 + 3840 + 1200) * MIB
    pretend(proc__self__status=status(2000, 900))
    assert room.most_data() == (900 + 3840 + 1100) * MIB
    # What was written to the swap is the process's all the same.
    pretend(proc__self__status=status(2000, 400, swapped=500))
    assert room.most_data() == (900 + 3840 + 1100) * MIB


def test_it_is_measured_once_in_a_while(pretend: Pretend, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 50.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    room = Room(pretend(proc__meminfo=MEMINFO, proc__self__status=status(300, 300)))
    before = room.most_data()
    pretend(proc__meminfo="MemAvailable: 2097152 kB\n")
    now = 50.9
    assert room.most_data() == before == (300 + 3840) * MIB
    now = 51.0
    assert room.most_data() == (300 + 2048 - 256) * MIB


@pytest.mark.skipif(sys.platform != "linux", reason="nobody knows elsewhere")
def test_this_machine() -> None:
    found, most = measure_free_memory(), Room().most_data()
    assert found is not None
    assert most is not None
    total = int(Path("/proc/meminfo").read_text(encoding="utf-8").split()[1]) * 1024
    assert 0 <= found < total
