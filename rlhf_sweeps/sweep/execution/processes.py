"""Starting and ending processes with multiprocessing: its fork server or fresh interpreters, threads, status."""

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from typing import Any, Literal

from rlhf_sweeps.platforms import system
from rlhf_sweeps.sweep.execution import guard

Process = BaseProcess
log = logging.getLogger("rlhf_sweeps")
# What multiprocessing reports of a process whose fork server is gone, and also of one that exits with this status.
UNKNOWN_STATUS = 255
KILLED = -9
PAUSES = (0.0, 0.1, 0.5)  # seconds between tries to start a process


class Starter:
    """Starts processes by one method, with one number of threads.

    A fork server begins to import here, in the background; the first `start` waits for it. Python has one in a process,
    so that no two starters may use it at a time.

    Args:
        start_method: "forkserver" or "spawn"; where there can be no fork server, it is "spawn" in any case.
        threads: for OMP_NUM_THREADS and MKL_NUM_THREADS.
        preload: modules that the fork server imports; missing ones are passed over.
    """

    def __init__(self, start_method: Literal["forkserver", "spawn"], threads: int, preload: Sequence[str]) -> None:
        self._method = system.start_method(start_method)
        self._threads, self._preload = str(threads), [guard.__name__, *preload]
        try:
            self._ensure_server()
        except OSError as error:  # as where TMPDIR is too long for the name of its socket
            log.warning("no fork server can be had (%s); each trial loads torch anew, which takes seconds", error)
            self._method = "spawn"

    def start(self, target: Callable[..., None], arguments: Sequence[Any]) -> Process:
        """Start a process that calls `target`.

        Raises:
            RuntimeError: if that fails.
        """
        process = system.process_class(self._method)(target=target, args=tuple(arguments))
        # A fork server that was killed is replaced once it is seen to be gone; unless its imports are what ends it.
        for seconds in (*PAUSES, None):
            try:
                self._try_to_start(process)
                break
            except (OSError, EOFError) as error:
                if seconds is None:
                    raise RuntimeError(f"no process can be started ({type(error).__name__} {error})") from error
                time.sleep(seconds)
        return process

    def close(self) -> None:
        """End the fork server."""
        if self._method == "forkserver":
            system.close_server()

    def _try_to_start(self, process: Process) -> None:
        self._ensure_server()
        # What a fork server starts has inherited it from the server.
        with self._inherited() if self._method == "spawn" else contextlib.nullcontext():
            process.start()

    def _ensure_server(self) -> None:
        if self._method == "forkserver":
            with self._inherited():
                system.open_server(self._preload)

    @contextlib.contextmanager
    def _inherited(self) -> Iterator[None]:
        """What a process started meanwhile inherits: the number of threads, which torch reads when it is imported;
        whose fork server it is; and no Ctrl-C, which would end it before it ignores that."""
        new = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), self._threads) | {guard.SWEEPER: str(os.getpid())}
        old = {key: os.environ.get(key) for key in new}
        with system.shielded():
            os.environ.update(new)
            try:
                yield
            finally:
                for key, value in old.items():
                    del os.environ[key]
                    if value is not None:
                        os.environ[key] = value


def wait(process: Process) -> None:
    """Wait until a process ends, without asking for its status."""
    connection.wait([process.sentinel])


def take_status(process: Process) -> int:
    """The exit status of a process that has ended, or minus the signal that ended it. Releases the process.

    One whose fork server is gone can no longer be followed: it is killed.
    """
    process.join()
    status = process.exitcode
    assert status is not None
    if status == UNKNOWN_STATUS and system.kill(process):
        status = KILLED
    process.close()
    return status
