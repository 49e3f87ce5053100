"""Linux and macOS; windows.py has the same functions for Windows."""

import contextlib
import ctypes
import fcntl
import functools
import os
import re
import resource
import select
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
    """Lock a folder for this process; the operating system frees the lock when the process dies.

    Args:
        wait: whether to wait until another process frees the lock.

    Raises:
        BlockingIOError: if another process has the lock, without `wait`.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(handle)


def claims() -> list[tuple[int, int]] | None:
    """Process and inode of every folder that is locked on this machine; None where this is unknown."""
    try:
        lines = _LOCKS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return [] if _LOCKS.exists() else None
    return [(int(match["process"]), int(match["inode"])) for line in lines if (match := _LOCK.match(line))]


def patiently(act: Callable[[], Result]) -> Result:
    """Change a file that others may have open, which is no problem here."""
    return act()


def sync(path: Path) -> None:
    """Write a file, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# This machine


def num_cores() -> int:
    """Cores that this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))  # a scheduler or taskset may allow fewer than the machine has
    return os.cpu_count() or 1


def cxx_compiler() -> str:
    """The C++ compiler that torch.compile uses by default."""
    return "clang++" if sys.platform == "darwin" else "g++"


def peak_memory() -> int:
    """The largest memory of this process so far, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@contextlib.contextmanager
def data_limit(most: int) -> Iterator[None]:
    """Limit this process's data to `most` bytes for a while: larger requests fail. Only Linux has this limit.

    Data are the pages of the process itself: all but files, shared memory and stacks.
    """
    before = soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (most if soft == resource.RLIM_INFINITY else min(most, soft), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def is_limited_by_the_user() -> bool:
    """Whether this process's data or address space is limited from outside, as by a shell's `ulimit`."""
    return any(
        resource.getrlimit(kind)[0] != resource.RLIM_INFINITY for kind in (resource.RLIMIT_DATA, resource.RLIMIT_AS)
    )


# Processes


def start_method(wanted: Literal["forkserver", "spawn"]) -> Literal["forkserver", "spawn"]:
    """The way to start processes: as wanted on Linux, else spawn: the libraries of macOS do not survive a fork."""
    return wanted if sys.platform == "linux" else "spawn"


def process_class(method: Literal["forkserver", "spawn"]) -> type[BaseProcess]:
    """The class of a process that is started by this method."""
    return context.ForkServerProcess if method == "forkserver" else context.SpawnProcess


def open_server(preload: Sequence[str]) -> None:
    """Start the fork server, which imports these modules and skips missing ones."""
    forkserver.set_forkserver_preload(list(preload))
    forkserver.ensure_running()


def close_server() -> None:
    """End the fork server."""
    # multiprocessing ends it with the last process that holds a pipe to it; it has no public function for this.
    server: Any = forkserver._forkserver
    if server._forkserver_pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(server._forkserver_pid, signal.SIGKILL)
        server._stop()


@contextlib.contextmanager
def shielded() -> Iterator[None]:
    """Block Ctrl-C for processes that are started meanwhile, until they have left the terminal."""
    # multiprocessing starts its tracker with the first process and then unblocks SIGINT, so it is started earlier.
    resource_tracker.ensure_running()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def leave_terminal() -> None:
    """Make this process the leader of a process group of its own, which Ctrl-C does not reach."""
    os.setsid()
    # To ignore the signal first drops a pending one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def end_with_parent(parent: int) -> None:
    """End this process when its parent ends, in whatever way. For Linux only: elsewhere no fork is used."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # the parent had ended before
            os._exit(1)


def drop_terminal() -> None:
    """Send output to the null device if it went to a terminal that is gone: each line would raise an error."""
    for handle in (1, 2):
        with contextlib.suppress(OSError):
            if stat.S_ISCHR(os.fstat(handle).st_mode):
                null_device = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null_device, handle)
                os.close(null_device)


# The signals besides SIGINT and SIGTERM that announce the end of a process.
WARNINGS: tuple[signal.Signals, ...] = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def end_own_group() -> None:
    """End this process, which has left the terminal, and all processes that it has started."""
    os.killpg(0, signal.SIGKILL)


def kill(process: BaseProcess) -> bool:
    """Kill a process and the group that it leads; returns whether the process existed."""
    assert process.pid is not None
    try:
        os.kill(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    # A process that has just started may not lead a group yet.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return True


def is_pipe_closed(descriptor: int) -> bool:
    """Whether the other end of a pipe is closed; False for what is no pipe."""
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def is_running(process: int) -> bool:
    """Whether a process with this id exists."""
    try:
        os.kill(process, 0)
    except PermissionError:
        return True  # another user's
    except (OSError, OverflowError):
        return False
    return True


# Time: the timer is set without running Python code, which the alarm could interrupt.

ALARM: signal.Signals | None = signal.SIGALRM
# (seconds, interval) -> seconds and interval of the former timer
set_timer: Callable[..., tuple[float, float]] = functools.partial(signal.setitimer, signal.ITIMER_REAL)
