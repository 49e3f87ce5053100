"""Windows; posix.py has the same functions for Linux and macOS, and explains them.

This file has never run on a real Windows machine: tests simulate one (test_platforms.py), and mypy checks it for
Windows.
"""

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from ctypes import wintypes
from multiprocessing.context import SpawnProcess
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Literal, TypeVar

from filelock import FileLock, Timeout

assert sys.platform == "win32"

Result = TypeVar("Result")

_LOCK_FILE = ".lock"
_PATIENCE = 10.0  # seconds, chosen and not measured: our readers take milliseconds, a virus scanner may take longer
# Constants of the Windows API.
_KILL_ON_JOB_CLOSE, _EXTENDED_LIMITS = 0x2000, 9
_SYNCHRONIZE, _QUERY_LIMITED_INFORMATION = 0x100000, 0x1000
_ACCESS_DENIED, _STILL_RUNNING = 5, 0x102


class _BasicLimits(ctypes.Structure):
    """JOBOBJECT_BASIC_LIMIT_INFORMATION."""

    _fields_ = (
        ("process_time", ctypes.c_int64),
        ("job_time", ctypes.c_int64),
        ("flags", ctypes.c_uint32),
        ("min_working_set", ctypes.c_size_t),
        ("max_working_set", ctypes.c_size_t),
        ("num_processes", ctypes.c_uint32),
        ("affinity", ctypes.c_size_t),
        ("priority", ctypes.c_uint32),
        ("scheduling", ctypes.c_uint32),
    )


class _Limits(ctypes.Structure):
    """JOBOBJECT_EXTENDED_LIMIT_INFORMATION: the basic limits, six counters, four sizes."""

    _fields_ = (("basic", _BasicLimits), ("io", ctypes.c_ulonglong * 6), ("memory", ctypes.c_size_t * 4))


class _Memory(ctypes.Structure):
    """PROCESS_MEMORY_COUNTERS: the peak and seven other sizes."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("page_faults", ctypes.c_uint32),
        ("peak", ctypes.c_size_t),
        ("others", ctypes.c_size_t * 7),
    )


def _load() -> ctypes.WinDLL:
    """Load the system's functions, with signatures: ctypes must know that handles are as wide as pointers."""
    kernel = ctypes.WinDLL("kernel32", use_last_error=True)
    handle, word, flag, pointer = wintypes.HANDLE, wintypes.DWORD, wintypes.BOOL, ctypes.c_void_p
    signatures = {
        "CreateJobObjectW": (handle, pointer, wintypes.LPCWSTR),
        "SetInformationJobObject": (flag, handle, ctypes.c_int, pointer, word),
        "AssignProcessToJobObject": (flag, handle, handle),
        "GetCurrentProcess": (handle,),
        "OpenProcess": (handle, word, flag, word),
        "WaitForSingleObject": (word, handle, word),
        "CloseHandle": (flag, handle),
        "K32GetProcessMemoryInfo": (flag, handle, pointer, word),
        "SetConsoleCtrlHandler": (flag, pointer, flag),
    }
    for name, (result, *arguments) in signatures.items():
        function = getattr(kernel, name)
        function.restype, function.argtypes = result, arguments
    return kernel


_kernel = _load()

# Files


@contextlib.contextmanager
def locked(folder: Path, wait: bool) -> Iterator[None]:
    """As in posix.py, by a lock file that stays in the folder: Windows cannot lock folders."""
    lock = FileLock(folder / _LOCK_FILE, timeout=-1 if wait else 0)
    try:
        lock.acquire()
    except Timeout as error:
        raise BlockingIOError(f"{folder} is locked") from error
    try:
        yield
    finally:
        lock.release()


def claims() -> list[tuple[int, int]] | None:
    """None: Windows does not show them."""
    return None


def patiently(act: Callable[[], Result]) -> Result:
    """Change a file that others may have open: try again until they have closed it, or the patience ends."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return act()
        except PermissionError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.01)


def sync(path: Path) -> None:
    """Write a file to the disk; names in a folder are safe in the file system's journal."""
    if path.is_file():
        with path.open("r+b") as file:
            os.fsync(file.fileno())


