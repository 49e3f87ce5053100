"""The one loop of a sweep: ask -> start -> follow the records -> prune, retry, tell; grids and searches alike.

A trial knows nothing of the study. What is decided about it follows from its recorded updates in their order, not from
when they are read: a sweep that was killed and continued, one worker at a time, comes to the same study as one that
was not.
"""

import math
import signal
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from statistics import fmean

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from rlhf_sweeps.fields import ConfigError
from rlhf_sweeps.interruption import Interruption
from rlhf_sweeps.objective import objectives, violations
from rlhf_sweeps.runs import Sweep
from rlhf_sweeps.sweep.clock import Clock
from rlhf_sweeps.sweep.composition import Composer
from rlhf_sweeps.sweep.display import Display
from rlhf_sweeps.sweep.executors import Executor, InProcess
from rlhf_sweeps.sweep.judge import Judge, is_over_budget_for_good
from rlhf_sweeps.sweep.plan import Plan
from rlhf_sweeps.sweep.schedule import Active, Schedule
from rlhf_sweeps.sweep.study import Study
from rlhf_sweeps.sweep.trials import COMPLETE, FAILED, MENDABLE, PRUNED, WAITING, Trial
from rlhf_sweeps.sweep.wandb_run import SweepTracker

SECONDS_BETWEEN_LOOKS = 0.05
SECONDS_BETWEEN_SAVES = 10.0
# Why the sweeper asks a run to stop. The first two are decided by its updates, and end it; the last two end the sweep.
PRUNE, OVER_BUDGET, TIMEOUT, BUDGET, INTERRUPTED = "pruned", "kl_budget", "timeout", "budget", "interrupted"
# After these no update of the run is looked at any more: whatever it does until it hears of it decides nothing.
FINAL = (PRUNE, OVER_BUDGET, WAITING)
# A run with such a summary has nothing left to do.
ENDED = ("complete", "diverged", "failed")


