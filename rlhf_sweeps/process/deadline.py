"""Waiting for something no longer than so many seconds, by this process's own clock."""

import threading
from collections.abc import Callable
from concurrent.futures import Future


def within(seconds: float, act: Callable[[], None]) -> None:
    """Do something in a thread of its own, and wait for it; what it raises is raised here.

    Raises:
        TimeoutError: if it is not done in time. It goes on, and ends with the process at the latest.
    """
    done: Future[None] = Future()

    def run() -> None:
        try:
            act()
            done.set_result(None)
        except BaseException as error:  # whatever it is, the one who waits must hear of it
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    done.result(timeout=seconds)
