"""Which run is next: those of earlier starts, further seeds, what has waited, new settings, at last the test seeds."""

from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from optuna.trial import FrozenTrial

from rlhf_sweeps.runs import Run, Sweep
from rlhf_sweeps.sweep.judge import Judge
from rlhf_sweeps.sweep.plan import Plan
from rlhf_sweeps.sweep.promise import most_promising
from rlhf_sweeps.sweep.results import best, ranking
from rlhf_sweeps.sweep.study import STATES, Study
from rlhf_sweeps.sweep.trials import BAD_SETTING, COMPLETE, FAILED, PRUNED, RUNNING, WAITING, Trial


@dataclass
class Active:
    """A run of a trial that waits for a worker or has one.

    Attributes:
        index: which of the tuning seeds it has; None on a test seed.
        rows: its updates so far, up to the verdict.
        verdict: why the sweeper has given the run up, if it has.
        losses: how often its process was lost.
        decided: the update up to which an earlier start has decided that it goes on.
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
    decided: int = 0
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
        self._first: deque[Active] = deque()
        self._waiting: list[Active] = []
        self._asked: list[Mapping[str, Any]] = []
        self._has_planned_tests = False

    def adopt(self) -> None:
        """Take up the trials of earlier starts: those that have ended stand, the others are gone on with."""
        for frozen in self._study.trials():
            values = frozen.intermediate_values
            self._judge.reports[frozen.number] = {step: self._plan.sign * values[step] for step in sorted(values)}
            if STATES[frozen.state] != RUNNING:
                self._add_ended(frozen)
                continue
            params = self._study.resume(frozen, self._plan.space.suggest)
            active = self._tuning_run(self._add(frozen.number, params), 0)
            if active.run.stop_reason() == WAITING:
                active.decided = active.trial.update = max(values, default=0)
                self.wait(active)
            else:
                self._first.append(active)

    def first(self, active: Active) -> None:
        """Have a run go on before anything else."""
        self._first.appendleft(active)

    def wait(self, active: Active) -> None:
        """Have a run wait until it is one of the best, or nothing else is left."""
        active.trial.state = WAITING
        active.verdict, active.future = None, None
        active.run = Run(active.run.folder)  # which reads the record anew
        self._waiting.append(active)

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
        promising = [active for active in self._waiting if self._judge.may_resume(active.trial.number)]
        if self._first:
            return self._first.popleft()
        if promising:
            return self._resume(promising)
        if may_ask and self.num_left != 0:
            return self._ask()
        if self._waiting:
            return self._resume(self._waiting)
        if is_idle and not self._has_planned_tests:
            self._plan_tests()
        return self._first.popleft() if self._first else None

    def has_others(self, may_ask: bool) -> bool:
        """Whether a worker that a run gives up would get another."""
        return bool(self._first or self._waiting) or (may_ask and self.num_left != 0)

    def twin(self, trial: Trial) -> Trial | None:
        """A trial of the same setting whose end says all about it; samplers may suggest a setting twice."""
        ends = [t for t in self.trials if t is not trial and t.params == trial.params]
        return next((t for t in ends if t.state in (COMPLETE, PRUNED) or t.cause in BAD_SETTING), None)

    @property
    def num_left(self) -> int | None:
        """Trials that are still to be asked for; None: as many as the time allows."""
        if self._plan.points is not None:
            return sum(point not in self._asked for point in self._plan.points)
        return None if self._plan.num_trials is None else max(0, self._plan.num_trials - len(self.trials))

    @property
    def failures(self) -> tuple[int, int]:
        """Trials that have failed, and trials that have ended."""
        ended = [trial.state for trial in self.trials if trial.has_ended]
        return ended.count(FAILED), len(ended)

    def note_seeds(self, trial: Trial) -> None:
        """Let the judge know the values of the seeds that a trial has finished."""
        index, sign = self._plan.pruned_by, self._plan.sign
        self._judge.by_seed[trial.number] = {seed: sign * values[index] for seed, values in trial.by_seed.items()}

    def _resume(self, waiting: Sequence[Active]) -> Active:
        """The one that has got furthest, and of these the best."""
        reports = self._judge.reports

        def rank(active: Active) -> tuple[int, float]:
            step = max(reports[active.trial.number])
            return step, reports[active.trial.number][step]

        best_one = max(waiting, key=rank)
        self._waiting.remove(best_one)
        best_one.trial.state = RUNNING
        return best_one

    def _ask(self) -> Active:
        """Begin a new trial."""
        number, params = self._study.ask(self._plan.space.suggest, self._next_point())
        self._judge.reports[number] = {}
        return self._tuning_run(self._add(number, params), 0)

    def _next_point(self) -> Mapping[str, Any] | None:
        """Of a grid: in the order given, but where it is pruned, what promises most."""
        if self._plan.points is None:
            return None
        left = [point for point in self._plan.points if point not in self._asked]
        if self._plan.pruner == "none":
            return left[0]
        tried = [
            (trial.params, self._judge.newest(trial.number))
            for trial in self.trials
            if trial.params in self._plan.points
        ]
        return left[most_promising(self._plan.space.parameters, left, tried)]

    def _plan_tests(self) -> None:
        """Queue the best settings' runs on the test seeds."""
        self._has_planned_tests = True
        candidates = best if len(self._plan.directions) > 1 else ranking
        for trial in candidates(self.trials, self._plan.directions)[: self._plan.config.sweep.num_tested]:
            for seed in self._plan.test_seeds:
                self._first.append(Active(trial, self._sweep.test_run(trial.number, seed), seed, None))

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
        trial.violations = dict(frozen.constraints)
        if trial.state == COMPLETE:
            trial.objectives = list(frozen.values)
            trial.by_seed = trial.by_seed or {self._plan.seeds[0]: trial.objectives}
        self.note_seeds(trial)
