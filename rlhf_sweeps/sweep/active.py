"""A run of a trial that waits for a worker or has one."""

from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from rlhf_sweeps.record import Run
from rlhf_sweeps.sweep.study.trials import WAITING, SweepTrial

# Why the sweeper asks a run to stop. The run's own updates decide about the first three; the last two end the sweep.
PRUNE, OVER_BUDGET, NO_METRIC = "pruned", "kl_budget", "no_metric"
TIMEOUT, BUDGET, INTERRUPTED = "timeout", "budget", "interrupted"
# After these verdicts the sweeper ignores the run's further updates, which it makes until it reads the request.
FINAL = (PRUNE, OVER_BUDGET, NO_METRIC, WAITING)


@dataclass
class Active:
    """A run of a trial that waits for a worker or has one.

    Attributes:
        index: the position of its seed among the tuning seeds; None on a test seed.
        rows: its updates so far, up to the verdict.
        verdict: why the sweeper has asked the run to stop; None if it has not.
        losses: how many times its process was lost.
        faults: number of successive faults of the environment, without progress of the run in between.
        furthest: the update that it had reached at the last of these faults.
        ended_before: number of runs that had ended when this one was put off after such faults; None if it was not.
        decided: the pruner has let the run continue up to this update, in an earlier start or before it waited.
        begun: when it got its worker, in seconds of the monotonic clock.
        seen: when it last recorded an update, in seconds of the same clock.
        future: the exit status of its process to come; None before it is started.
    """

    trial: SweepTrial
    run: Run
    seed: int
    index: int | None
    rows: list[dict[str, Any]] = field(default_factory=list)
    verdict: str | None = None
    losses: int = 0
    faults: int = 0
    furthest: int = 0
    ended_before: int | None = None
    decided: int = 0
    begun: float = 0.0
    seen: float = 0.0
    future: "Future[int] | None" = None

    @property
    def update(self) -> int:
        """The last update that it has recorded; 0: none yet."""
        return int(self.rows[-1]["update"]) if self.rows else 0

    @property
    def is_moot(self) -> bool:
        """Whether its trial has ended meanwhile by the run on another seed."""
        return self.index is not None and self.trial.has_ended

    def note_fault(self) -> None:
        """Count a fault of the environment; after progress of the run, the count begins again."""
        if self.update > self.furthest:
            self.faults, self.ended_before = 0, None
        self.faults, self.furthest = self.faults + 1, max(self.furthest, self.update)

    def give_up(self, verdict: str) -> None:
        """Ask the run to stop, unless it was already asked to."""
        if self.verdict is None:
            self.verdict = verdict
            self.run.ask_to_stop(verdict)

    @property
    def has_begun(self) -> bool:
        """Whether the run was composed, by this start of the sweep or an earlier one."""
        return self.run.config_file.is_file()
