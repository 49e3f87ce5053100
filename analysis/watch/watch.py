"""`python -m analysis watch`: a live table of sweeps and runs, from their records alone.

So it runs in any process that sees the folder: another terminal, another machine with the same file system, over ssh.
It reads, and never writes. It cannot see whether a process on another machine is alive; there it looks whether the
record grows.
"""

import contextlib
import math
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from analysis.watch.places import Places
from analysis.watch.rows import Snapshot
from analysis.watch.table import BLOCKS, Page, draw_snapshots
from analysis.watch.thresholds import MIN_PAUSE, PLAIN_WIDTH
from analysis.wording.errors import AnalysisError
from rlhf_sweeps.wording import suggest_path

INTERRUPTED = 130  # a shell's exit status for Ctrl-C


def watch(folder: Path, *, once: bool = False, interval: float = 2.0) -> int:
    """Show the progress of a sweep, a run, or all of them in a folder, until they have ended.

    Args:
        folder: need not be there yet, unless only one look is asked for.
        once: print the table once and return, as is done where stdout is no terminal.
        interval: seconds between looks.

    Returns:
        The exit status: 0; 1 where the sweep or run has stopped before its end; 130 after Ctrl-C.

    Raises:
        AnalysisError: if there is no such folder, or at the only look nothing in it.
    """
    if not (math.isfinite(interval) and interval > 0):
        raise AnalysisError(f"--interval={interval:g}: must be above 0 seconds")
    is_terminal = sys.stdout.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
    _check_folder(folder, may_come=is_terminal and not once)
    places = Places(folder)
    try:
        if is_terminal and not once:
            return _follow(places, folder, interval)
        return _show_once(places, folder, is_terminal)
    except KeyboardInterrupt:
        return INTERRUPTED


def _check_folder(folder: Path, may_come: bool) -> None:
    if folder.is_dir():
        return
    if folder.exists():
        raise AnalysisError(f"{folder}: must be the folder of a run or sweep, or one with several of them; is a file")
    hint = suggest_path(folder)
    if hint or not may_come or not folder.parent.is_dir():
        raise AnalysisError(f"{folder}: there is no such folder{hint}")


def _show_once(places: Places, folder: Path, is_terminal: bool) -> int:
    snapshots = places.look()
    if not snapshots:
        raise AnalysisError(f"{folder}: holds no run and no sweep yet")
    if is_terminal:
        console = Console()
        console.print(draw_snapshots(snapshots, Page(console.width, console.height - 2, _is_ascii())))
    else:
        width = shutil.get_terminal_size((PLAIN_WIDTH, 0)).columns
        # Neither colours nor a terminal's abilities, whatever FORCE_COLOR and the like say.
        console = Console(width=width, force_terminal=False, color_system=None, legacy_windows=False)
        console.print(draw_snapshots(snapshots, Page(width, is_ascii=_is_ascii())))
    return 0


def _follow(places: Places, folder: Path, interval: float) -> int:
    """Draw look after look; at the end the last one stays on the terminal."""
    console, is_ascii = Console(), _is_ascii()  # asked before Live puts something else in stdout's place
    snapshots: list[Snapshot] = []
    # Redrawn here alone. The alternate screen leaves no debris when the window changes its size.
    with _quieten_termination(), Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            begun = time.monotonic()
            snapshots = places.look()
            page: RenderableType = draw_snapshots(snapshots, Page(console.width, console.height, is_ascii))
            live.update(
                page if snapshots else Text(f"{folder}: nothing there yet; waiting (Ctrl-C ends)"), refresh=True
            )
            if snapshots and all(snapshot.has_ended for snapshot in snapshots):
                break
            time.sleep(max(MIN_PAUSE, begun + interval - time.monotonic()))
    # A prompt is to follow.
    console.print(draw_snapshots(snapshots, Page(console.width, console.height - 2, is_ascii)))
    return 0 if len(snapshots) > 1 or snapshots[0].is_complete else 1


def _is_ascii() -> bool:
    try:
        BLOCKS.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return True
    return False


@contextlib.contextmanager
def _quieten_termination() -> Iterator[None]:
    """Have SIGTERM leave the terminal as it was."""

    def exit_by_signal(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, exit_by_signal)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
