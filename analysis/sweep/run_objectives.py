"""The objectives of the runs behind a setting, with their seeds."""

from collections.abc import Sequence

import numpy as np

from analysis.records.runs import COMPLETE, TOO_LARGE, Floats, RunRecord


def read_values(values: Sequence[float] | None, num_objectives: int) -> list[float] | None:
    """The objectives of a run or a trial; None unless there is a sound number for each."""
    numbers = list(values or [])
    is_sound = all(isinstance(value, int | float) and abs(value) < TOO_LARGE for value in numbers)
    return [float(value) for value in numbers] if is_sound and len(numbers) == num_objectives else None


def read_runs(runs: Sequence[RunRecord], num_objectives: int) -> list[tuple[int | None, list[float]]]:
    """Seed and objectives of those that came to their end: others may have an objective, but one of fewer updates."""
    worths = [(run.seed, read_values(run.objectives, num_objectives)) for run in runs if run.state == COMPLETE]
    return [(seed, worth) for seed, worth in worths if worth is not None]


def list_seeds(runs: Sequence[tuple[int | None, object]]) -> list[int] | None:
    """The seeds of the runs, in their order; None where one is unknown."""
    seeds = [seed for seed, _ in runs if seed is not None]
    return seeds if len(seeds) == len(runs) else None


def stack(worths: Sequence[Sequence[float]], num_objectives: int) -> Floats:
    """The objectives of several runs, (runs, objectives)."""
    return np.array(worths, dtype=np.float64).reshape(-1, num_objectives)
