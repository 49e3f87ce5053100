"""A trial: a setting, its runs (one for each seed), and its state."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlhf_sweeps.record.trials import BEYOND
from rlhf_sweeps.record.trials import COMPLETE as COMPLETE
from rlhf_sweeps.record.trials import FAILED as FAILED
from rlhf_sweeps.record.trials import PRUNED as PRUNED
from rlhf_sweeps.record.trials import RUNNING as RUNNING
from rlhf_sweeps.record.trials import WAITING as WAITING
from rlhf_sweeps.sweep.study.tested import select_measured
from rlhf_sweeps.verdicts.settings import keeps_constraints, mean_over_seeds

# Causes of a failure. These two show that a setting is bad; the others say nothing about it.
BAD_SETTING = ("out_of_memory", "diverged")
# Causes outside of the run that can be repaired: the next start of the sweep continues the trial. After a fault of the
# environment this start itself tries again.
ENVIRONMENT = "environment"
MENDABLE = ("reward_model", ENVIRONMENT)
CAUSES = (*BAD_SETTING, *MENDABLE, "config", "error", "lost_process", "timeout")

COMPARED = "compared"  # the group of all trials that can be compared with new ones


@dataclass
class SweepTrial:
    """A suggestion and its runs.

    Attributes:
        number: Optuna's number, and the folder's name.
        params: parameter -> value, as in Optuna.
        settings: Hydra key -> text, for every swept key, as shown to the user.
        folder: of the trial; it contains the folders of its runs if there are several.
        state: RUNNING, WAITING, COMPLETE, PRUNED or FAILED.
        cause: of a failure, one of CAUSES.
        message: the failure in one line.
        objectives: a value for each objective, as mean over seeds; None unless complete.
        violations: constraint -> by how much a complete trial breaks it, as mean over seeds; 0 or less if it keeps it.
        broken: seed -> the same for every seed that has finished.
        by_seed: the objectives of every seed that has finished.
        tested: test seed -> objectives, or the cause why there are none; see tested.py.
        scores, test_scores: seed -> the held-out scores by prompt of its run; only at the end of a sweep, of the best
            trials with several runs.
        beyond: the seeds whose run was stopped by the KL budget, or ended beyond it.
        num_runs: number of its seeds whose run has begun or is queued.
        going: seed -> the last update of its run, for runs that have a worker and have recorded an update.
        update, num_updates: the current run's last update, and the updates of a whole run; of several runs at once,
            those of the slowest.
        score, kl: of its newest evaluation, if the seed that runs has had one.
        seconds: of training so far.
        worker_seconds: how long its runs had workers, including starting and saving; 0: not measured.
        reward_model: the reward model that it was trained on, from the record; only for complete trials of a comparison
            of reward models.
        configuration: index in `Configurations` of the configuration under which it began.
        is_compared: whether it can be compared with new trials, by its configuration and its values.
        has_run: False if there was nothing to run: an impossible setting, or one that another trial has run.
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
    scores: dict[int, Mapping[str, float]] = field(default_factory=dict)
    test_scores: dict[int, Mapping[str, float]] = field(default_factory=dict)
    beyond: set[int] = field(default_factory=set)
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
        """The group of trials that it may be compared with."""
        return COMPARED if self.is_compared else self.configuration

    @property
    def is_feasible(self) -> bool:
        """Whether it keeps all of objective.constraints."""
        return keeps_constraints(self.violations)

    @property
    def remark(self) -> str | None:
        """What its state leaves out: the cause of a failure, or BEYOND if a run ended beyond its budget."""
        if self.state == COMPLETE:
            return BEYOND if self.beyond else None
        return self.cause if self.state == FAILED else None

    @property
    def test_mean(self) -> list[float] | None:
        """The mean objectives over the test seeds; None if none has a value."""
        return mean_over_seeds(select_measured(self.tested).values())

    @property
    def has_ended(self) -> bool:
        """Whether its state is final."""
        return self.state not in (RUNNING, WAITING)
