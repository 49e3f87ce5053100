"""The objectives of the runs behind a setting, with their seeds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.records.runs import COMPLETE, TOO_LARGE, Floats, RunRecord


@dataclass(frozen=True, eq=False)
class RunWorth:
    """The objectives of one run.

    Attributes:
        seed: None where it is unknown.
        objectives: a number for each.
        run: its record; None where that is gone.
    """

    seed: int | None
    objectives: Sequence[float]
    run: RunRecord | None


def read_values(values: Sequence[float] | None, num_objectives: int) -> list[float] | None:
    """The objectives of a run or a trial; None unless there is a sound number for each."""
    numbers = list(values or [])
    is_sound = all(isinstance(value, int | float) and abs(value) < TOO_LARGE for value in numbers)
    return [float(value) for value in numbers] if is_sound and len(numbers) == num_objectives else None


def read_runs(runs: Sequence[RunRecord], num_objectives: int) -> list[RunWorth]:
    """Those that came to their end: others may have an objective, but one of fewer updates."""
    values = [(run, read_values(run.objectives, num_objectives)) for run in runs if run.state == COMPLETE]
    return [RunWorth(run.seed, objectives, run) for run, objectives in values if objectives is not None]


def list_seeds(worths: Sequence[RunWorth]) -> list[int] | None:
    """The seeds of the runs, in their order; None where one is unknown."""
    seeds = [worth.seed for worth in worths if worth.seed is not None]
    return seeds if len(seeds) == len(worths) else None


def stack(worths: Sequence[RunWorth], num_objectives: int) -> Floats:
    """The objectives of several runs, (runs, objectives)."""
    return np.array([worth.objectives for worth in worths], dtype=np.float64).reshape(-1, num_objectives)
