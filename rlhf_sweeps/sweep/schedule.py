"""The order of runs: those of earlier starts, further seeds, waiting runs, new settings, and finally the test seeds.

A setting's next seed begins after one has ended, since a pruner may decide in between. Without a pruner, a free worker
gets a further seed while other seeds still run, if no new setting is left.
"""

from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial

from rlhf_sweeps.record import Run, Sweep
from rlhf_sweeps.sweep.active import Active
from rlhf_sweeps.sweep.configurations import Configurations
from rlhf_sweeps.sweep.contenders import read_reward_model
from rlhf_sweeps.sweep.plan import Plan
from rlhf_sweeps.sweep.pruning.pruning_state import WHOLE, PruningState
from rlhf_sweeps.sweep.results import choose_finalists
from rlhf_sweeps.sweep.search.grid_order import choose_most_promising
from rlhf_sweeps.sweep.seed_runs import SeedRuns
from rlhf_sweeps.sweep.study.recall import find_beyond, recall, recall_tests
from rlhf_sweeps.sweep.study.study import STATES, Study
from rlhf_sweeps.sweep.study.trials import COMPARED, COMPLETE, FAILED, RUNNING, WAITING, SweepTrial
from rlhf_sweeps.sweep.study.untried_sampler import Point
from rlhf_sweeps.sweep.twins import find_open_twin
from rlhf_sweeps.sweep.waiting import choose_next_waiting

# After so many successive suggestions without anything to run, the search ends; chosen.
MOST_FUTILE = 100


