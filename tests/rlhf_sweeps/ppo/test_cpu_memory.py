"""What a CPU's process may take is limited while a step runs; each case in a process of its own."""

import os
import subprocess
import sys

import pytest
from conftest import ROOT

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody knows what there is")


def pretended(code: str, before: str = "") -> str:
    """What code prints in a fresh process that may take 400 MiB; its work takes 64 a sequence.

    Args:
        before: what is done before memory is kept.
    """
    start = """
import resource, torch
from rlhf_sweeps.config.fields import TooLargeError
from rlhf_sweeps.platforms import system
from rlhf_sweeps.platforms.memory import room
from rlhf_sweeps.ppo.memory import BatchSize, keep_freed_memory, require_memory

def resident():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("RssAnon"))

BEFORE
keep_freed_memory()
room.most_data()
room.share, room._measured = resident() + 400 * 2**20, -1.0
def work(size):
    total = 0.0
    for _ in range(0, 16, size):
        total += sum(block.sum().item() for block in [torch.ones(2**24) for _ in range(size)])
    return total / 16
"""
    done = subprocess.run(
        [sys.executable, "-c", start.replace("BEFORE", before) + code],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@LINUX
def test_a_cpus_batches_are_halved_before_the_system_kills() -> None:
    """Of 64 MiB a sequence 16 or 8 do not fit into 400 MiB; 4 do, and so do 16 where nothing is limited."""
    code = """
batch = BatchSize("key", 16)
print(batch.run(work), batch.size, resource.getrlimit(resource.RLIMIT_DATA)[0] == resource.RLIM_INFINITY)
print(work(16))
"""
    assert pretended(code) == f"{2.0**24} 4 True\n{2.0**24}\n"


@LINUX
def test_what_a_failed_attempt_leaves_in_pieces_does_not_count() -> None:
    """Into a piece of 64 MiB no tensor of 90 fits; of these there are four in 400 MiB, and not five."""
    code = """
import ctypes
library = ctypes.CDLL(None)
library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
def in_pieces(size):
    blocks = []
    if size > 1:
        while len(blocks) < 6:
            blocks.append(torch.ones(2**24))
            library.malloc(2**17)
        raise MemoryError
    try:
        while len(blocks) < 9:
            blocks.append(torch.ones(90 * 2**18))
    except RuntimeError:
        pass
    return len(blocks), resident() <= room.share
print(*BatchSize("key", 2).run(in_pieces))
"""
    assert pretended(code) == "4 True\n"


@LINUX
def test_what_no_halving_helps_is_one_line() -> None:
    code = """
try:
    with require_memory("model.path=x", "a smaller model"):
        torch.ones(2**27)
except TooLargeError as error:
    print(error)
"""
    found = pretended(code)
    assert found.startswith("model.path=x: out of memory (more is needed than the 0.")
    assert found.endswith(" GiB that this process may have); must be a smaller model, or a machine with more\n")


@LINUX
def test_a_limit_of_the_users_stays_the_lower_one() -> None:
    """Of 250 MiB, into which 4 do not fit and 2 do, also beside the stack and the arena of another thread."""
    limit = """
with open("/proc/self/status") as file:
    most = next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmData")) + 250 * 2**20
resource.setrlimit(resource.RLIMIT_DATA, (most, resource.RLIM_INFINITY))
"""
    code = """
batch = BatchSize("key", 16)
print(batch.run(work), batch.size, resource.getrlimit(resource.RLIMIT_DATA)[0] == most)
print(system.is_limited_by_the_user())
"""
    assert pretended(code, limit) == f"{2.0**24} 2 True\nTrue\n"
