"""Handle the end of a run: its setting continues with another seed, or has ended, or the run is started again."""

import math
import re
import signal
import time
from collections.abc import Callable, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from rlhf_sweeps.process.environment import EXIT_STATUS
from rlhf_sweeps.sweep.active import BUDGET, INTERRUPTED, NO_METRIC, OVER_BUDGET, PRUNE, TIMEOUT, Active
from rlhf_sweeps.sweep.configurations import Configuration, Configurations
from rlhf_sweeps.sweep.contenders import read_reward_model
from rlhf_sweeps.sweep.display import Display
from rlhf_sweeps.sweep.follower import Follower
from rlhf_sweeps.sweep.patience import Patience
from rlhf_sweeps.sweep.plan import Plan
from rlhf_sweeps.sweep.pruning.pruning_state import PruningState
from rlhf_sweeps.sweep.schedule import Schedule
from rlhf_sweeps.sweep.study.study import Study
from rlhf_sweeps.sweep.study.tested import NO_VALUE
from rlhf_sweeps.sweep.study.trials import COMPLETE, ENVIRONMENT, FAILED, MENDABLE, PRUNED, WAITING, SweepTrial
from rlhf_sweeps.sweep.wandb_run import SweepTracker
from rlhf_sweeps.verdicts.objective import (
    compute_objectives,
    compute_violations,
    ends_beyond_budget,
    find_missing_metrics,
)
from rlhf_sweeps.verdicts.settings import mean_over_seeds, mean_violations
from rlhf_sweeps.wording import LONGEST_MESSAGE, cut

# A run with such a status in its summary is not started again.
ENDED = ("complete", "diverged", "failed")
MOST_FAULTS = 4  # successive faults of a run, after which other runs go first; chosen


