"""A sweep that outlives faults of the environment which the sweeper itself meets: in its study, its folder, its log."""

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from rlhf_sweeps.environment import fault
from rlhf_sweeps.sweep.patience import Patience


class Runs(Protocol):
    """What of an engine is needed here."""

    def run(self) -> None:
        """Run to the end of the sweep."""


Running = TypeVar("Running", bound=Runs)


def run_patiently(
    engine: Running,
    replace: Callable[[Running], Running],
    conclude: Callable[[Running], None],
    patience: Patience,
    tell: Callable[[str], None],
) -> Running:
    """Run an engine; where the environment is at fault, wait, and run another that goes on from the record.

    Meanwhile the trials go on in their processes.

    Args:
        replace: an engine that was cut short -> the one that goes on. May meet the same fault.
        conclude: called with the last engine, however it ends.
        tell: shows a line.

    Returns:
        The engine that came to its end.

    Raises:
        Exception: what has cut an engine short, if it is no fault of the environment or was there for too long.
    """
    is_cut_short = False
    try:
        while True:
            try:
                if is_cut_short:
                    engine, is_cut_short = replace(engine), False
                engine.run()
                return engine
            except Exception as error:
                is_cut_short = True
                if (what := fault(error)) is None:
                    raise
                seconds = patience.note(what, time.monotonic())
                if patience.is_over:
                    raise
                tell(f"{what}; trying again in {seconds:.0f} s")
                time.sleep(seconds)
    finally:
        conclude(engine)
