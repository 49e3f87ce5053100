"""Starting and ending processes with multiprocessing: its fork server or fresh interpreters, threads, status."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection, forkserver, resource_tracker
from multiprocessing.context import ForkServerProcess, SpawnProcess
from typing import Any, Literal

Process = ForkServerProcess | SpawnProcess
# What multiprocessing reports of a process whose fork server is gone, and also of one that exits with this status.
UNKNOWN_STATUS = 255


class Starter:
    """Starts processes by one method, with one number of threads.

    A fork server begins to import here, in the background; the first `start` waits for it. Python has one in a process,
    so that no two starters may use it at a time.

    Args:
        start_method: "forkserver" or "spawn".
        threads: for OMP_NUM_THREADS and MKL_NUM_THREADS.
        preload: modules that the fork server imports; missing ones are passed over.
    """

    def __init__(self, start_method: Literal["forkserver", "spawn"], threads: int, preload: Sequence[str]) -> None:
        self._uses_server = start_method == "forkserver"
        self._threads = str(threads)
        if self._uses_server:
            forkserver.set_forkserver_preload(list(preload))
            self._ensure_server()

    def start(self, target: Callable[..., None], arguments: Sequence[Any]) -> Process:
        """Start a process that calls `target`.

        Raises:
            RuntimeError: if that fails.
        """
        process_class = ForkServerProcess if self._uses_server else SpawnProcess
        process = process_class(target=target, args=arguments)
        try:
            self._try_to_start(process)
        except (OSError, EOFError):
            # The fork server was killed, and is replaced the second time; unless its imports are what ends it.
            try:
                self._try_to_start(process)
            except (OSError, EOFError) as error:
                raise RuntimeError(f"no process can be started ({type(error).__name__} {error})") from error
        return process

    def close(self) -> None:
        """End the fork server."""
        if not self._uses_server:
            return
        # multiprocessing ends it with the last process that holds a pipe to it, and offers no other way in public.
        server: Any = forkserver._forkserver
        if server._forkserver_pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(server._forkserver_pid, signal.SIGKILL)
            server._stop()

    def _try_to_start(self, process: Process) -> None:
        if self._uses_server:
            self._ensure_server()
            process.start()
        else:
            with self._inherited():
                process.start()

    def _ensure_server(self) -> None:
        with self._inherited():
            forkserver.ensure_running()

    @contextlib.contextmanager
    def _inherited(self) -> Iterator[None]:
        """What a process started meanwhile inherits: the number of threads, which torch reads when it is imported; and
        SIGINT blocked, so that Ctrl-C does not end it before it ignores that."""
        # multiprocessing starts its tracker beside the first process, and unblocks SIGINT then.
        resource_tracker.ensure_running()
        old = {key: os.environ.get(key) for key in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        os.environ.update(dict.fromkeys(old, self._threads))
        try:
            yield
        finally:
            for key, value in old.items():
                del os.environ[key]
                if value is not None:
                    os.environ[key] = value
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def kill(process: Process) -> bool:
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
    if status == UNKNOWN_STATUS and kill(process):
        status = -signal.SIGKILL
    process.close()
    return status
