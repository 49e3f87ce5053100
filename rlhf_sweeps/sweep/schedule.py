"""Which run is next: those of earlier starts, further seeds, what has waited, new settings, at last the test seeds.

A setting's next seed follows where one has ended, since a pruner may decide between them. Where none does, and no new
setting is left to begin, a free worker gets a further seed while the others still run.
"""

from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial

from rlhf_sweeps.record import Run, Sweep
from rlhf_sweeps.sweep.active import Active
from rlhf_sweeps.sweep.configurations import Configurations
from rlhf_sweeps.sweep.contenders import trained_on
from rlhf_sweeps.sweep.plan import Plan
from rlhf_sweeps.sweep.pruning.judge import WHOLE, Judge
from rlhf_sweeps.sweep.results import finalists
from rlhf_sweeps.sweep.search.promise import most_promising
from rlhf_sweeps.sweep.seed_runs import SeedRuns
from rlhf_sweeps.sweep.study.recall import recall, recall_tests
from rlhf_sweeps.sweep.study.study import STATES, Study
from rlhf_sweeps.sweep.study.trials import COMPARED, COMPLETE, FAILED, RUNNING, WAITING, Trial
from rlhf_sweeps.sweep.study.unasked import Point
from rlhf_sweeps.sweep.twins import open_twin
from rlhf_sweeps.sweep.waiting import next_waiting

# Suggestions in a row that bring nothing to run, after which no more are asked for.
MOST_FUTILE = 100


