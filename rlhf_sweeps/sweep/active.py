"""A run of a trial that waits for a worker or has one."""

from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from rlhf_sweeps.record import Run
from rlhf_sweeps.sweep.study.trials import WAITING, Trial

# Why the sweeper asks a run to stop. Its updates decide about the first three, and end it; the last two end the sweep.
PRUNE, OVER_BUDGET, NO_METRIC = "pruned", "kl_budget", "no_metric"
TIMEOUT, BUDGET, INTERRUPTED = "timeout", "budget", "interrupted"
# After these no update of the run is looked at any more: whatever it does until it hears of it decides nothing.
FINAL = (PRUNE, OVER_BUDGET, NO_METRIC, WAITING)


@dataclass
class Active:
    """A run of a trial that waits for a worker or has one.

    Attributes:
        index: which of the tuning seeds it has; None on a test seed.
        rows: its updates so far, up to the verdict.
        verdict: why the sweeper has given the run up, if it has.
        losses: how often its process was lost.
        faults: how often in a row the environment was at fault, without the run getting any further.
        furthest: the update that it had come to at the last of these.
        ended_before: how many runs had come to their end when it was put off for that; None: it was not.
        decided: the update up to which it is decided that it goes on, by an earlier start or before it waited.
        begun: when it got its worker, in seconds of the monotonic clock.
        seen: when it last gave a sign, likewise.
        future: of its process, once there is one.
    """

    trial: Trial
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
        """The last that it has recorded; 0: none yet."""
        return int(self.rows[-1]["update"]) if self.rows else 0

    @property
    def is_moot(self) -> bool:
        """Whether another seed has ended its trial meanwhile."""
        return self.index is not None and self.trial.has_ended

    def note_fault(self) -> None:
        """Count a fault of the environment; one that is met after some progress is another one."""
        if self.update > self.furthest:
            self.faults, self.ended_before = 0, None
        self.faults, self.furthest = self.faults + 1, max(self.furthest, self.update)

    def give_up(self, verdict: str) -> None:
        """Ask the run to stop, unless it was asked already."""
        if self.verdict is None:
            self.verdict = verdict
            self.run.ask_to_stop(verdict)

    @property
    def has_begun(self) -> bool:
        """Whether the run was composed, by this start of the sweep or an earlier one."""
        return self.run.config_file.is_file()
