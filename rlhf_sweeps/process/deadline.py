"""Wait for something, but no longer than a number of seconds by this process's own clock."""

import threading
from collections.abc import Callable
from concurrent.futures import Future


def run_within(seconds: float, act: Callable[[], None]) -> None:
    """Call a function in a thread of its own and wait for it; an exception in there is raised here.

    Raises:
        TimeoutError: if it is not done in time. The thread goes on, and ends with the process at the latest.
    """
    done: Future[None] = Future()

    def run() -> None:
        try:
            act()
            done.set_result(None)
        except BaseException as error:  # of any kind: the caller waits for it
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    done.result(timeout=seconds)