class Schedule:
    """All trials of a sweep, and its waiting runs.

    Attributes:
        trials: all trials, also those of earlier starts, oldest first.
        finalists: the trials whose settings are run on the test seeds; None until they are chosen.
    """

    def __init__(
        self, sweep: Sweep, plan: Plan, study: Study, pruning: PruningState, configurations: Configurations
    ) -> None:
        self._plan, self._study, self._pruning = plan, study, pruning
        self._sweep, self._configurations = sweep, configurations
        self._runs = SeedRuns(sweep, configurations)
        self.trials: list[SweepTrial] = []
        self._first: deque[Active] = deque()
        self._waiting: list[Active] = []
        self._points = {_key(point): point for point in plan.points or plan.choices or []}
        self._asked: set[Hashable] = set()
        self.finalists: list[SweepTrial] | None = None
        self._num_adopted = 0
        self._held: list[Active] = []

    def adopt(self) -> list[Active]:
        """Read the trials of earlier starts from the study: ended trials stay as they are, the others are continued.

        Returns:
            Runs of trials that were suggested under an earlier configuration and never began; they cannot be run.
        """
        lost = []
        for frozen in self._study.trials():
            if STATES[frozen.state] != RUNNING:
                trial = self._adopt(frozen, frozen.params)
                recall(trial, frozen, self._runs.seeds(trial)[0])
                self.note_seeds(trial)
                trial.beyond = find_beyond(self._runs.records(trial))
                recall_tests(trial, self._sweep, self._plan.test_seeds)
                if trial.state == COMPLETE and self._plan.is_comparison:
                    trial.reward_model = read_reward_model(self._runs.record(trial))
                continue
            trial = self._take_up(frozen)
            active = self._runs.first(trial)
            active.decided = frozen.user_attrs.get("decided", 0)
            if rows := active.run.metrics():  # it may wait long for a worker
                trial.update = int(rows[-1]["update"])
            if not self._configurations[trial.configuration].is_current and not active.has_begun:
                trial.is_compared = False
                self._asked.discard(_key(trial.params))
                lost.append(active)
            elif active.run.stop_reason() == WAITING:
                active.decided = max(frozen.intermediate_values, default=0)
                self.wait(active)
            else:
                self._first.append(active)
        self._num_adopted = len(self.trials)
        return lost

    def first(self, active: Active) -> None:
        """Queue a run before all others; a run that was put off, after all others."""
        (self._first.appendleft if active.ended_before is None else self._first.append)(active)

    def wait(self, active: Active) -> None:
        """Let a run wait until it is one of the best, or no other run is left."""
        active.trial.state, active.decided = WAITING, max(active.decided, active.update)
        active.verdict, active.future = None, None
        active.run = Run(active.run.folder)  # a new object, which reads the record from its beginning
        self._waiting.append(active)

    def go_on(self, trial: SweepTrial) -> None:
        """Queue the run on a trial's next seed, if there is one."""
        if (following := self._runs.next(trial)) is not None:
            self.first(following)

    def drop(self, trial: SweepTrial) -> None:
        """Remove the queued runs of a trial that has ended."""
        self._first = deque(active for active in self._first if active.trial is not trial or active.index is None)
        self._waiting = [active for active in self._waiting if active.trial is not trial]

    def next(self, share_in_time: float, is_idle: bool) -> Active | None:
        """The run that a free worker gets, if there is one.

        Args:
            share_in_time: the largest share of a run for which there is time.
            is_idle: whether no run is active, so that the best settings cannot change any more.
        """
        free = (active for active in self._held if find_open_twin(active, self.trials) is None)
        if (held := next(free, None)) is not None:
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
        if is_idle and self.finalists is None:
            self._plan_tests()
            return self.next(share_in_time, is_idle)
        return None

    def would_go_on(self, active: Active, share_in_time: float) -> bool:
        """Whether a run that gave up its worker would be the next to get it."""
        if self._next_first(share_in_time) is not None:
            return False
        following = self._next_waiting([*self._waiting, active], share_in_time)
        return following is active or (following is None and not self._may_ask(share_in_time))

    def hold(self, active: Active) -> bool:
        """Let a new run wait while another trial of its setting runs; returns whether there is such a trial."""
        if find_open_twin(active, self.trials) is None:
            return False
        active.trial.state = WAITING
        self._held.append(active)
        return True

    @property
    def num_left(self) -> int | None:
        """The number of trials that have not begun; None: as many as the time allows.

        Trials without anything to run do not count: another setting is suggested in their place, until none is left.
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
        """Whether runs are left for which there was no time."""
        return bool(self._first or self._waiting or self._held) or self.num_left != 0

    @property
    def num_futile(self) -> int:
        """The number of successive suggestions, up to the newest of this start, without anything to run."""
        new = self.trials[self._num_adopted :]
        return next((n for n, trial in enumerate(reversed(new)) if trial.has_run), len(new))

    @property
    def failures(self) -> tuple[int, int]:
        """The number of failed trials, and of ended trials, among those that had something to run."""
        ended = [trial.state for trial in self.trials if trial.has_ended and trial.has_run and trial.is_compared]
        return ended.count(FAILED), len(ended)

    def note_seeds(self, trial: SweepTrial) -> None:
        """Pass the objectives of the seeds that a trial has finished to the pruning."""
        index = self._plan.pruned_by
        self._pruning.end_seeds(trial.number, {seed: values[index] for seed, values in trial.by_seed.items()})

    def _may_ask(self, share_in_time: float) -> bool:
        return share_in_time >= WHOLE and self.num_left != 0

    def _further_seed(self, share_in_time: float) -> Active | None:
        """The run on a setting's next seed while others run, if no pruner decides in between."""
        if self._plan.pruner != "none" or share_in_time < WHOLE:
            return None
        following = (self._runs.next(trial) for trial in self.trials if trial.state == RUNNING)
        return next((run for run in following if run is not None), None)

    def _next_first(self, share_in_time: float, is_put_off: bool = False) -> Active | None:
        """The next queued run for which there is time, of those that were put off or not; a test always has time."""
        for active in self._first:
            if (active.ended_before is not None) != is_put_off:
                continue
            if active.index is None or self._pruning.remaining(active.trial.number, active.index) <= share_in_time:
                return active
        return None

    def _next_waiting(self, waiting: Sequence[Active], share_in_time: float) -> Active | None:
        return choose_next_waiting(waiting, self._pruning, share_in_time, not self._may_ask(share_in_time))

    @property
    def _open(self) -> list[Point]:
        """The points that no trial has yet."""
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
        self._pruning.add_trial(number, {}, group=COMPARED)
        return self._runs.first(self._add(number, params, current))

    def _next_point(self) -> Point | None:
        """The next point of a grid: in order, or the most promising one if trials are pruned; None in a search."""
        if self._plan.points is None:
            return None
        left = self._open
        if self._plan.pruner == "none":
            return left[0]
        tried = [
            (trial.params, self._pruning.newest(trial.number))
            for trial in self.trials
            if trial.is_compared and _key(trial.params) in self._points
        ]
        return left[choose_most_promising(self._plan.space.parameters, left, tried)]

    def _plan_tests(self) -> None:
        """Queue the runs of the best settings on the test seeds."""
        plan = self._plan
        self.finalists = choose_finalists(self.trials, plan.directions, plan.num_finalists, plan.has_own_scales)
        for trial in self.finalists:
            self._first += [self._runs.test(trial, seed) for seed in plan.test_seeds]

    def _take_up(self, frozen: FrozenTrial) -> SweepTrial:
        """Continue a trial that has not ended."""
        if self._configurations[frozen.user_attrs.get("configuration", 0)].is_current:
            params = self._study.resume(frozen, self._plan.space.suggest)
            if "settings" not in frozen.user_attrs:  # of a sweep of an earlier version
                self._study.note(frozen.number, settings=self._plan.space.settings(params))
        else:
            self._study.take_up(frozen)
            params = frozen.params
        return self._adopt(frozen, params)

    def _adopt(self, frozen: FrozenTrial, params: Mapping[str, Any]) -> SweepTrial:
        notes = frozen.user_attrs
        trial = self._add(frozen.number, params, notes.get("configuration", 0), notes.get("settings"))
        # The study has dropped values that are no longer among the choices.
        if trial.settings and not params:
            trial.is_compared = False
            self._asked.discard(_key(params))
        # A copy has the reports of another trial, which is already known.
        reports = frozen.intermediate_values if notes.get("has_run", True) else {}
        trial.num_updates = notes.get("num_updates", self._plan.config.ppo.num_updates)
        self._pruning.add_trial(frozen.number, reports, trial.num_updates, trial.group)
        return trial

    def _add(
        self, number: int, params: Mapping[str, Any], configuration: int, settings: Mapping[str, str] | None = None
    ) -> SweepTrial:
        """Add a trial; `settings` are given for a trial of an earlier start, whose space may have been another."""
        trial = SweepTrial(
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
