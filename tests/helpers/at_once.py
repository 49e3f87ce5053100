"""Work that several real processes do at the same moment."""

import multiprocessing
import warnings
from collections.abc import Callable


def at_once(num: int, work: Callable[[int], object], during: Callable[[], object] = lambda: None) -> list[int | None]:
    """Let `num` processes do the work, each given its number; returns their exit codes.

    They are forked, so what a test has patched is patched in them, too.

    Args:
        during: called over and over in this process as long as one of them works.
    """
    context = multiprocessing.get_context("fork")
    start = context.Barrier(num)

    def run(number: int) -> None:
        start.wait(30)
        work(number)

    processes = [context.Process(target=run, args=(number,), daemon=True) for number in range(num)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads, none of which is used there
        for process in processes:
            process.start()
    while any(process.is_alive() for process in processes):
        during()
        processes[0].join(0.001)
    return [process.exitcode for process in processes]
