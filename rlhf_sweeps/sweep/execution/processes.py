"""Start and end processes with multiprocessing: its fork server or new interpreters, threads, status."""

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from typing import Any, Literal

from rlhf_sweeps.platforms import system
from rlhf_sweeps.process.activity import report_activity
from rlhf_sweeps.sweep.execution import guard

Process = BaseProcess
log = logging.getLogger("rlhf_sweeps")
# The status that multiprocessing reports for a process whose fork server has ended; a process may also exit with it.
UNKNOWN_STATUS = 255
KILLED = -9  # the status of a process that SIGKILL ended
START_PAUSES = (0.0, 0.1, 0.5)  # seconds between attempts to start a process; chosen


class Starter:
    """Starts processes by one method, with one number of threads.

    A process has one fork server, so two starters must not use it at the same time.

    Args:
        start_method: "forkserver" or "spawn"; without a fork server it is always "spawn".
        threads: for OMP_NUM_THREADS and MKL_NUM_THREADS.
        preload: modules that the fork server imports; missing ones are skipped.
    """

    def __init__(self, start_method: Literal["forkserver", "spawn"], threads: int, preload: Sequence[str]) -> None:
        self._method = system.start_method(start_method)
        self._threads, self._preload = str(threads), [guard.__name__, *preload]

    def prepare(self) -> None:
        """Let the fork server begin to import in the background; the first `start` waits for it."""
        try:
            self._ensure_server()
        except OSError as error:  # for example if TMPDIR is too long for the name of its socket
            log.warning("no fork server can be started (%s); each trial loads torch itself, which takes seconds", error)
            self._method = "spawn"

    def start(self, target: Callable[..., None], arguments: Sequence[Any]) -> Process:
        """Start a process that calls `target`.

        Raises:
            RuntimeError: if that fails.
        """
        self.prepare()
        process = system.process_class(self._method)(target=target, args=tuple(arguments))
        # A killed fork server is replaced as soon as its end is noticed; but its imports may end the new one, too.
        for seconds in (*START_PAUSES, None):
            try:
                # The fork server answers when it has imported torch: seconds, or a minute on a busy machine.
                with report_activity("loading what the trials need"):
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
        # Processes of a fork server inherit this from the server.
        with self._set_inherited() if self._method == "spawn" else contextlib.nullcontext():
            process.start()

    def _ensure_server(self) -> None:
        if self._method == "forkserver":
            with self._set_inherited():
                system.open_server(self._preload)

    @contextlib.contextmanager
    def _set_inherited(self) -> Iterator[None]:
        """Set what a process that is started meanwhile inherits.

        This is the number of threads, which torch reads when it is imported; the id of the sweeper; and a block of
        Ctrl-C, which would end the process before it ignores the signal.
        """
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
    """Wait until a process ends, without reading its status."""
    connection.wait([process.sentinel])


def take_status(process: Process) -> int:
    """The exit status of a process that has ended, or minus the signal that ended it. Releases the process.

    A process whose fork server has ended can no longer be followed, so it is killed.
    """
    process.join()
    status = process.exitcode
    assert status is not None
    if status == UNKNOWN_STATUS and system.kill(process):
        status = KILLED
    process.close()
    return status
