"""Which runs and sweeps lie in a folder."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rlhf_sweeps.runs.files import analysis_folder
from rlhf_sweeps.runs.run import Run
from rlhf_sweeps.runs.sweep import Sweep

_SEED = re.compile(r"seed_(-?\d+)")
_TEST = re.compile(r"(\d+)_seed_(-?\d+)")


class RunOfSweep(NamedTuple):
    """A run's place in its sweep; the seed is None where a trial has one run only."""

    trial: int
    seed: int | None
    is_test: bool
    run: Run


def is_run(folder: Path) -> bool:
    """Whether a run has left anything there."""
    run = Run(folder)
    return any(file.is_file() for file in (run.start_file, run.metrics_file, run.summary_file))


def is_sweep(folder: Path) -> bool:
    """Whether a sweep has left anything there, if only numbered runs."""
    sweep = Sweep(folder)
    if any(file.is_file() for file in (sweep.start_file, sweep.study, sweep.hydra_file, sweep.comparison_file)):
        return True
    return not is_run(folder) and any(one.run.folder.exists() for one in runs_of(sweep))


def runs_of(sweep: Sweep) -> list[RunOfSweep]:
    """All runs of a sweep, by trial, those on test seeds last; a trial that was begun and recorded nothing, too."""
    found = []
    for trial in sweep.trials():
        folder = sweep.trial(trial)
        seeds = sorted(int(match[1]) for path in folder.iterdir() if (match := _SEED.fullmatch(path.name)))
        several: list[int | None] = [*seeds] or [None]
        found += [RunOfSweep(trial, seed, False, sweep.run(trial, seed)) for seed in several]
    tests = sorted(
        (int(match[1]), int(match[2]))
        for path in (sweep.folder / "test").glob("*")
        if (match := _TEST.fullmatch(path.name))
    )
    return found + [RunOfSweep(trial, seed, True, sweep.test_run(trial, seed)) for trial, seed in tests]


def found(folder: Path) -> Iterator[Run | Sweep]:
    """The run or sweep that a folder is; of any other folder those that lie in it, however deep, by name.

    What the analysis has written there is no record, although some of its files are called alike.
    """
    if is_run(folder):
        yield Run(folder)
    elif is_sweep(folder):
        yield Sweep(folder)
    else:
        for path in sorted(folder.iterdir()):
            is_own = not path.name.startswith(".") and path != analysis_folder(folder)
            if path.is_dir() and not path.is_symlink() and is_own:
                yield from found(path)
