"""A limit on how long foreign Python code may run: endless loops, sleeps, sockets, catastrophic regular expressions.

Leaves out what no signal can end: one call into C that does not look for signals, such as a huge matrix product; and
code that takes SIGALRM for itself. Windows has no such signal, and so no limit.
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
    """The limit was reached; the cause shows where."""


class _Alarm(BaseException):
    """Raised inside of the code; no `except Exception` there swallows it."""


class TimeLimit:
    """While entered, the main thread's Python code is ended after so many seconds; leaving then raises TimeLimitError.

    Code that swallows the alarm is alarmed again every second, from the second time on without a pause in which it
    could go on. Uses SIGALRM, and gives its handler and timer back as they were. Outside the main thread, the only one
    that gets signals, and on Windows there is no limit.
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
        # None: a handler that was not set from Python, and cannot be from here.
        signal.signal(system.ALARM, self._previous_handler or signal.SIG_DFL)
        delay, interval = self._previous_timer
        if delay:
            # One that ran out in the meantime rings at once.
            system.set_timer(max(1e-6, delay - (time.monotonic() - self._start)), interval)
        if self._num_alarms and not isinstance(error, KeyboardInterrupt):
            # Whatever the code made of the alarm.
            raise TimeLimitError(f"took longer than {self._seconds:g} s") from error

    def _ring(self, number: int, frame: FrameType | None) -> None:
        if self._is_over:
            return
        if frame is not None and frame.f_code.co_filename == __file__:
            # Between these very lines, where an exception would leave the timer set.
            system.set_timer(0.001, 1.0)
            return
        self._num_alarms += 1
        if self._num_alarms > 1:
            # The first was swallowed. Make one more due as soon as this one is caught: in the `except` clause, and so
            # outside of its `try`. By unpacking, since after a plain call the interpreter looks for signals, and would
            # find it here, in its handler.
            (_,) = map(_thread.interrupt_main, (signal.Signals(number),))
        raise _Alarm


@functools.cache
def _warn_once() -> None:
    log.warning("time limits of reward models need a signal and the main thread; here there are none")