class Schedule:
    """All trials of a sweep, and the runs that wait.

    Attributes:
        trials: those of earlier starts included, oldest first.
    """

    def __init__(self, sweep: Sweep, plan: Plan, study: Study, judge: Judge, configurations: Configurations) -> None:
        self._plan, self._study, self._judge = plan, study, judge
        self._sweep, self._configurations = sweep, configurations
        self._runs = SeedRuns(sweep, configurations)
        self.trials: list[Trial] = []
        self._first: deque[Active] = deque()
        self._waiting: list[Active] = []
        self._points = {_key(point): point for point in plan.points or plan.choices or []}
        self._asked: set[Hashable] = set()
        self._has_planned_tests = False
        self._num_adopted = 0
        self._held: list[Active] = []

    def adopt(self) -> list[Active]:
        """Take up the trials of earlier starts: those that have ended stand, the others are gone on with.

        Returns:
            Runs of trials that an earlier configuration suggested and never began; nothing can be made of them.
        """
        lost = []
        for frozen in self._study.trials():
            if STATES[frozen.state] != RUNNING:
                trial = self._adopt(frozen, frozen.params)
                recall(trial, frozen, self._runs.seeds(trial)[0])
                self.note_seeds(trial)
                recall_tests(trial, self._sweep, self._plan.test_seeds)
                if trial.state == COMPLETE and self._plan.is_comparison:
                    trial.reward_model = trained_on(self._runs.record(trial))
                continue
            trial = self._take_up(frozen)
            active = self._runs.first(trial)
            active.decided = frozen.user_attrs.get("decided", 0)
            if not self._configurations[trial.configuration].is_current and not active.has_begun:
                trial.is_compared = False
                self._asked.discard(_key(trial.params))
                lost.append(active)
            elif active.run.stop_reason() == WAITING:
                trial.update = active.decided = max(frozen.intermediate_values, default=0)
                self.wait(active)
            else:
                self._first.append(active)
        self._num_adopted = len(self.trials)
        return lost

    def first(self, active: Active) -> None:
        """Have a run go on before anything else; one that was put off, when there is nothing else to begin."""
        (self._first.appendleft if active.ended_before is None else self._first.append)(active)

    def wait(self, active: Active) -> None:
        """Have a run wait until it is one of the best, or nothing else is left."""
        active.trial.state, active.decided = WAITING, max(active.decided, active.update)
        active.verdict, active.future = None, None
        active.run = Run(active.run.folder)  # which reads the record anew
        self._waiting.append(active)

    def go_on(self, trial: Trial) -> None:
        """Queue a trial's next seed, if there is one that has not begun."""
        if (following := self._runs.next(trial)) is not None:
            self.first(following)

    def drop(self, trial: Trial) -> None:
        """Forget the runs of a trial that has ended by another seed."""
        self._first = deque(one for one in self._first if one.trial is not trial or one.index is None)
        self._waiting = [one for one in self._waiting if one.trial is not trial]

    def next(self, share_in_time: float, is_idle: bool) -> Active | None:
        """The run that a free worker gets, if there is one.

        Args:
            share_in_time: up to which share of a run, a new setting's or one that waits, there is time.
            is_idle: whether nothing runs that could change which settings are the best.
        """
        if (held := next((one for one in self._held if open_twin(one, self.trials) is None), None)) is not None:
            self._held.remove(held)
            held.trial.state = RUNNING
            return held
        if (first := self._next_first(share_in_time)) is not None:
            self._first.remove(first)
            return first
        if (waiting := self._next_waiting(self._waiting, share_in_time)) is not None:
            self._waiting.remove(waiting)
            waiting.trial.state = RUNNING
            self._study.note(waiting.trial.number, decided=waiting.decided)
            return waiting
        if self._may_ask(share_in_time):
            return self._ask()
        if (further := self._further_seed(share_in_time)) is not None:
            return further
        if (last := self._next_first(share_in_time, is_put_off=True)) is not None:
            self._first.remove(last)
            return last
        if is_idle and not self._has_planned_tests:
            self._plan_tests()
            return self.next(share_in_time, is_idle)
        return None

    def would_go_on(self, active: Active, share_in_time: float) -> bool:
        """Whether a run that gave its worker to another would be the next one itself."""
        if self._next_first(share_in_time) is not None:
            return False
        following = self._next_waiting([*self._waiting, active], share_in_time)
        return following is active or (following is None and not self._may_ask(share_in_time))

    def hold(self, active: Active) -> bool:
        """Have a run that has not begun wait while another trial of its setting is not over; whether there is one."""
        if open_twin(active, self.trials) is None:
            return False
        active.trial.state = WAITING
        self._held.append(active)
        return True

    @property
    def num_left(self) -> int | None:
        """Trials that are still to be asked for; None: as many as the time allows.

        What had nothing to run does not count: another setting is asked for in its place, until nothing else comes.
        """
        num_open = len(self._points.keys() - self._asked)
        if self._plan.points is not None:
            return num_open
        if (self._plan.choices is not None and not num_open) or self.num_futile >= MOST_FUTILE:
            return 0
        if self._plan.num_trials is None:
            return None
        wanted = max(0, self._plan.num_trials - sum(t.is_compared and t.has_run for t in self.trials))
        return wanted if self._plan.choices is None else min(wanted, num_open)

    @property
    def is_unfinished(self) -> bool:
        """Whether there is anything left to run, for which there was no time."""
        return bool(self._first or self._waiting or self._held) or self.num_left != 0

    @property
    def num_futile(self) -> int:
        """How many of the newest suggestions of this start, in a row, brought nothing to run."""
        new = self.trials[self._num_adopted :]
        return next((n for n, trial in enumerate(reversed(new)) if trial.has_run), len(new))

    @property
    def failures(self) -> tuple[int, int]:
        """Trials that have failed, and trials that have ended, of those that had something to run."""
        ended = [trial.state for trial in self.trials if trial.has_ended and trial.has_run and trial.is_compared]
        return ended.count(FAILED), len(ended)

    def note_seeds(self, trial: Trial) -> None:
        """Let the judge know the values of the seeds that a trial has finished."""
        index = self._plan.pruned_by
        self._judge.end_seeds(trial.number, {seed: values[index] for seed, values in trial.by_seed.items()})

    def _may_ask(self, share_in_time: float) -> bool:
        return share_in_time >= WHOLE and self.num_left != 0

    def _further_seed(self, share_in_time: float) -> Active | None:
        """A setting's next seed beside those that run, where nothing is decided between them."""
        if self._plan.pruner != "none" or share_in_time < WHOLE:
            return None
        following = (self._runs.next(trial) for trial in self.trials if trial.state == RUNNING)
        return next((run for run in following if run is not None), None)

    def _next_first(self, share_in_time: float, is_put_off: bool = False) -> Active | None:
        """Of the runs that go on before all else, or after it, the next one in time; those on test seeds always are."""
        queue = (one for one in self._first if (one.ended_before is not None) == is_put_off)
        return next(
            (
                one
                for one in queue
                if one.index is None or self._judge.rest(one.trial.number, one.index) <= share_in_time
            ),
            None,
        )

    def _next_waiting(self, waiting: Sequence[Active], share_in_time: float) -> Active | None:
        return next_waiting(waiting, self._judge, share_in_time, not self._may_ask(share_in_time))

    @property
    def _open(self) -> list[Point]:
        """The points that have not been asked for."""
        return [point for key, point in self._points.items() if key not in self._asked]

    def _ask(self) -> Active:
        """Begin a new trial."""
        current = self._configurations.current
        number, params = self._study.ask(
            self._plan.space.suggest,
            lambda params: {"settings": self._plan.space.settings(params), "configuration": current},
            fixed=self._next_point(),
            left=None if self._plan.choices is None else self._open,
        )
        self._judge.know(number, {}, group=COMPARED)
        return self._runs.first(self._add(number, params, current))

    def _next_point(self) -> Point | None:
        """Of a grid: in the order given, but where it is pruned, what promises most."""
        if self._plan.points is None:
            return None
        left = self._open
        if self._plan.pruner == "none":
            return left[0]
        tried = [
            (trial.params, self._judge.newest(trial.number))
            for trial in self.trials
            if trial.is_compared and _key(trial.params) in self._points
        ]
        return left[most_promising(self._plan.space.parameters, left, tried)]

    def _plan_tests(self) -> None:
        """Queue the best settings' runs on the test seeds."""
        self._has_planned_tests = True
        plan = self._plan
        for trial in finalists(self.trials, plan.directions, plan.num_finalists, plan.has_own_scales):
            self._first += [self._runs.test(trial, seed) for seed in plan.test_seeds]

    def _take_up(self, frozen: FrozenTrial) -> Trial:
        """A trial that has not ended."""
        if self._configurations[frozen.user_attrs.get("configuration", 0)].is_current:
            params = self._study.resume(frozen, self._plan.space.suggest)
            if "settings" not in frozen.user_attrs:  # of a sweep of an earlier version
                self._study.note(frozen.number, settings=self._plan.space.settings(params))
        else:
            self._study.take_up(frozen)
            params = frozen.params
        return self._adopt(frozen, params)

    def _adopt(self, frozen: FrozenTrial, params: Mapping[str, Any]) -> Trial:
        notes = frozen.user_attrs
        trial = self._add(frozen.number, params, notes.get("configuration", 0), notes.get("settings"))
        # Where the values are no choices any more, the study has dropped them.
        if trial.settings and not params:
            trial.is_compared = False
            self._asked.discard(_key(params))
        # A copy's values are those of another trial, which is known already.
        reports = frozen.intermediate_values if notes.get("has_run", True) else {}
        num_updates = notes.get("num_updates", self._plan.config.ppo.num_updates)
        self._judge.know(frozen.number, reports, num_updates, trial.group)
        return trial

    def _add(
        self, number: int, params: Mapping[str, Any], configuration: int, settings: Mapping[str, str] | None = None
    ) -> Trial:
        """Know a trial; its settings are given where it was begun by an earlier start, maybe in another space."""
        trial = Trial(
            number,
            params,
            self._plan.space.settings(params) if settings is None else settings,
            self._sweep.trial(number),
            configuration=configuration,
            is_compared=self._configurations[configuration].is_compared,
        )
        self.trials.append(trial)
        if trial.is_compared:
            self._asked.add(_key(params))
        return trial


def _key(point: Point) -> Hashable:
    return frozenset(point.items())
