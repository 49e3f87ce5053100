"""Which run is next: those of earlier starts, a setting's further seeds, new settings, at last the test seeds."""

from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from optuna.trial import FrozenTrial

from rlhf_sweeps.runs import Run, Sweep
from rlhf_sweeps.sweep.judge import Judge
from rlhf_sweeps.sweep.plan import Plan
from rlhf_sweeps.sweep.results import best, ranking
from rlhf_sweeps.sweep.study import STATES, Study
from rlhf_sweeps.sweep.trials import COMPLETE, FAILED, RUNNING, Trial


@dataclass
class Active:
    """A run of a trial that waits for a worker or has one.

    Attributes:
        index: which of the tuning seeds it has; None on a test seed.
        rows: its updates so far, up to the verdict.
        verdict: why the sweeper has given the run up, if it has.
        losses: how often its process was lost.
        seen: when it last gave a sign, in seconds of the monotonic clock.
        future: of its process, once there is one.
    """

    trial: Trial
    run: Run
    seed: int
    index: int | None
    rows: list[dict[str, Any]] = field(default_factory=list)
    verdict: str | None = None
    losses: int = 0
    seen: float = 0.0
    future: "Future[int] | None" = None


class Schedule:
    """All trials of a sweep, and the runs that wait.

    Attributes:
        trials: those of earlier starts included, oldest first.
        tested: trial number -> test seed -> objectives.
    """

    def __init__(self, sweep: Sweep, plan: Plan, study: Study, judge: Judge) -> None:
        self._sweep, self._plan, self._study, self._judge = sweep, plan, study, judge
        self.trials: list[Trial] = []
        self.tested: dict[int, dict[int, Sequence[float]]] = {}
        self._waiting: deque[Active] = deque()
        self._asked: list[Mapping[str, Any]] = []
        self._has_planned_tests = False

    def adopt(self) -> None:
        """Take up the trials of earlier starts: those that have ended stand, the others are gone on with."""
        for frozen in self._study.trials():
            values = frozen.intermediate_values
            self._judge.reports[frozen.number] = {step: self._plan.sign * values[step] for step in sorted(values)}
            if STATES[frozen.state] == RUNNING:
                self._wait_for(self._add(frozen.number, self._study.resume(frozen, self._plan.space.suggest)), 0)
            else:
                self._add_ended(frozen)

    def first(self, active: Active) -> None:
        """Have a run go on before anything else."""
        self._waiting.appendleft(active)

    def go_on(self, active: Active) -> bool:
        """Queue the next seed of a run's setting; whether there is one."""
        assert active.index is not None
        if active.index + 1 == len(self._plan.seeds):
            return False
        self.first(self._tuning_run(active.trial, active.index + 1))
        return True

    def next(self, may_ask: bool, is_idle: bool) -> Active | None:
        """The run that a free worker gets, if there is one.

        Args:
            may_ask: whether time and failures allow another setting.
            is_idle: whether nothing runs that could change which settings are the best.
        """
        if not self._waiting and may_ask and self.num_left != 0:
            self._ask()
        if not self._waiting and is_idle and not self._has_planned_tests:
            self._plan_tests()
        return self._waiting.popleft() if self._waiting else None

    @property
    def num_left(self) -> int | None:
        """Trials that are still to be asked for; None: as many as the time allows."""
        if self._plan.points is not None:
            return sum(point not in self._asked for point in self._plan.points)
        return None if self._plan.num_trials is None else max(0, self._plan.num_trials - len(self.trials))

    @property
    def failures(self) -> tuple[int, int]:
        """Trials that have failed, and trials that have ended."""
        ended = [trial.state for trial in self.trials if trial.state != RUNNING]
        return ended.count(FAILED), len(ended)

    def note_seeds(self, trial: Trial) -> None:
        """Let the judge know the values of the seeds that a trial has finished."""
        index, sign = self._plan.pruned_by, self._plan.sign
        self._judge.by_seed[trial.number] = {seed: sign * values[index] for seed, values in trial.by_seed.items()}

    def _ask(self) -> None:
        points = self._plan.points
        point = None if points is None else next(point for point in points if point not in self._asked)
        number, params = self._study.ask(self._plan.space.suggest, point)
        self._judge.reports[number] = {}
        self._wait_for(self._add(number, params), 0)

    def _plan_tests(self) -> None:
        """Queue the best settings' runs on the test seeds."""
        self._has_planned_tests = True
        candidates = best if len(self._plan.directions) > 1 else ranking
        for trial in candidates(self.trials, self._plan.directions)[: self._plan.config.sweep.num_tested]:
            for seed in self._plan.test_seeds:
                self._waiting.append(Active(trial, self._sweep.test_run(trial.number, seed), seed, None))

    def _wait_for(self, trial: Trial, index: int) -> None:
        self._waiting.append(self._tuning_run(trial, index))

    def _tuning_run(self, trial: Trial, index: int) -> Active:
        seeds = self._plan.seeds
        seed = seeds[index] if len(seeds) > 1 else None
        return Active(trial, self._sweep.run(trial.number, seed), seeds[index], index)

    def _add(self, number: int, params: Mapping[str, Any], settings: Mapping[str, str] | None = None) -> Trial:
        """Know a trial; its settings are given where it has ended, maybe in another search space."""
        trial = Trial(number, params, settings or self._plan.space.settings(params), self._sweep.trial(number))
        self.trials.append(trial)
        self._asked.append(params)
        return trial

    def _add_ended(self, frozen: FrozenTrial) -> None:
        notes = frozen.user_attrs
        trial = self._add(frozen.number, frozen.params, notes.get("settings"))
        trial.state, trial.cause, trial.message = STATES[frozen.state], notes.get("cause"), notes.get("message")
        trial.seconds = notes.get("seconds", 0.0)
        trial.update = max(frozen.intermediate_values, default=0)
        trial.by_seed = {int(seed): values for seed, values in notes.get("by_seed", {}).items()}
        trial.is_feasible = all(violation <= 0 for violation in frozen.constraints.values())
        if trial.state == COMPLETE:
            trial.objectives = list(frozen.values)
            trial.by_seed = trial.by_seed or {self._plan.seeds[0]: trial.objectives}
        self.note_seeds(trial)
