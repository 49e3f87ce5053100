"""Run trials: each in a new process of this machine, or all in this process for debugging.

An executor gets only a run's folder. What it runs there is its `trial`, the dotted path of a function (folder, watch)
-> None, which each process imports itself. So executors for other machines can be added. The sweeper does not load
torch; the fork server loads it once, and every trial is forked from the server.
"""

import atexit
import pkgutil
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, Self

from rlhf_sweeps.command_line.carried import Carried
from rlhf_sweeps.platforms import system
from rlhf_sweeps.record import hide, read_lifted_variables
from rlhf_sweeps.sweep.execution import processes
from rlhf_sweeps.sweep.execution.trial_process import exit_status_of_trial, run_trial


class Executor(Protocol):
    """Runs at most `num_workers` trials at a time. Closes itself at the end of a `with` block."""

    num_workers: int

    def prepare(self) -> None:
        """Begin in the background what the first trial will wait for; `submit` does it if nobody has."""
        ...

    def submit(self, folder: Path) -> Future[int]:
        """Start the trial of an existing run folder.

        Returns:
            Its exit status to come: 0, a positive number, or minus the signal that ended it.
        """
        ...

    def kill(self, folder: Path) -> None:
        """End the trial of that folder at once, if it is running; its status is then -9, on Windows -15."""
        ...

    def close(self) -> None:
        """Kill the running trials and release everything; after that nothing can be submitted."""
        ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class InProcess(Executor):
    """Runs a trial within `submit`, in the calling thread, where a debugger can follow it.

    Args:
        trial: dotted path, "package.module.function".

    Attributes:
        watch: passed to the trial, which calls it after every update, so that the sweeper can read the record.
    """

    def __init__(self, trial: str) -> None:
        self.num_workers = 1
        self._trial = trial
        self.watch: Callable[[], None] = lambda: None

    def prepare(self) -> None:
        """Does nothing: the trial itself imports what it needs."""

    def submit(self, folder: Path) -> Future[int]:
        """Run the trial; a KeyboardInterrupt passes through, and so do errors of `watch`, which are not the trial's."""
        future: Future[int] = Future()

        def watch() -> None:
            try:
                self.watch()
            except Exception as error:
                raise Carried(error) from error

        try:
            pkgutil.resolve_name(self._trial)(folder, watch)
            status = 0
        except Carried as carried:
            raise carried.error  # noqa: B904 (the cause is the wrapped error itself)
        except SystemExit as error:
            status = _exit_status(error)
        except Exception as error:
            print(hide(traceback.format_exc()), file=sys.stderr)
            status = exit_status_of_trial(error)
        future.set_result(status)
        return future

    def kill(self, folder: Path) -> None:
        """Does nothing: no trial runs after `submit` has returned."""

    def close(self) -> None:
        """Does nothing: there is nothing to release."""


@dataclass(frozen=True)
class _Running:
    process: processes.Process
    follower: threading.Thread


class LocalProcesses(Executor):
    """Runs every trial in a process of its own; when one dies, in whatever way, the others are not affected.

    A process can have one open executor of this kind. As for all of multiprocessing, a script that opens one needs `if
    __name__ == "__main__"`.

    Args:
        trial: dotted path, "package.module.function".
        start_method: "forkserver", or "spawn" for a new interpreter each time, which is slow to start and shares
            nothing. Systems other than Linux have only "spawn".
        devices: CUDA devices, assigned to the workers in turn; a trial sees only its worker's. Empty: all see the same.
        threads: of torch, in each trial.
        preload: modules for the fork server; missing ones are skipped. The server must only import them: threads or a
            CUDA context would not survive the fork.
        memory: each trial's share of this machine's memory, in bytes; None: no limit.
    """

    def __init__(
        self,
        trial: str,
        num_workers: int,
        start_method: Literal["forkserver", "spawn"],
        devices: Sequence[str],
        threads: int,
        preload: Sequence[str],
        memory: int | None = None,
    ) -> None:
        self.num_workers = num_workers
        self._trial = trial
        self._devices = devices
        self._memory = memory
        self._free_slots = set(range(num_workers))
        self._running: dict[Path, _Running] = {}
        # Two threads must not read a process's status at once: multiprocessing would lose it.
        self._lock = threading.Lock()
        self._closed = False
        self._starter = processes.Starter(start_method, threads, [*preload, run_trial.__module__])
        # Registered after multiprocessing's own handler, and so called before it; that handler would wait for the
        # trials.
        atexit.register(self.close)

    def prepare(self) -> None:
        """Let the fork server import torch, which takes seconds of CPU time; a sweep is checked before that."""
        self._starter.prepare()

    def submit(self, folder: Path) -> Future[int]:
        """Start a process for the folder's trial.

        Raises:
            RuntimeError: if all workers are busy, the folder's trial is running, the executor is closed, or no process
                can be started.
        """
        with self._lock:
            if reason := self._explain_refusal(folder):
                raise RuntimeError(f"{folder}: cannot start, {reason}")
            slot = min(self._free_slots)
            variables = {**read_lifted_variables(), **self._pin(slot)}
            process = self._starter.start(run_trial, (self._trial, folder, variables, self._memory))
            future: Future[int] = Future()
            future.set_running_or_notify_cancel()
            follower = threading.Thread(target=self._follow, args=(folder, process, slot, future), daemon=True)
            self._free_slots.remove(slot)
            self._running[folder] = _Running(process, follower)
            follower.start()
        return future

    def kill(self, folder: Path) -> None:
        """Kill the folder's process and those that it started."""
        with self._lock:
            if folder in self._running:
                system.kill(self._running[folder].process)

    def close(self) -> None:
        """Kill the running trials, wait until they have ended, end the fork server."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            all_running = list(self._running.values())
            for running in all_running:
                system.kill(running.process)
        for running in all_running:
            running.follower.join()
        self._starter.close()
        atexit.unregister(self.close)

    def _explain_refusal(self, folder: Path) -> str | None:
        if self._closed:
            return "the executor is closed"
        if folder in self._running:
            return "its trial is running"
        return None if self._free_slots else f"all {self.num_workers} workers are taken"

    def _pin(self, slot: int) -> dict[str, str]:
        return {"CUDA_VISIBLE_DEVICES": self._devices[slot % len(self._devices)]} if self._devices else {}

    def _follow(self, folder: Path, process: processes.Process, slot: int, future: Future[int]) -> None:
        """Wait for the end of a process, then free its slot and set the result of its future."""
        processes.wait(process)
        with self._lock:
            status = processes.take_status(process)
            del self._running[folder]
            self._free_slots.add(slot)
        future.set_result(status)


def _exit_status(error: SystemExit) -> int:
    """The exit status that the interpreter itself would use: a text is printed and counts as 1."""
    if error.code is None or isinstance(error.code, int):
        return error.code or 0
    print(error.code, file=sys.stderr)
    return 1
