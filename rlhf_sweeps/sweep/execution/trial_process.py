"""The inside of a trial's process: out of the terminal's reach, output into the run's log, gone with the sweeper."""

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
from rlhf_sweeps.process.environment import EXIT_STATUS, fault
from rlhf_sweeps.record import Run, hide


def run_trial(trial: str, folder: Path, environment: Mapping[str, str], memory: int | None) -> None:
    """The whole life of a trial's process; multiprocessing turns what it raises into a traceback and a status.

    Its working directory is the sweeper's and its stdin empty, by multiprocessing as well.

    Args:
        memory: its share, in bytes; None: no limit but the machine's.
    """
    system.leave_terminal()  # Ctrl-C is the sweeper's to answer
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
    """What tells the sweeper whether the environment is at fault, also where no summary can be written."""
    return 1 if fault(error) is None else EXIT_STATUS


def _die_with_sweeper() -> None:
    """Only the sweeper holds the other end of this pipe: it is closed when the sweeper is gone, however it went."""
    sweeper = multiprocessing.parent_process()
    assert sweeper is not None
    sweeper.join()
    system.end_own_group()


def _redirect(log: Path) -> None:
    """Standard streams by descriptor, so that what C code and a crashing interpreter write is in the log, too."""
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
    """The sweeper follows a process by its record."""