class Engine:
    """Runs a plan's trials until there are enough.

    Attributes:
        schedule: all trials, and which run is next.
        clock: of all starts of the sweep.
        stopping: why nothing more is begun, once that is so: INTERRUPTED, BUDGET or a sentence.
    """

    def __init__(
        self,
        sweep: Sweep,
        plan: Plan,
        study: Study,
        judge: Judge,
        composer: Composer,
        executor: Executor,
        display: Display,
        tracker: SweepTracker,
    ) -> None:
        self._sweep, self._plan, self._study, self._judge = sweep, plan, study, judge
        self._composer, self._executor, self._display, self._tracker = composer, executor, display, tracker
        self.schedule = Schedule(sweep, plan, study, judge)
        self.stopping: str | None = None
        self._active: list[Active] = []
        self._saved = 0.0
        self.clock = Clock(plan, float((sweep.start() or {}).get("seconds", 0.0)), executor.num_workers)
        if isinstance(executor, InProcess):
            executor.watch = self.look

    def run(self) -> None:
        """Run what is left of the plan.

        Raises:
            KeyboardInterrupt: at a second Ctrl-C; the executor's processes are then still there.
        """
        self.schedule.adopt()
        with Interruption() as self._interruption:
            while True:
                self._stop_where_due()
                self._fill()
                if not self._active:
                    return
                futures = [active.future for active in self._active if active.future is not None]
                wait(futures, SECONDS_BETWEEN_LOOKS, FIRST_COMPLETED)
                self.look()
                for active in [one for one in self._active if one.future is not None and one.future.done()]:
                    self._active.remove(active)
                    self._end(active)

    def look(self) -> None:
        """Read what the running trials have recorded since the last look, and show it."""
        self._stop_where_due()
        limits, now = self._plan.config.sweep, time.monotonic()
        for active in self._active:
            self._follow(active)
            if now - active.seen > limits.update_timeout:
                self._display.event(f"trial {active.trial.number}: no update for {now - active.seen:.0f} s, ending it")
                active.seen = now
                self._executor.kill(active.run.folder)
            if active.index is not None and active.trial.seconds > (limits.trial_hours or math.inf) * 3600:
                self._give_up(active, TIMEOUT)
        if now - self._saved > SECONDS_BETWEEN_SAVES:
            self.save()
        self._display.show(self.schedule.trials, self.clock.left(self.schedule.trials, self.schedule.num_left))

    def save(self) -> None:
        """Note for how long the sweep has run, which its next start needs."""
        self._saved = time.monotonic()
        self._sweep.write_start({**(self._sweep.start() or {}), "seconds": self.clock.seconds})

    def _fill(self) -> None:
        """Give every free worker a run."""
        while self.stopping is None and len(self._active) < self._executor.num_workers:
            self._stop_where_due()
            active = self.schedule.next(self._may_ask(), is_idle=not self._active)
            if active is None or self.stopping is not None:
                return
            self._start(active)

    def _may_ask(self) -> bool:
        """Whether time and failures allow another setting; too many failures end the sweep."""
        num_failed, num_ended = self.schedule.failures
        if not self._plan.may_fail(num_failed, num_ended):
            rate = self._plan.settings.max_failure_rate
            self.stopping = f"hydra.sweeper.max_failure_rate={rate:g}: {num_failed} of {num_ended} trials failed"
            return False
        of_budget = self.clock.of_budget
        return of_budget is None or of_budget > self.clock.of_tests(self.schedule.trials)

    def _stop_where_due(self) -> None:
        """Ask all runs to stop, once: at a Ctrl-C, or when the sweep's time is over."""
        of_budget = self.clock.of_budget
        if self._interruption.reason and self.stopping != INTERRUPTED:
            self._stop(INTERRUPTED)
        elif of_budget is not None and of_budget < 0 and self.stopping is None:
            self._display.event("sweep.budget_hours are over; what runs is stopped after its update")
            self._stop(BUDGET)

    def _stop(self, reason: str) -> None:
        self.stopping = reason
        for active in self._active:
            if active.verdict is None:
                active.run.ask_to_stop(reason)

    # A run from start to end

    def _start(self, active: Active) -> None:
        """Compose the run and give it to a worker, unless it has ended already."""
        trial, run = active.trial, active.run
        if active.index is not None and (twin := self.schedule.twin(trial)) is not None:
            self._copy(active, twin)
            return
        seed = None if active.index is not None and len(self._plan.seeds) == 1 else active.seed
        try:
            config = self._composer.write(self._plan.overrides(trial.params, seed), trial.number, run.folder)
        except (ConfigError, HydraException, OmegaConfBaseException) as error:
            self._fail(active, "config", " ".join(str(error).split()))
            return
        trial.num_updates = config.ppo.num_updates
        active.seen = time.monotonic()
        if (reason := run.stop_reason()) in (PRUNE, OVER_BUDGET):
            self._follow(active)
            active.verdict = reason  # an earlier start has decided it
        summary = run.summary() or {}
        if active.verdict or (summary.get("status") in ENDED and summary.get("cause") not in MENDABLE):
            self._end(active)
            return
        run.reopen()
        self._active.append(active)
        active.future = self._executor.submit(run.folder)

    def _copy(self, active: Active, twin: Trial) -> None:
        """End a trial as one of the same setting has ended."""
        trial, sign = active.trial, self._plan.sign
        for step, value in self._judge.reports[twin.number].items():
            self._study.report(trial.number, step, sign * value)
        trial.objectives, trial.by_seed, trial.violations = twin.objectives, twin.by_seed, twin.violations
        trial.cause = twin.cause
        self._tell(active, twin.state, f"the setting of trial {twin.number}, not run again")

    def _follow(self, active: Active) -> None:
        """Take in the run's new updates, up to the one that decides about it."""
        trial = active.trial
        for row in active.run.new_metrics():
            active.seen = time.monotonic()
            if active.verdict in FINAL or (active.rows and row["update"] <= active.rows[-1]["update"]):
                continue
            active.rows.append(row)
            if active.index is None:
                continue
            trial.update = row["update"]
            trial.seconds += row.get("perf/update_seconds", 0.0)
            trial.score, trial.kl = row.get("eval/score", trial.score), row.get("eval/kl", trial.kl)
            if all(metric in row for metric in self._plan.config.objective.metrics):
                self._decide(active)

    def _decide(self, active: Active) -> None:
        """After an evaluation: does the run go on?"""
        trial, config = active.trial, self._plan.config
        if active.index == 0 and (values := objectives(active.rows, config.objective)) is not None:
            self._report(trial, trial.update, values)
            # A run that is gone on with shows its old updates again; what they led to is known, but for the last.
            is_new = active.decided < trial.update == max(self._judge.reports[trial.number])
            if is_new and trial.update < trial.num_updates:
                if self._judge.should_prune(trial.number, trial.num_updates):
                    self._give_up(active, PRUNE)
                    return
                if self._should_wait(trial):
                    self._give_up(active, WAITING)
                    return
        if is_over_budget_for_good(active.rows, config.objective, config.sweep.kl_patience):
            self._give_up(active, OVER_BUDGET)

    def _should_wait(self, trial: Trial) -> bool:
        is_wanted = self._judge.should_wait(trial.number, trial.num_updates)
        return is_wanted and self.stopping is None and self.schedule.has_others(self._may_ask())

    def _report(self, trial: Trial, step: int, values: Sequence[float]) -> None:
        """Report a trial's worth at a step. What was reported before a kill stands."""
        reports, value = self._judge.reports[trial.number], values[self._plan.pruned_by]
        if step not in reports:
            self._study.report(trial.number, step, value)
            reports[step] = self._plan.sign * value

    def _give_up(self, active: Active, verdict: str) -> None:
        if active.verdict is None:
            active.verdict = verdict
            active.run.ask_to_stop(verdict)

    def _end(self, active: Active) -> None:
        """A run's process is gone, or there was nothing left to do: what has become of it?"""
        self._follow(active)
        if active.verdict == WAITING:
            self.schedule.wait(active)
            return
        summary = active.run.summary()
        if active.verdict is not None and summary is None:
            summary = {"status": "stopped", "stop_reason": active.verdict, "objective": None}
            active.run.write_summary(summary)
        if summary is None:
            self._lose(active)
            return
        status, reason = summary["status"], active.verdict or summary.get("stop_reason")
        if reason == PRUNE:
            self._tell(active, PRUNED)
        elif reason == TIMEOUT:
            self._fail(active, "timeout", f"sweep.trial_hours={self._plan.config.sweep.trial_hours:g} are over")
        elif reason in (INTERRUPTED, BUDGET):
            self.stopping = self.stopping or reason
        elif status == "diverged":
            self._fail(active, status, str(summary["message"]))
        elif status == "failed":
            self._fail(active, summary["cause"], str(summary["message"]))
        elif status == "complete" or reason == OVER_BUDGET:
            self._value(active, objectives(active.rows, self._plan.config.objective))
        else:
            self._tell(active, PRUNED, f"stopped: {reason}")

    def _value(self, active: Active, values: Sequence[float] | None) -> None:
        """A run has ended with these objectives: the setting goes on with the next seed, or is complete."""
        trial = active.trial
        if values is None or not all(math.isfinite(value) for value in values):
            self._tell(active, PRUNED, "no update within objective.kl_budget")
            return
        if active.index is None:
            self.schedule.tested.setdefault(trial.number, {})[active.seed] = list(values)
            return
        trial.by_seed[active.seed] = list(values)
        self.schedule.note_seeds(trial)
        mean = [fmean(column) for column in zip(*trial.by_seed.values(), strict=True)]
        if len(self._plan.seeds) > 1:
            self._report(trial, (active.index + 1) * trial.num_updates, mean)
            is_last = active.index + 1 == len(self._plan.seeds)
            if not is_last and self._judge.should_prune(trial.number, trial.num_updates):
                self._tell(active, PRUNED)
                return
        if not self.schedule.go_on(active):
            trial.objectives = mean
            self._tell(active, COMPLETE)

    def _lose(self, active: Active) -> None:
        """The process is gone without a word: start it again, it will go on from its checkpoint."""
        if self.stopping is not None:
            return
        status, retries = active.future.result() if active.future else 0, self._plan.config.sweep.retries
        how = f"ended by {_signal_name(-status)}" if status < 0 else f"exit status {status}, no summary"
        how += f"; see {active.run.log_file}"
        if active.losses == retries:
            self._fail(active, "lost_process", how)
            return
        active.losses += 1
        again = f"starting it again ({active.losses} of {retries})"
        self._display.event(f"trial {active.trial.number}: lost its process, {again}: {how}")
        self.schedule.first(active)

    def _fail(self, active: Active, cause: str, message: str) -> None:
        if active.index is None:
            self._display.event(f"trial {active.trial.number} failed on test seed {active.seed} ({cause}): {message}")
            return
        active.trial.cause = cause
        if cause in MENDABLE:
            # A study closes a trial for good, so there it stays open.
            active.trial.state, active.trial.message = (
                FAILED,
                f"{message}; once mended, the same command goes on with it",
            )
            self._tracker.log(self.schedule.trials)
            return
        self._tell(active, FAILED, message)

    def _tell(self, active: Active, state: str, message: str | None = None) -> None:
        """A trial has ended: into the study, at once."""
        trial = active.trial
        if active.index is None:
            return
        trial.state, trial.message = state, message
        notes = {
            "settings": dict(trial.settings),
            "seconds": trial.seconds,
            "by_seed": trial.by_seed if len(self._plan.seeds) > 1 else None,
            "cause": trial.cause,
            "message": message,
        }
        self._study.note(trial.number, **{key: value for key, value in notes.items() if value})
        if state == COMPLETE and active.rows:
            trial.violations = violations(active.rows, self._plan.config.objective)
        self._study.tell(trial.number, state, trial.objectives, trial.violations)
        self._tracker.log(self.schedule.trials)


def _signal_name(number: int) -> str:
    """Real-time signals have none in the enumeration."""
    return next((one.name for one in signal.Signals if one == number), f"signal {number}")
