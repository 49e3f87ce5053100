"""A time limit for a user's Python code: endless loops, sleeps, sockets, catastrophic regular expressions.

Two things cannot be ended: a single call into C that ignores signals, such as a huge matrix product, and code that uses
SIGALRM itself. Windows has no such signal, and so no limit.
"""

import _thread
import functools
import logging
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Self

from rlhf_sweeps.platforms import system

log = logging.getLogger("rlhf_sweeps")


class TimeLimitError(Exception):
    """The limit was reached; the cause of the error shows the place."""


class _Alarm(BaseException):
    """Raised within the limited code; `except Exception` does not catch it."""


class TimeLimit:
    """A context whose Python code is interrupted after some seconds; then leaving it raises TimeLimitError.

    If the code catches the interruption, it is interrupted again every second, and from the second time on immediately.
    The context uses SIGALRM, and restores its handler and timer. There is no limit outside the main thread, since only
    that gets signals, and on Windows.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._num_alarms = 0
        self._is_set = self._is_over = False

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread() or system.ALARM is None:
            _warn_once()
            return self
        self._is_set = True
        self._start = time.monotonic()
        self._previous_timer = system.set_timer(0)
        self._previous_handler = signal.signal(system.ALARM, self._ring)
        system.set_timer(self._seconds, 1.0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over = True
        if not self._is_set or system.ALARM is None:
            return
        system.set_timer(0)
        # None: the handler was not set from Python and cannot be restored from here.
        signal.signal(system.ALARM, self._previous_handler or signal.SIG_DFL)
        delay, interval = self._previous_timer
        if delay:
            # A timer that expired in the meantime fires at once.
            system.set_timer(max(1e-6, delay - (time.monotonic() - self._start)), interval)
        if self._num_alarms and not isinstance(error, KeyboardInterrupt):
            # Even if the code has handled the alarm.
            raise TimeLimitError(f"took longer than {self._seconds:g} s") from error

    def _ring(self, number: int, frame: FrameType | None) -> None:
        if self._is_over:
            return
        if frame is not None and frame.f_code.co_filename == __file__:
            # The code of this file is running: an exception here could leave the timer set.
            system.set_timer(0.001, 1.0)
            return
        self._num_alarms += 1
        if self._num_alarms > 1:
            # The code has caught the first alarm. Raise another signal as soon as it catches this one: in its `except`
            # clause, and so outside of its `try`. Unpacking is used because the interpreter checks for signals after a
            # plain call, and would handle the signal here, in its handler.
            (_,) = map(_thread.interrupt_main, (signal.Signals(number),))
        raise _Alarm


@functools.cache
def _warn_once() -> None:
    log.warning("time limits of reward models need a signal and the main thread; here there are none")
