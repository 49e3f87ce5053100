"""The loop of a sweep, for grids and searches: ask -> start -> follow the records -> prune, retry, tell.

With one worker, a sweep that was killed and continued comes to the same study as an uninterrupted one: all decisions
follow from the trials' recorded updates (see follower.py), and decisions already made are read from the study.
"""

import math
import time
from concurrent.futures import FIRST_COMPLETED, wait

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.schema import Config
from rlhf_sweeps.process.interruption import Interruption
from rlhf_sweeps.record import Sweep
from rlhf_sweeps.sweep.active import BUDGET, INTERRUPTED, OVER_BUDGET, PRUNE, TIMEOUT, Active
from rlhf_sweeps.sweep.clock import Clock
from rlhf_sweeps.sweep.composition import Composer
from rlhf_sweeps.sweep.configurations import Configurations
from rlhf_sweeps.sweep.display import Display
from rlhf_sweeps.sweep.execution.executors import Executor, InProcess
from rlhf_sweeps.sweep.follower import Follower
from rlhf_sweeps.sweep.outcomes import ENDED, Outcomes
from rlhf_sweeps.sweep.patience import Patience
from rlhf_sweeps.sweep.plan import Plan
from rlhf_sweeps.sweep.pruning.pruning_state import PruningState
from rlhf_sweeps.sweep.schedule import MOST_FUTILE, Schedule
from rlhf_sweeps.sweep.study.study import Study
from rlhf_sweeps.sweep.study.trials import ENVIRONMENT, FAILED, MENDABLE, WAITING
from rlhf_sweeps.sweep.twins import find_ended_twin
from rlhf_sweeps.sweep.wandb_run import SweepTracker

SECONDS_BETWEEN_LOOKS = 0.05  # chosen
SECONDS_BETWEEN_SAVES = 10.0  # chosen


