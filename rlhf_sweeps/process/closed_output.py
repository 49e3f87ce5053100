"""Output that nobody reads any more: `... | head -1` closes its end of the pipe when it has seen enough."""

import contextlib
import io
import logging
import os
import sys
from collections.abc import Iterator

from rlhf_sweeps.platforms import system


class LogHandler(logging.StreamHandler[io.TextIOBase]):
    """Writes the log to a stream; a run goes on, in silence, when nobody reads it any more."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Discard what follows if the reader has gone; anything else is reported as logging does."""
        if not (isinstance(sys.exc_info()[1], BrokenPipeError) and discard_unread_output()):
            super().handleError(record)


@contextlib.contextmanager
def tolerate_closed_output() -> Iterator[None]:
    """Let the block end early, and without a traceback, where the reader of its output has gone.

    The exit status stays; it is 0 where the block was ended so.
    """
    try:
        yield
    except BrokenPipeError:
        if not discard_unread_output():  # then it is another pipe that is broken
            raise
    finally:
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            discard_unread_output()


def discard_unread_output() -> bool:
    """Discard what goes to standard streams that nobody reads; returns whether there are any."""
    closed = [
        stream
        for stream in (sys.stdout, sys.stderr)
        if isinstance(stream, io.TextIOWrapper) and system.is_pipe_closed(stream.fileno())
    ]
    for stream in closed:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
    return bool(closed)
