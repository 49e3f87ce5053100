"""Ctrl-C and SIGTERM: the update in progress is finished and saved first; a second Ctrl-C stops at once."""

import logging
import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

log = logging.getLogger("rlhf_sweeps")


class Interruption:
    """While entered, the two signals only set `reason`, also that of an interruption around this one.

    Does nothing outside the main thread, which alone gets them.
    """

    def __init__(self) -> None:
        self.reason: str | None = None
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.reason is not None:
            raise KeyboardInterrupt
        self._interrupt()
        log.info("stopping after this update and its checkpoint; once more stops at once, without a checkpoint")

    def _interrupt(self) -> None:
        self.reason = "interrupted"
        for handler in self._previous.values():
            if isinstance(outer := getattr(handler, "__self__", None), Interruption):
                outer._interrupt()
