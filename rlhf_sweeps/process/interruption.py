"""Ctrl-C and other requests to end: the update in progress is finished and saved first; a second Ctrl-C stops at once.

Schedulers send SIGTERM, or SIGUSR1 or SIGUSR2 some time before they kill; a terminal that is closed sends SIGHUP.
"""

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any, Self

from rlhf_sweeps.platforms import system

log = logging.getLogger("rlhf_sweeps")


@contextlib.contextmanager
def end_at_once_on_signals() -> Iterator[None]:
    """Let these signals end the process at once, as Ctrl-C does; for the time outside of an `Interruption`.

    Raises:
        KeyboardInterrupt: when such a signal comes.
    """

    def end(number: int, frame: FrameType | None) -> None:
        if signal.Signals(number).name == "SIGHUP":
            system.drop_terminal()
        raise KeyboardInterrupt

    numbers = [signal.SIGTERM, *system.WARNINGS] if threading.current_thread() is threading.main_thread() else []
    previous = {number: signal.getsignal(number) for number in numbers}
    # Other handlers stay, such as those of nohup.
    handled = [number for number, handler in previous.items() if handler == signal.SIG_DFL]
    for number in handled:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, previous[number])


class Interruption:
    """A context in which these signals only set `reason`, its own and that of an interruption around it.

    It does nothing outside of the main thread, since only the main thread receives signals.
    """

    def __init__(self) -> None:
        self.reason: str | None = None
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, *system.WARNINGS):
                if number in system.WARNINGS and signal.getsignal(number) == signal.SIG_IGN:
                    continue  # nohup has set this
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if signal.Signals(number).name == "SIGHUP":
            system.drop_terminal()
        if self.reason is not None:
            if number in system.WARNINGS:
                return  # a scheduler may repeat its warning: that is no request to stop at once
            raise KeyboardInterrupt
        self._interrupt()
        log.info(
            "stopping after this update and its checkpoint; a second interrupt stops at once, without a checkpoint"
        )

    def _interrupt(self) -> None:
        self.reason = "interrupted"
        for handler in self._previous.values():
            if isinstance(outer := getattr(handler, "__self__", None), Interruption):
                outer._interrupt()
