"""Python as our own modules would find it on Windows, for every process that has this folder on PYTHONPATH.

Other packages, and Python's own modules, go on as on Linux. Ours see `sys`, `os`, `signal` ... without what Windows
lacks, and with a made-up kernel32 that writes down what it is asked for in PRETENDED_CALLS.
"""

import builtins
import ctypes
import os
import sys
import types
from pathlib import Path
from typing import Any

from helpers import typeshed

OURS = ("rlhf_sweeps", "analysis", "hydra_plugins")
ABSENT = {*typeshed.modules_only_on("linux", "win32"), "termios", "multiprocessing.forkserver",
          "multiprocessing.resource_tracker", "rlhf_sweeps.platforms.posix"}  # fmt: skip
PEAK = 123 * 2**20


class Function:
    """One of kernel32's."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, *arguments: Any) -> Any:
        told = [ctypes.string_at(ctypes.addressof(x._obj), ctypes.sizeof(x._obj)).hex() if hasattr(x, "_obj") else x
                for x in arguments]  # fmt: skip
        if "PRETENDED_CALLS" in os.environ:
            with Path(os.environ["PRETENDED_CALLS"]).open("a", encoding="utf-8") as file:
                file.write(f"{self._name} {told}\n")
        if self._name == "OpenProcess":
            return arguments[2] if _state(arguments[2]) else None
        if self._name == "WaitForSingleObject":
            return 0 if _state(arguments[0]) == "Z" else 0x102
        if self._name == "K32GetProcessMemoryInfo":
            # PeakWorkingSetSize lies at byte 8 of PROCESS_MEMORY_COUNTERS.
            ctypes.c_size_t.from_buffer(arguments[1]._obj, 8).value = PEAK
        return 1


def _state(process: int) -> str:
    """A letter; empty where there is no such process."""
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return ""


class Kernel:
    """What `ctypes.WinDLL("kernel32")` gives."""

    def __init__(self, name: str, use_last_error: bool) -> None:
        self._functions: dict[str, Function] = {}

    def __getattr__(self, name: str) -> Function:
        return self.__dict__["_functions"].setdefault(name, Function(name))


class Seen(types.ModuleType):
    """A module of Linux as Windows has it."""

    def __init__(self, name: str, /, **others: Any) -> None:
        super().__init__(name)
        self.__dict__.update(others)
        self._absent = typeshed.only_on(name, "linux", "win32")

    def __getattr__(self, name: str) -> Any:
        if name in self._absent:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r} on Windows")
        return getattr(sys.modules[self.__name__], name)


SEEN = {
    "sys": Seen("sys", platform="win32"),
    "os": Seen("os", name="nt"),
    "signal": Seen("signal"),
    "time": Seen("time"),
    "socket": Seen("socket"),
    "multiprocessing.context": Seen("multiprocessing.context"),
    "ctypes": Seen("ctypes", WinDLL=Kernel, get_last_error=lambda: 0),
}
_import = builtins.__import__


def _pretended(name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
    importer = (globals or {}).get("__name__", "")
    module = _import(name, globals, locals, fromlist, level)
    if importer.partition(".")[0] not in OURS or level:
        return module
    for wanted in (name, *(f"{name}.{part}" for part in fromlist or ())):
        if wanted in ABSENT:
            raise ModuleNotFoundError(f"No module named {wanted!r} on Windows, asked for by {importer}")
    return SEEN.get(name, module)


builtins.__import__ = _pretended
