"""Continue a sweep after faults of the environment in the sweeper itself: in its study, its folder, its log."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from rlhf_sweeps.process.environment import find_fault
from rlhf_sweeps.process.interruption import Interruption
from rlhf_sweeps.sweep import SweepInterruptedError
from rlhf_sweeps.sweep.patience import Patience

LONGEST_SLEEP = 0.1  # seconds, after which a pause looks whether it was interrupted; chosen


class Runs(Protocol):
    """The methods of an engine that are used here."""

    def run(self) -> None:
        """Run to the end of the sweep."""

    def abandon(self) -> None:
        """Stop the active runs."""


Running = TypeVar("Running", bound=Runs)


def run_patiently(
    folder: Path,
    engine: Running,
    replace: Callable[[Running], Running],
    conclude: Callable[[Running], None],
    patience: Patience,
    tell: Callable[[str], None],
) -> Running:
    """Run an engine; after a fault of the environment, wait, and run another engine that continues from the record.

    Meanwhile the trials continue in their processes.

    Args:
        folder: of the sweep.
        replace: takes an interrupted engine and returns the one that continues; may raise the same fault.
        conclude: called with the last engine, whether or not it completes.
        tell: shows a line.

    Returns:
        The engine that completed the sweep.

    Raises:
        SweepInterruptedError: after a Ctrl-C during a pause; the active runs are stopped first.
        Exception: the error of an engine, if it is no fault of the environment or lasted too long.
    """
    is_interrupted = False
    try:
        with Interruption() as interruption:
            while True:
                try:
                    if is_interrupted:
                        engine, is_interrupted = replace(engine), False
                    if interruption.reason is None:
                        engine.run()
                        conclude(engine)
                        return engine
                except Exception as error:
                    is_interrupted = True
                    _wait(error, patience, tell, interruption)
                    if patience.is_over:
                        engine.abandon()
                        raise
                if interruption.reason is not None:
                    engine.abandon()
                    raise SweepInterruptedError(folder)
    except BaseException:
        with contextlib.suppress(Exception):  # this records what it can; the first error is raised
            conclude(engine)
        raise


def _wait(error: Exception, patience: Patience, tell: Callable[[str], None], interruption: Interruption) -> None:
    """Wait after a fault of the environment; raise every other error."""
    if (fault := find_fault(error)) is None:
        raise error
    end = time.monotonic() + patience.note(fault, time.monotonic())
    if patience.is_over:
        return
    tell(f"{fault}; trying again in {end - time.monotonic():.0f} s")
    while interruption.reason is None and time.monotonic() < end:
        time.sleep(LONGEST_SLEEP)
