"""A trial: one setting, the runs it takes (one for each seed), and what has become of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlhf_sweeps.record.trials import COMPLETE as COMPLETE
from rlhf_sweeps.record.trials import FAILED as FAILED
from rlhf_sweeps.record.trials import PRUNED as PRUNED
from rlhf_sweeps.record.trials import RUNNING as RUNNING
from rlhf_sweeps.record.trials import WAITING as WAITING
from rlhf_sweeps.sweep.study.tested import measured
from rlhf_sweeps.verdicts.settings import keeps, mean_over_seeds

# Why a trial failed. The first two tell that a setting is bad; the others say nothing about it.
BAD_SETTING = ("out_of_memory", "diverged")
# What lies outside of the run and can be mended: the next start of the sweep goes on with it. Of the environment's
# faults this start tries again by itself.
ENVIRONMENT = "environment"
MENDABLE = ("reward_model", ENVIRONMENT)
CAUSES = (*BAD_SETTING, *MENDABLE, "config", "error", "lost_process", "timeout")

COMPARED = "compared"  # the group of all trials that can be compared with new ones


@dataclass
class Trial:
    """One suggestion and its runs.

    Attributes:
        number: Optuna's, and the folder's name.
        params: parameter -> value, as Optuna has them.
        settings: Hydra key -> text, for every swept key; what the user reads.
        folder: of the trial; its runs are in there if there are several.
        state: RUNNING, WAITING, COMPLETE, PRUNED or FAILED.
        cause: of a failure, one of CAUSES.
        message: the failure in one line.
        objectives: one value for each objective, once complete; the mean over seeds.
        violations: constraint -> by how much a complete trial breaks it, in the mean over seeds; 0 and below: kept.
        broken: the same for every seed that has finished.
        by_seed: the objectives of every seed that has finished.
        tested: test seed -> objectives, or the cause why there are none; see tested.py.
        num_runs: on how many of its seeds a run was begun, or is to begin.
        going: seed -> how far its run is, of those that have a worker and have recorded an update.
        update, num_updates: how far the current run is; of several at once, the one that is furthest behind.
        score, kl: of its newest evaluation, if there is one.
        seconds: of training so far.
        worker_seconds: for which its runs have had workers, starting and saving included; 0: not measured.
        reward_model: of a complete trial in a comparison of them, the one that it was trained on, as the record has it.
        configuration: the index of what it was begun under, in `Configurations`.
        is_compared: whether that, and its values, are such that it can be compared with those to come.
        has_run: False where there was nothing to run: a setting that cannot be, or that was run already.
    """

    number: int
    params: Mapping[str, Any]
    settings: Mapping[str, str]
    folder: Path
    state: str = RUNNING
    cause: str | None = None
    message: str | None = None
    objectives: list[float] | None = None
    violations: dict[str, float] = field(default_factory=dict)
    broken: dict[int, dict[str, float]] = field(default_factory=dict)
    by_seed: dict[int, list[float]] = field(default_factory=dict)
    tested: dict[int, list[float] | str] = field(default_factory=dict)
    num_runs: int = 0
    going: dict[int, int] = field(default_factory=dict)
    update: int = 0
    num_updates: int = 0
    score: float | None = None
    kl: float | None = None
    seconds: float = 0.0
    worker_seconds: float = 0.0
    reward_model: str | None = None
    configuration: int = 0
    is_compared: bool = True
    has_run: bool = True

    @property
    def group(self) -> object:
        """Which trials it may be judged by."""
        return COMPARED if self.is_compared else self.configuration

    @property
    def is_feasible(self) -> bool:
        """Whether it keeps all of objective.constraints."""
        return keeps(self.violations)

    @property
    def test_mean(self) -> list[float] | None:
        """What it is worth on the test seeds; None where none gave a value."""
        return mean_over_seeds(measured(self.tested).values())

    @property
    def has_ended(self) -> bool:
        """Whether its state is the last one."""
        return self.state not in (RUNNING, WAITING)
