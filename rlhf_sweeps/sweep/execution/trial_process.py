"""Inside a trial's process: it leaves the terminal, writes its output to the run's log, and ends with the sweeper."""

import contextlib
import faulthandler
import io
import multiprocessing
import os
import pkgutil
import sys
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path

from rlhf_sweeps.platforms import system
from rlhf_sweeps.platforms.memory import room
from rlhf_sweeps.process.environment import EXIT_STATUS, find_fault
from rlhf_sweeps.record import Run, hide


def run_trial(trial: str, folder: Path, environment: Mapping[str, str], memory: int | None) -> None:
    """Run a trial in this process; multiprocessing turns an exception into a traceback and a status.

    Multiprocessing also sets the sweeper's working directory and an empty stdin.

    Args:
        trial: dotted path of the function to call.
        folder: the run's folder.
        environment: variables to set.
        memory: the process's share of memory in bytes; None: no limit except the machine's.
    """
    system.leave_terminal()  # the sweeper handles Ctrl-C
    threading.Thread(target=_die_with_sweeper, daemon=True).start()
    os.environ.update(environment)
    room.share = memory
    try:
        _redirect(Run(folder).log_file)
        pkgutil.resolve_name(trial)(folder, _watch_nothing)
    except Exception as error:
        status = exit_status_of_trial(error)
        with contextlib.suppress(OSError):  # the disk may be full
            print(hide(traceback.format_exc()), file=sys.stderr)
        sys.exit(status)


def exit_status_of_trial(error: Exception) -> int:
    """The exit status that shows whether the environment is at fault, since there may be no summary."""
    return 1 if find_fault(error) is None else EXIT_STATUS


def _die_with_sweeper() -> None:
    """End this process when the sweeper ends, in whatever way: only the sweeper holds the other end of this pipe."""
    sweeper = multiprocessing.parent_process()
    assert sweeper is not None
    sweeper.join()
    system.end_own_group()


def _redirect(log: Path) -> None:
    """Redirect the standard streams by descriptor, so that the log also gets output of C code and of a crash."""
    streams = [stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, io.TextIOWrapper)]
    for stream in streams:
        stream.flush()
    with log.open("ab") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    for stream in streams:
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    faulthandler.enable(2)


def _watch_nothing() -> None:
    """Do nothing: the sweeper follows a process by its record."""
