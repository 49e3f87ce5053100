"""Linux and macOS. The other half, with the same functions, is windows.py."""

import contextlib
import ctypes
import fcntl
import functools
import os
import re
import resource
import signal
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import context, forkserver, resource_tracker
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal, TypeVar

assert sys.platform != "win32"

Result = TypeVar("Result")

_LOCKS = Path("/proc/locks")  # of Linux
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LOCK = re.compile(r"\d+: FLOCK\s+\S+\s+WRITE\s+(?P<process>\d+)\s+\S+:(?P<inode>\d+)\s")

# Files


@contextlib.contextmanager
def locked(folder: Path, wait: bool) -> Iterator[None]:
    """Keep a folder to this process; the operating system gives it free when the process dies.

    Args:
        wait: until another process that has it is done.

    Raises:
        BlockingIOError: if another process has it, and this one is not to wait.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(handle)


def claims() -> list[tuple[int, int]] | None:
    """Process and inode of every folder that is locked on this machine; None where that cannot be seen."""
    try:
        lines = _LOCKS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return [] if _LOCKS.exists() else None
    return [(int(match["process"]), int(match["inode"])) for line in lines if (match := _LOCK.match(line))]


def patiently(act: Callable[[], Result]) -> Result:
    """Do something to a file that others may have open, which disturbs nobody here."""
    return act()


def sync(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# This machine


def num_cores() -> int:
    """Cores that this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))  # fewer than the machine has, where a scheduler or taskset restricts it
    return os.cpu_count() or 1


def cxx_compiler() -> str:
    """The C++ compiler that torch.compile takes by default."""
    return "clang++" if sys.platform == "darwin" else "g++"


def peak_memory() -> int:
    """The most bytes of memory that this process has held at once."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@contextlib.contextmanager
def data_limit(most: int) -> Iterator[None]:
    """Have what this process asks for meanwhile fail where its data would be more than so many bytes; Linux's alone.

    Data are the pages that are its own: all but files, shared memory and stacks.
    """
    before = soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (most if soft == resource.RLIM_INFINITY else min(most, soft), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def is_limited_by_the_user() -> bool:
    """Whether this process's data or addresses are limited from outside, as by a shell's `ulimit`."""
    return any(
        resource.getrlimit(kind)[0] != resource.RLIM_INFINITY for kind in (resource.RLIMIT_DATA, resource.RLIMIT_AS)
    )


# Processes


def start_method(wanted: Literal["forkserver", "spawn"]) -> Literal["forkserver", "spawn"]:
    """How processes are started: as wanted, but not by a fork where the system's own libraries do not survive one."""
    return wanted if sys.platform == "linux" else "spawn"


def process_class(method: Literal["forkserver", "spawn"]) -> type[BaseProcess]:
    """What is started by a method."""
    return context.ForkServerProcess if method == "forkserver" else context.SpawnProcess


def open_server(preload: Sequence[str]) -> None:
    """Have the fork server there, which imports these modules, missing ones passed over."""
    forkserver.set_forkserver_preload(list(preload))
    forkserver.ensure_running()


def close_server() -> None:
    """End the fork server."""
    # multiprocessing ends it with the last process that holds a pipe to it, and offers no other way in public.
    server: Any = forkserver._forkserver
    if server._forkserver_pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(server._forkserver_pid, signal.SIGKILL)
        server._stop()


@contextlib.contextmanager
def shielded() -> Iterator[None]:
    """What is started meanwhile does not get Ctrl-C until it has left the terminal."""
    # multiprocessing starts its tracker beside the first process, and unblocks SIGINT then.
    resource_tracker.ensure_running()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def leave_terminal() -> None:
    """Make this process the first of a group of its own, which Ctrl-C does not reach."""
    os.setsid()
    # Ignoring comes first, since it drops a pending one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def end_with_parent(parent: int) -> None:
    """Have this process end with the one that started it, however that ends. Linux; elsewhere no fork is used."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # which was gone before
            os._exit(1)


def drop_terminal() -> None:
    """Have nowhere to write where that was a terminal, which is gone: each line for it would be an error."""
    for handle in (1, 2):
        with contextlib.suppress(OSError):
            if stat.S_ISCHR(os.fstat(handle).st_mode):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, handle)
                os.close(nowhere)


# By which a process is told that its end is near, beside SIGINT and SIGTERM.
WARNINGS: tuple[signal.Signals, ...] = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def end_own_group() -> None:
    """End this process, which has left the terminal, and all that it has started."""
    os.killpg(0, signal.SIGKILL)


def kill(process: BaseProcess) -> bool:
    """Kill a process and the group that it leads; returns whether it was there."""
    assert process.pid is not None
    try:
        os.kill(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    # It leads a group only from its first line on.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return True


def is_running(process: int) -> bool:
    """Whether there is a process of this number."""
    try:
        os.kill(process, 0)
    except PermissionError:
        return True  # another user's
    except (OSError, OverflowError):
        return False
    return True


# Time: no Python code is run in setting the timer, which the alarm could interrupt.

ALARM: signal.Signals | None = signal.SIGALRM
# (seconds, interval) -> those of the timer before
set_timer: Callable[..., tuple[float, float]] = functools.partial(signal.setitimer, signal.ITIMER_REAL)
