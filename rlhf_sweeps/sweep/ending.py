"""How a sweep ends: complete, interrupted or failed."""

from pathlib import Path

from rlhf_sweeps.process.environment import EnvironmentFault
from rlhf_sweeps.sweep import SweepFailedError, SweepInterruptedError
from rlhf_sweeps.sweep.active import BUDGET, INTERRUPTED
from rlhf_sweeps.sweep.engine import Engine
from rlhf_sweeps.sweep.study.tested import is_nothing_measured
from rlhf_sweeps.sweep.study.trials import ENVIRONMENT, FAILED


def choose_end(folder: Path, engine: Engine) -> BaseException | None:
    """The exception that ends the sweep in `folder`; None if the sweep is complete, or its time is over."""
    if engine.stopping == INTERRUPTED:
        return SweepInterruptedError(folder)
    if engine.stopping == ENVIRONMENT:
        return EnvironmentFault(f"hydra.sweep.dir={folder}: {engine.fault}")
    if engine.stopping not in (None, BUDGET):
        return SweepFailedError(engine.stopping)
    trials = [trial for trial in engine.schedule.trials if trial.is_compared]
    if trials and all(trial.state == FAILED for trial in trials):
        return SweepFailedError("every trial failed")
    if is_nothing_measured([trial.tested for trial in trials]):
        return SweepFailedError("every run on the test seeds failed, so there is nothing to report")
    return None
