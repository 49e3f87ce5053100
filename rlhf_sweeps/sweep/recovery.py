"""A sweep that outlives faults of the environment which the sweeper itself meets: in its study, its folder, its log."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from rlhf_sweeps.process.environment import fault
from rlhf_sweeps.process.interruption import Interruption
from rlhf_sweeps.sweep import SweepInterruptedError
from rlhf_sweeps.sweep.patience import Patience

SECONDS_BETWEEN_LOOKS = 0.1


class Runs(Protocol):
    """What of an engine is needed here."""

    def run(self) -> None:
        """Run to the end of the sweep."""

    def abandon(self) -> None:
        """Stop what runs."""


Running = TypeVar("Running", bound=Runs)


def run_patiently(
    folder: Path,
    engine: Running,
    replace: Callable[[Running], Running],
    conclude: Callable[[Running], None],
    patience: Patience,
    tell: Callable[[str], None],
) -> Running:
    """Run an engine; where the environment is at fault, wait, and run another that goes on from the record.

    Meanwhile the trials go on in their processes.

    Args:
        folder: of the sweep.
        replace: an engine that was cut short -> the one that goes on. May meet the same fault.
        conclude: called with the last engine, however it ends.
        tell: shows a line.

    Returns:
        The engine that came to its end.

    Raises:
        SweepInterruptedError: after a Ctrl-C during a pause; what runs is stopped first.
        Exception: what has cut an engine short, if it is no fault of the environment or was there for too long.
    """
    is_cut_short = False
    try:
        with Interruption() as interruption:
            while True:
                try:
                    if is_cut_short:
                        engine, is_cut_short = replace(engine), False
                    if interruption.reason is None:
                        engine.run()
                        conclude(engine)
                        return engine
                except Exception as error:
                    is_cut_short = True
                    _wait(error, patience, tell, interruption)
                    if patience.is_over:
                        engine.abandon()
                        raise
                if interruption.reason is not None:
                    engine.abandon()
                    raise SweepInterruptedError(folder)
    except BaseException:
        with contextlib.suppress(Exception):  # what there is to record; the error counts
            conclude(engine)
        raise


def _wait(error: Exception, patience: Patience, tell: Callable[[str], None], interruption: Interruption) -> None:
    """Wait for a while where the environment is at fault; raise every other error."""
    if (what := fault(error)) is None:
        raise error
    end = time.monotonic() + patience.note(what, time.monotonic())
    if patience.is_over:
        return
    tell(f"{what}; trying again in {end - time.monotonic():.0f} s")
    while interruption.reason is None and time.monotonic() < end:
        time.sleep(SECONDS_BETWEEN_LOOKS)