# This machine


def num_cores() -> int:
    """Cores that this process may use."""
    return os.cpu_count() or 1


def cxx_compiler() -> str:
    """The C++ compiler that torch.compile uses by default."""
    return "cl"


def peak_memory() -> int:
    """The largest memory of this process so far, in bytes."""
    memory = _Memory(size=ctypes.sizeof(_Memory))
    _kernel.K32GetProcessMemoryInfo(_kernel.GetCurrentProcess(), ctypes.byref(memory), memory.size)
    return int(memory.peak)


@contextlib.contextmanager
def data_limit(most: int) -> Iterator[None]:
    """Does nothing: the memory that is left is unknown here."""
    yield


def is_limited_by_the_user() -> bool:
    """False: there is no such limit here."""
    return False


# Processes


def start_method(wanted: Literal["forkserver", "spawn"]) -> Literal["forkserver", "spawn"]:
    """Always spawn: there is no fork."""
    return "spawn"


def process_class(method: Literal["forkserver", "spawn"]) -> type[BaseProcess]:
    """The class of a process that is started by this method."""
    return SpawnProcess


def open_server(preload: Sequence[str]) -> None:
    """There is no fork server."""


def close_server() -> None:
    """There is no fork server."""


@contextlib.contextmanager
def shielded() -> Iterator[None]:
    """Ignore Ctrl-C meanwhile, which processes that are started then inherit."""
    _kernel.SetConsoleCtrlHandler(None, True)
    try:
        yield
    finally:
        _kernel.SetConsoleCtrlHandler(None, False)


def leave_terminal() -> None:
    """Ignore Ctrl-C, and let all processes that this process starts end with it, in whatever way it ends.

    The job is never closed here: the system closes it when this process, its only owner, ends.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    job = _kernel.CreateJobObjectW(None, None)
    limits = _Limits()
    limits.basic.flags = _KILL_ON_JOB_CLOSE
    _kernel.SetInformationJobObject(job, _EXTENDED_LIMITS, ctypes.byref(limits), ctypes.sizeof(limits))
    _kernel.AssignProcessToJobObject(job, _kernel.GetCurrentProcess())


def end_with_parent(parent: int) -> None:
    """There is no fork server here."""


def drop_terminal() -> None:
    """Does nothing: a console that is closed ends its processes soon."""


# The signals besides SIGINT and SIGTERM that announce the end of a process. Ctrl-Break ends a process at once.
WARNINGS: tuple[signal.Signals, ...] = ()


def end_own_group() -> None:
    """End this process, which has left the terminal, and so all processes that it has started."""
    os._exit(1)


def kill(process: BaseProcess) -> bool:
    """Kill a process, and so all that it has started; returns whether it existed. Its exit status is then -15."""
    if not process.is_alive():
        return False
    process.kill()
    return True


def is_pipe_closed(descriptor: int) -> bool:
    """Whether the other end of a pipe is closed, which Windows does not tell: it is asked only after an error."""
    return True


def is_running(process: int) -> bool:
    """Whether a process with this id exists. (`os.kill(process, 0)` would send it Ctrl-C.)"""
    try:
        handle = _kernel.OpenProcess(_SYNCHRONIZE | _QUERY_LIMITED_INFORMATION, False, process)
    except ctypes.ArgumentError:  # no process can have this id
        return False
    if not handle:
        return ctypes.get_last_error() == _ACCESS_DENIED  # another user's
    try:
        return bool(_kernel.WaitForSingleObject(handle, 0) == _STILL_RUNNING)
    finally:
        _kernel.CloseHandle(handle)


# Time: no signal ends Python code after some seconds.

ALARM: signal.Signals | None = None


def set_timer(seconds: float, interval: float = 0.0) -> tuple[float, float]:
    """There is no timer."""
    raise OSError("Windows has no timer that rings")