class Outcomes:
    """Reports the ends of runs to the study, the schedule and the user.

    Args:
        is_stopping: whether the sweep itself stops.
    """

    def __init__(
        self,
        plan: Plan,
        study: Study,
        pruning: PruningState,
        configurations: Configurations,
        schedule: Schedule,
        follower: Follower,
        display: Display,
        tracker: SweepTracker,
        patience: Patience,
        is_stopping: Callable[[], bool],
    ) -> None:
        self._plan, self._study, self._pruning, self._configurations = plan, study, pruning, configurations
        self._schedule, self._follower, self._display, self._tracker = schedule, follower, display, tracker
        self._patience, self._is_stopping = patience, is_stopping
        self._num_ended = 0  # runs that have ended in this start of the sweep

    def copy(self, active: Active, twin: SweepTrial) -> None:
        """End a trial like an earlier trial of the same setting; as a peer of others only the earlier one counts."""
        trial = active.trial
        self._pruning.add_trial(trial.number, {})
        for step, value in self._pruning.reports(twin.number).items():
            self._study.report(trial.number, step, value)
        trial.num_updates, trial.update = twin.num_updates, twin.update
        trial.objectives, trial.by_seed, trial.violations = twin.objectives, twin.by_seed, twin.violations
        trial.cause, trial.has_run = twin.cause, False
        self._end_trial(active, twin.state, f"same setting as trial {twin.number}, so not run again")

    def refuse(self, active: Active, message: str, is_new: bool = True) -> None:
        """End a run whose config cannot be composed; a trial that has not begun does not count as a failure."""
        active.trial.has_run = not is_new or active.index != 0
        self._fail(active, "config", message)

    def end(self, active: Active) -> str | None:
        """Handle the end of a run's process, or a run without work left; returns why the sweep has to stop, if so."""
        self._follower.follow(active)
        if active.index is not None and active.future is not None:
            active.trial.worker_seconds += time.monotonic() - active.begun
        active.trial.going.pop(active.seed, None)
        if active.is_moot:
            return None
        if active.verdict == WAITING:
            self._schedule.wait(active)
            return None
        summary = active.run.summary()
        if active.verdict is not None and summary is None:
            summary = {"status": "stopped", "stop_reason": active.verdict, "objective": None}
            active.run.write_summary(summary)
        if summary is None:
            if active.future is not None and active.future.result() == EXIT_STATUS:
                self._put_back(active, _read_error(active.run.log_file))
            else:
                self._lose(active, _explain_loss(active))
            return None
        status, reason = summary["status"], active.verdict or summary.get("stop_reason")
        if reason in (INTERRUPTED, BUDGET, ENVIRONMENT) and self._is_stopping():
            return str(reason)
        if reason == PRUNE:  # decided, whatever updates it made after that
            self._end_trial(active, PRUNED)
        elif reason == OVER_BUDGET:
            self._complete_run(active, is_over_budget=True)
        elif reason == WAITING and status not in ENDED:
            self._schedule.wait(active)
        elif reason == INTERRUPTED and active.run.stop_reason() != INTERRUPTED:
            self._lose(active, "stopped by a signal that is not the sweep's")
        elif reason == TIMEOUT:
            self._fail(active, "timeout", f"sweep.trial_hours={self._plan.config.sweep.trial_hours:g} are over")
        elif reason == NO_METRIC:
            self._fail(active, "config", self._explain_missing(active))
        elif status == "diverged":
            self._fail(active, status, str(summary["message"]))
        elif status == "failed" and summary["cause"] == ENVIRONMENT:
            self._put_back(active, str(summary["message"]))
        elif status == "failed":
            self._fail(active, summary["cause"], str(summary["message"]))
        elif status == "complete":
            self._complete_run(active)
        else:
            self._end_trial(active, PRUNED, f"stopped: {reason}")
        return None

    def _find_configuration(self, trial: SweepTrial) -> Configuration:
        return self._configurations[trial.configuration]

    def _explain_missing(self, active: Active) -> str:
        names = find_missing_metrics(active.rows, self._find_configuration(active.trial).objective)
        recorded = sorted({name for row in active.rows for name in row})
        return f"objective: no update has {', '.join(names)} (recorded: {', '.join(recorded)})"

    def _complete_run(self, active: Active, is_over_budget: bool = False) -> None:
        """Handle a run that has come to its end: the setting continues with other seeds, or is complete.

        Args:
            is_over_budget: whether it was stopped for that; its last evaluation may be back within the budget.
        """
        trial, seeds = active.trial, self._find_configuration(active.trial).seeds
        values = compute_objectives(active.rows, self._find_configuration(trial).objective)
        if values is None and find_missing_metrics(active.rows, self._find_configuration(trial).objective):
            self._fail(active, "config", self._explain_missing(active))
            return
        if values is None or not all(math.isfinite(value) for value in values):
            if active.index is None:
                self._fail(active, NO_VALUE, "")
            else:
                self._end_trial(active, PRUNED, "no update within objective.kl_budget")
            return
        if is_over_budget or ends_beyond_budget(active.rows, self._find_configuration(trial).objective):
            trial.beyond.add(active.seed)
        if active.index is None:
            trial.tested[active.seed] = list(values)
            self._note_end(active)
            return
        by_seed = {**trial.by_seed, active.seed: list(values)}
        trial.by_seed = {seed: by_seed[seed] for seed in seeds if seed in by_seed}
        trial.broken[active.seed] = compute_violations(active.rows, self._find_configuration(trial).objective)
        self._schedule.note_seeds(trial)
        is_last = len(trial.by_seed) == len(seeds)
        if len(seeds) > 1:
            self._report_seeds(trial, seeds)
            self._note_end(active)
            if not is_last and self._pruning.should_prune(trial.number):
                self._end_trial(active, PRUNED)
                return
        if is_last:
            trial.objectives = mean_over_seeds(trial.by_seed.values())
            self._end_trial(active, COMPLETE)
        else:
            self._schedule.go_on(trial)

    def _report_seeds(self, trial: SweepTrial, seeds: Sequence[int]) -> None:
        """Report the mean over the first seed, the first two, ...: these do not depend on the order of the ends."""
        done = [trial.by_seed[seed] for seed in takewhile(trial.by_seed.__contains__, seeds)]
        for count in range(1, len(done) + 1):
            mean = mean_over_seeds(done[:count])
            assert mean is not None, "all of a trial's runs have the same objectives"
            self._follower.report(trial, count * trial.num_updates, mean)

    def _lose(self, active: Active, description: str) -> None:
        """Start a run again whose process was lost; it continues from its checkpoint."""
        if self._is_stopping():
            return
        retries = self._plan.config.sweep.retries
        description += f"; see {active.run.log_file}"
        if active.losses == retries:
            self._fail(active, "lost_process", description)
            return
        active.losses += 1
        again = f"starting it again ({active.losses} of {retries})"
        self._display.event(f"trial {active.trial.number}: lost its process, {again}: {description}")
        self._schedule.first(active)

    def _put_back(self, active: Active, fault: str) -> None:
        """Put a run back after a fault of the environment; it continues from its checkpoint after a pause.

        A run with several faults in a row lets other runs go first. If these end without the fault, it is the run's
        own.
        """
        if self._is_stopping():
            return
        active.future = None
        active.note_fault()
        if active.ended_before is not None and self._num_ended > active.ended_before:
            self._display.event(
                f"trial {active.trial.number}: {fault}; only this run has this fault; the next start continues it"
            )
            self._fail(active, ENVIRONMENT, f"{fault}; only this run has this fault")
            return
        seconds = self._patience.note(fault, time.monotonic())
        again = f"; trying again in {seconds:.0f} s" if seconds else ""
        if active.faults >= MOST_FAULTS:
            again += ", after other trials"
            active.ended_before = self._num_ended
        self._schedule.first(active)
        self._display.event(f"trial {active.trial.number}: {fault}{again}")

    def _note_end(self, active: Active) -> None:
        """Note that a run has ended, so that no fault affects all runs; a refused or copied setting has no process."""
        if active.future is not None:
            self._num_ended += 1
            self._patience.forget()

    def _fail(self, active: Active, cause: str, message: str) -> None:
        if active.index is None:
            active.trial.tested[active.seed] = cause
            why = f": {message}" if message else ""
            self._display.event(f"trial {active.trial.number} failed on test seed {active.seed} ({cause}){why}")
            return
        active.trial.cause = cause
        if cause in MENDABLE:
            # The study could not open a closed trial again, so the trial stays open there.
            active.trial.state, active.trial.message = (
                FAILED,
                f"{message}; once this is repaired, the same command continues it",
            )
            self._schedule.drop(active.trial)
            self._tracker.log(self._schedule.trials)
            return
        self._end_trial(active, FAILED, message)

    def _end_trial(self, active: Active, state: str, message: str | None = None) -> None:
        """Write the end of a trial to the study, at once."""
        trial = active.trial
        if active.index is None:
            return
        trial.state, trial.message = state, message
        self._schedule.drop(trial)
        notes: dict[str, Any] = {
            "seconds": trial.seconds,
            "worker_seconds": trial.worker_seconds,
            "num_updates": trial.num_updates,
            "by_seed": trial.by_seed if len(self._find_configuration(trial).seeds) > 1 else None,
            "cause": trial.cause,
            "message": message,
        }
        notes = {key: value for key, value in notes.items() if value}
        self._study.note(trial.number, **notes, **({} if trial.has_run else {"has_run": False}))
        if state == COMPLETE and trial.has_run:
            trial.violations = mean_violations(trial.broken.values())
            trial.reward_model = read_reward_model(active.run) if self._plan.is_comparison else None
        self._study.tell(trial.number, state, trial.objectives, trial.violations)
        self._note_end(active)  # after the study has it, since the study's disk may be the full one
        self._tracker.log(self._schedule.trials)


def _read_error(log: Path) -> str:
    """The error that ended a run's process, if its log contains it."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        text = ""
    last = text.rpartition("\n")[2]
    is_error = re.match(r"[\w.]*(Error|Exception)\b", last) is not None
    return cut(last, LONGEST_MESSAGE) if is_error else f"a full disk, or another fault of the environment (see {log})"


def _explain_loss(active: Active) -> str:
    """Describe the end of a run's process that left no summary."""
    status = active.future.result() if active.future else 0
    if status >= 0:
        return f"exit status {status}, no summary"
    # Real-time signals have no name in the enumeration.
    name = next((number.name for number in signal.Signals if number == -status), f"signal {-status}")
    return f"ended by {name}"