class Engine:
    """Runs a plan's trials until there are enough.

    Attributes:
        study: the study that it writes.
        schedule: all trials, and the run that is next.
        clock: the time of all starts of the sweep.
        stopping: why no further run begins: INTERRUPTED, BUDGET, ENVIRONMENT or a sentence; None while runs may begin.
        fault: the fault of the environment, if `stopping` is ENVIRONMENT.
    """

    def __init__(
        self,
        sweep: Sweep,
        plan: Plan,
        study: Study,
        pruning: PruningState,
        configurations: Configurations,
        composer: Composer,
        executor: Executor,
        display: Display,
        tracker: SweepTracker,
        patience: Patience,
    ) -> None:
        self._sweep, self._plan, self.study, self._pruning = sweep, plan, study, pruning
        self._configurations, self._composer, self._executor = configurations, composer, executor
        self._display, self._patience = display, patience
        self.schedule = Schedule(sweep, plan, study, pruning, configurations)
        self._follower = Follower(plan, study, pruning, configurations, self._may_wait)
        self._outcomes = Outcomes(
            plan,
            study,
            pruning,
            configurations,
            self.schedule,
            self._follower,
            display,
            tracker,
            patience,
            self._is_stopping,
        )
        self.stopping: str | None = None
        self.fault: str | None = None
        self._is_testing = False  # the time that is left is for the test seeds
        self._active: list[Active] = []
        self._saved = 0.0
        self.clock = Clock(plan, float((sweep.start() or {}).get("seconds", 0.0)), executor.num_workers)
        if isinstance(executor, InProcess):
            executor.watch = self.look

    def run(self) -> None:
        """Run the trials of the plan that are left.

        Raises:
            KeyboardInterrupt: at a second Ctrl-C; the executor's processes then still run.
        """
        for active in self.schedule.adopt():
            self._outcomes.refuse(active, "suggested under an earlier configuration, and not begun before it changed")
        with Interruption() as self._interruption:
            while True:
                self._stop_if_due()
                was_pausing = self._is_pausing
                self._fill()
                if not self._active:
                    if self.stopping is not None or not (was_pausing or self._is_pausing):
                        break
                    time.sleep(SECONDS_BETWEEN_LOOKS)
                futures = [active.future for active in self._active if active.future is not None]
                wait(futures, SECONDS_BETWEEN_LOOKS, FIRST_COMPLETED)
                self.look()
                for active in [run for run in self._active if run.future is not None and run.future.done()]:
                    self._active.remove(active)
                    self._end(active)
        if self.stopping is None:
            self.stopping = BUDGET if self.schedule.is_unfinished else self._explain_futility()

    def abandon(self) -> None:
        """End this engine, so that another can continue from its record: runs are stopped after their update."""
        for active in self._active:
            try:
                if active.verdict is None:
                    active.run.ask_to_stop(INTERRUPTED)
            except OSError:
                self._executor.kill(active.run.folder)
        futures = [active.future for active in self._active if active.future is not None]
        wait(futures, self._plan.config.sweep.update_timeout)
        for active in self._active:
            self._executor.kill(active.run.folder)  # if it hangs
        wait(futures)

    def look(self) -> None:
        """Read the updates that running trials have recorded since the last look, and show them."""
        self._stop_if_due()
        limits, now = self._plan.config.sweep, time.monotonic()
        for active in self._active:
            self._follower.follow(active)
            if active.is_moot:
                active.give_up(INTERRUPTED)
            if now - active.seen > limits.update_timeout:
                self._display.event(f"trial {active.trial.number}: no update for {now - active.seen:.0f} s, ending it")
                active.seen = now
                self._executor.kill(active.run.folder)
            if self._is_testing and active.index is not None and self.clock.is_too_late(self.schedule.trials):
                self._executor.kill(active.run.folder)
            if active.index is not None and active.trial.seconds > (limits.trial_hours or math.inf) * 3600:
                active.give_up(TIMEOUT)
        if now - self._saved > SECONDS_BETWEEN_SAVES:
            self.save()
        trials = self.schedule.trials
        self._display.show(trials, self.clock.left(trials, self.schedule.num_left), self._count_tests())

    def _count_tests(self) -> tuple[int, int]:
        """The number of runs on test seeds that have ended, and of all; 0 before they are planned."""
        seeds, finalists = self._plan.test_seeds, self.schedule.finalists or []
        return sum(seed in trial.tested for trial in finalists for seed in seeds), len(finalists) * len(seeds)

    def save(self) -> None:
        """Record how long the sweep has run, for its next start."""
        self._saved = time.monotonic()
        self._sweep.write_start({**(self._sweep.start() or {}), "seconds": self.clock.seconds})

    def _fill(self) -> None:
        """Give every free worker a run."""
        while len(self._active) < self._executor.num_workers:
            self._stop_if_due()
            if self.stopping is not None or self._is_pausing:
                return
            active = self.schedule.next(self._share_in_time(), is_idle=not self._active)
            if active is None:
                return
            self._start(active)

    @property
    def _is_pausing(self) -> bool:
        return self._patience.is_pausing(time.monotonic())

    def _share_in_time(self) -> float:
        return self.clock.share_in_time(self.schedule.trials)

    def _may_wait(self, active: Active) -> bool:
        return self.stopping is None and not self.schedule.would_go_on(active, self._share_in_time())

    def _stop_if_due(self) -> None:
        """Ask runs to stop if there is a new reason: a Ctrl-C, too many failures, the end of the budget."""
        if self._interruption.reason and self.stopping != INTERRUPTED:
            self._stop(INTERRUPTED)
        if self.stopping is not None:
            return
        if self._patience.is_over:
            self.fault = self._patience.fault
            self._stop(ENVIRONMENT)
            return
        num_failed, num_ended = self.schedule.failures
        if not self._plan.may_fail(num_failed, num_ended):
            rate = self._plan.settings.max_failure_rate
            self.stopping = f"hydra.sweeper.max_failure_rate={rate:g}: {num_failed} of {num_ended} trials failed"
            return
        of_budget = self.clock.of_budget
        if of_budget is not None and of_budget < 0:
            self._display.event("sweep.budget_hours are over; running trials are stopped after their update")
            self._stop(BUDGET)
        elif not self._is_testing and self.clock.is_time_for_tests(self.schedule.trials):
            self._is_testing = True
            self._display.event("the rest of sweep.budget_hours is for the test seeds; running trials wait")
            for active in self._active:
                if active.index is not None and active.verdict is None:
                    active.run.ask_to_stop(WAITING)

    def _stop(self, reason: str) -> None:
        self.stopping = reason
        for active in self._active:
            if active.verdict is None:
                active.run.ask_to_stop(reason)

    def _explain_futility(self) -> str | None:
        """The reason if a search ends early because its last suggestions could not be run; else None."""
        if self._plan.points is not None or self.schedule.num_futile < MOST_FUTILE:
            return None
        newest = self.schedule.trials[-MOST_FUTILE:]
        if bad := [trial for trial in newest if trial.state == FAILED]:
            return f"none of {MOST_FUTILE} settings in a row could be run; trial {bad[-1].number}: {bad[-1].message}"
        self._display.event(f"{MOST_FUTILE} suggestions in a row were settings that have already run; none is left")
        return None

    # The life of a run

    def _start(self, active: Active) -> None:
        """Compose the run and give it to a worker, unless it has already ended."""
        trial, run = active.trial, active.run
        if (twin := find_ended_twin(active, self.schedule.trials)) is not None:
            self._outcomes.copy(active, twin)
            return
        if self.schedule.hold(active):
            return
        is_new = not active.has_begun
        for problem in run.mend():
            self._display.event(f"trial {trial.number}: {problem}")
        try:
            config = self._compose(active)
        except (ConfigError, HydraException, OmegaConfBaseException) as error:
            self._outcomes.refuse(active, " ".join(str(error).split()), is_new)
            return
        if active.index is not None:
            trial.num_updates = config.ppo.num_updates
            if self._pruning.measure(trial.number, trial.num_updates):
                self.study.note(trial.number, num_updates=trial.num_updates)
        active.begun = active.seen = time.monotonic()
        if self._has_ended(active):
            self._end(active)
            return
        run.reopen()
        run.skip_present_rows()
        self._active.append(active)
        active.future = self._executor.submit(run.folder)

    def _has_ended(self, active: Active) -> bool:
        """Whether an earlier start has decided about the run, or has seen its end.

        A run whose recorded updates were changed is continued from its last checkpoint, which restores them.
        """
        run = active.run
        summary = run.summary() or {}
        if changed := run.find_changed_files(summary, *run.row_files, run.confirmation_file):
            self._display.event(f"trial {active.trial.number}: {changed[0]}; it continues from its last checkpoint")
            return False
        if (reason := run.stop_reason()) in (PRUNE, OVER_BUDGET):
            self._follower.follow(active)
            active.verdict = reason
        return active.verdict is not None or (summary.get("status") in ENDED and summary.get("cause") not in MENDABLE)

    def _compose(self, active: Active) -> Config:
        """Write the run's config into its folder: as planned, or like the runs of its trial from an earlier start."""
        trial, configuration = active.trial, self._configurations[active.trial.configuration]
        own_seed = active.seed if active.index is None or len(configuration.seeds) > 1 else None
        if configuration.is_current:
            return self._composer.write(self._plan.overrides(trial.params, own_seed), trial.number, active.run.folder)
        seed = configuration.seeds[0] if len(configuration.seeds) > 1 else None
        return self._composer.rewrite(self._sweep.run(trial.number, seed).folder, own_seed, active.run.folder)

    def _end(self, active: Active) -> None:
        reason = self._outcomes.end(active)
        self.stopping = self.stopping or reason

    def _is_stopping(self) -> bool:
        """Whether the sweep itself stops; a run in this process may notice a Ctrl-C first."""
        return self.stopping is not None or self._interruption.reason is not None
