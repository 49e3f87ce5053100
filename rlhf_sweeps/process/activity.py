"""What the program is doing, for whoever waits: nothing for 5 s, then how far it is, for how long, and how long yet.

On a terminal that is a line which is drawn anew each second and disappears in the end. Elsewhere it is a line in the
log, first after 5 s and then ever more rarely. A thread writes it, since a single call into C may take minutes.
"""

import contextlib
import logging
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import IO, TYPE_CHECKING, NoReturn, Optional

from rlhf_sweeps.record import hide

if TYPE_CHECKING:
    from tqdm import tqdm

FIRST_LINE = 5.0  # seconds until a user hears of an activity; chosen
LONGEST_PAUSE = 30.0  # seconds between two lines in a log, which begin with FIRST_LINE and double; chosen
SECONDS_BETWEEN_DRAWINGS = 1.0  # on a terminal; chosen
BAR_WIDTH = 20  # characters; chosen
LEAST_SHARE = 0.02  # of an activity, from which its end can be foretold; chosen

log = logging.getLogger("rlhf_sweeps")
_innermost: ContextVar[Optional["Activity"]] = ContextVar("innermost", default=None)


@dataclass
class Activity:
    """Something that takes a while.

    Attributes:
        label: what the program does, such as "sampling 77 responses".
        total: the amount of work, in any unit; None: unknown.
        done: the amount that is done, to be set.
        inner: the part of it that is going on.
    """

    label: str
    total: float | None = None
    done: float = 0.0
    inner: Optional["Activity"] = None
    begun: float = field(default_factory=lambda: time.monotonic())

    @property
    def share(self) -> float:
        """The share of the work that is done, from 0 to 1; 0 where the total is unknown."""
        return min(self.done / self.total, 1.0) if self.total else 0.0

    def list_parts(self) -> list["Activity"]:
        """The activity, the part of it that is going on, the part of that part, and so on."""
        parts, inner = [self], self.inner
        while inner is not None:
            parts.append(inner)
            inner = inner.inner
        return parts

    def find_measured(self) -> Optional["Activity"]:
        """The outermost part of which it is known how far it is, if there is one."""
        return next((part for part in self.list_parts() if part.total), None)

    def describe(self) -> str:
        """A line: what, how far, for how long, and how long yet; the figures stand behind the part that they are of."""
        measured = self.find_measured() or self
        figures = measured.describe_progress(time.monotonic() - measured.begun)
        labels = [f"{part.label} ({figures})" if part is measured else part.label for part in self.list_parts()]
        return ": ".join(labels)

    def describe_progress(self, seconds: float) -> str:
        """`45 % after 20 s, about 24 s left`; where it is unknown how far it is, `for 20 s`."""
        if not self.total:
            return f"for {format_seconds(seconds)}"
        left = seconds / self.share - seconds if self.share >= LEAST_SHARE else None
        end = "" if left is None else f", about {format_seconds(left)} left"
        return f"{100 * self.share:.0f} % after {format_seconds(seconds)}{end}"


@contextlib.contextmanager
def report_activity(
    label: str, total: float | None = None, patience: float | None = None, is_logged: bool = True
) -> Iterator[Activity]:
    """Report what the `with` block does if that takes long; else nothing is written.

    Within another activity of the same thread it is a part of that one, which is reported in its place.

    Args:
        total: the amount of work; then the block must set the activity's `done`.
        patience: seconds until the first line; None: FIRST_LINE.
        is_logged: False before a folder is claimed, where a line in the log would begin a file: lines go to stderr.
    """
    activity, outer = Activity(label, total), _innermost.get()
    token = _innermost.set(activity)
    try:
        if outer is None:
            with _reporting(activity, FIRST_LINE if patience is None else patience, _write if is_logged else _print):
                yield activity
        else:
            outer.inner = activity
            yield activity
    finally:
        _innermost.reset(token)
        if outer is not None:
            outer.inner = None


def is_on_terminal() -> bool:
    """Whether stderr is a terminal on which a bar can be drawn; not one with a live table of rich, which owns it."""
    return sys.stderr is not None and sys.stderr.isatty() and not hasattr(sys.stderr, "rich_proxied_file")


def format_seconds(seconds: float) -> str:
    """`75 s`, `12 min`, `3:05 h`."""
    if round(seconds) < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60}:{minutes % 60:02d} h"


@contextlib.contextmanager
def _reporting(activity: Activity, patience: float, write: Callable[[str], None]) -> Iterator[None]:
    """Report the activity from a thread of its own until the block ends."""
    has_ended = threading.Event()
    report = _draw if is_on_terminal() else partial(_write_lines, write=write)
    reporter = threading.Thread(target=report, args=(activity, has_ended, patience), daemon=True)
    reporter.start()
    try:
        yield
    finally:
        has_ended.set()
        reporter.join()


def _write(line: str) -> None:
    """Write a line to the log; commands without a log of their own have it on stderr."""
    if log.isEnabledFor(logging.INFO):
        log.info("%s", line)
    else:
        _print(line)


def _print(line: str) -> None:
    if sys.stderr is not None:
        print(line, file=sys.stderr)


def _write_lines(
    activity: Activity, has_ended: threading.Event, patience: float, write: Callable[[str], None] = _write
) -> None:
    pause = patience
    while not has_ended.wait(pause):
        write(hide(activity.describe()))
        pause = min(2 * pause, max(LONGEST_PAUSE, patience))


class _Above:
    """A stream in front of a terminal's; what is written appears above a bar."""

    def __init__(self, stream: IO[str], bar: "tqdm[NoReturn]") -> None:
        self.stream, self._bar = stream, bar

    def write(self, text: str) -> int:
        self._bar.write(text, file=self.stream, end="")
        return len(text)

    def flush(self) -> None:
        self.stream.flush()


@contextlib.contextmanager
def _log_above(bar: "tqdm[NoReturn]") -> Iterator[None]:
    """Let lines of the log appear above a bar.

    The handlers stay in their place and change their streams, which they do under their own lock: other threads may
    log meanwhile, or add handlers that must survive the bar (tqdm's own redirection puts a list in the place of theirs
    and puts the old one back in the end).
    """
    handlers = [handler for handler in logging.getLogger().handlers if isinstance(handler, logging.StreamHandler)]
    redirected = [handler for handler in handlers if handler.stream in (sys.stdout, sys.stderr)]
    for handler in redirected:
        handler.setStream(_Above(handler.stream, bar))
    try:
        yield
    finally:
        for handler in redirected:
            if isinstance(handler.stream, _Above):  # else somebody else has given it another one meanwhile
                handler.setStream(handler.stream.stream)


def _draw(activity: Activity, has_ended: threading.Event, patience: float) -> None:
    """Draw a line on the terminal that is changed each second, and that lines of the log do not break."""
    if has_ended.wait(min(patience, FIRST_LINE)):
        return
    from tqdm import tqdm

    with tqdm(total=1.0, leave=False, file=sys.stderr) as bar, _log_above(bar):
        while True:
            measured = activity.find_measured()
            room = shutil.get_terminal_size().columns - BAR_WIDTH - len(" ||") - 1
            bar.bar_format = "{desc}" if measured is None else f"{{desc}} |{{bar:{BAR_WIDTH}}}|"
            bar.n = 0.0 if measured is None else measured.share
            bar.set_description_str(hide(activity.describe())[:room])
            if has_ended.wait(SECONDS_BETWEEN_DRAWINGS):
                return
