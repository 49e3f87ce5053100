"""The Optuna study of a sweep: only this module writes to it; and the view of it that samplers get.

Optuna has four final states of a trial; the cause of a failure is in the trial's user attribute `cause`.
"""

import contextlib
import itertools
import logging
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import DuplicatedStudyError
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.record import mask_url
from rlhf_sweeps.record.trials import ENDS
from rlhf_sweeps.sweep.search.search_space import Parameter
from rlhf_sweeps.sweep.study.moves import are_compatible, make_moved_copy, make_reopened_copy
from rlhf_sweeps.sweep.study.owners import keep_folder, make_study, open_own_study
from rlhf_sweeps.sweep.study.redraw import resume_suggestion
from rlhf_sweeps.sweep.study.storage import join_commits, open_storage
from rlhf_sweeps.sweep.study.trials import BAD_SETTING, RUNNING
from rlhf_sweeps.sweep.study.untried_sampler import Point, UntriedSampler
from rlhf_sweeps.wording import describe_error

STATES = {
    TrialState.RUNNING: RUNNING,
    TrialState.WAITING: RUNNING,
    **{TrialState[name]: state for name, state in ENDS.items()},
}
# Walks a search space: calls its argument with the name and distribution of each parameter; returns all values.
Suggest = Callable[[Callable[[str, BaseDistribution], Any]], dict[str, Any]]
WHOLE_RUN = 1_000_000  # samplers see the updates of any run scaled to so many steps; chosen


class Study:
    """An Optuna study; only one process writes to it.

    Args:
        url: an SQLAlchemy URL, or journal:PATH.
        make_sampler: trial number -> the sampler that suggests it.
        is_compared: user attributes of a trial -> whether samplers may learn from it.
        num_updates: of a run, for trials that have not recorded their own.
        owner: the id of the sweep that the study belongs to.
        is_known: whether the sweep's own record names the study.
        folder: of the sweep, if other sweeps may share the storage; else None.

    Raises:
        ConfigError: if the study cannot be opened, or belongs to another sweep.
    """

    def __init__(
        self,
        url: str,
        name: str,
        metrics: Sequence[str],
        directions: Sequence[str],
        make_sampler: Callable[[int], BaseSampler],
        is_compared: Callable[[Mapping[str, Any]], bool] = lambda attributes: True,
        num_updates: int | None = None,
        owner: str = "",
        is_known: bool = False,
        folder: Path | None = None,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        self._make_sampler = make_sampler
        self._storage = open_storage(url)
        try:
            study = open_own_study(self._storage, name, directions, metrics, owner, is_known)
            if folder is not None:
                keep_folder(study, owner, folder)
        except ConfigError:
            raise
        except Exception as error:
            raise ConfigError(f"hydra.sweeper.storage={mask_url(url)}: {describe_error(error)}") from error
        self.name = name
        self._owner = owner
        self._view = _View(len(directions) > 1, is_compared, num_updates)
        self._study = _StudyWithView(name, study._storage, self._view)
        self._num_trials = len(self.trials())
        self._running: dict[int, optuna.Trial] = {}

    def trials(self) -> list[FrozenTrial]:
        """All trials as recorded, oldest first."""
        return self._study._storage.get_all_trials(self._study._study_id, deepcopy=False)

    def ask(
        self,
        suggest: Suggest,
        note: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda params: {},
        fixed: Point | None = None,
        left: Sequence[Point] | None = None,
    ) -> tuple[int, dict[str, Any]]:
        """Begin a trial; returns its number and its parameters.

        Args:
            suggest: walks the search space, one parameter after another.
            note: parameters -> user attributes that are recorded at once.
            fixed: the parameters, if they are given (a point of a grid).
            left: the points that are allowed; None: any.
        """
        sampler = self._make_sampler(self._num_trials)
        self._study.sampler = UntriedSampler(sampler, left) if left else sampler
        with join_commits(self._storage):
            if fixed is not None:
                self._study.enqueue_trial(dict(fixed))
            trial = self._study.ask()
            params = suggest(trial._suggest)
            for key, value in note(params).items():
                trial.set_user_attr(key, value)
        self._num_trials = trial.number + 1
        self._running[trial.number] = trial
        return trial.number, params

    def resume(self, trial: FrozenTrial, suggest: Suggest) -> dict[str, Any]:
        """Continue a trial; returns its parameters, of which those that a kill has prevented are suggested now."""
        self.take_up(trial)
        return suggest(resume_suggestion(self._running[trial.number], trial))

    def take_up(self, trial: FrozenTrial) -> None:
        """Continue a trial with any parameters."""
        self._study.sampler = self._make_sampler(trial.number)
        if trial.state == TrialState.WAITING:
            self._study._storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING)
        self._running[trial.number] = optuna.trial.Trial(self._study, trial._trial_id)

    def report(self, number: int, step: int, value: float) -> None:
        """Record a running trial's objective at a step; Optuna's own method refuses several objectives."""
        self._study._storage.set_trial_intermediate_value(self._running[number]._trial_id, step, value)

    def note(self, number: int, **attributes: Any) -> None:
        """Set user attributes of a running trial."""
        with join_commits(self._storage):
            for key, value in attributes.items():
                self._running[number].set_user_attr(key, value)

    def tell(
        self,
        number: int,
        state: str,
        values: Sequence[float] | None = None,
        violations: Mapping[str, float] | None = None,
    ) -> None:
        """End a trial: COMPLETE with its values, PRUNED or FAILED; a violation above 0 breaks its constraint."""
        trial = self._running.pop(number)
        self._study.sampler = self._make_sampler(number)
        ended = next(key for key, name in STATES.items() if name == state)
        with join_commits(self._storage):
            earlier_constraints = self._study._storage.get_trial(trial._trial_id).constraints  # of an interrupted call
            for name, violation in (violations or {}).items():
                if name not in earlier_constraints:
                    trial.set_constraint(name, violation)
            self._study.tell(number, None if values is None else list(values), state=ended)

    def move_to(self, parameters: Sequence[Parameter]) -> bool:
        """Prepare the study for another search space; returns whether this needed a new study, with a new `name`.

        Optuna never changes the choices of a list or the type of an interval. So the trials are copied to a new study
        beside the old one. Trials whose values are no longer among the choices are copied without them, as failed
        unless they still run, so that the numbers of trials stay.
        """
        wanted = {parameter.name: parameter.distribution for parameter in parameters}
        trials = self.trials()
        pairs = [(old, wanted.get(key, old)) for trial in trials for key, old in trial.distributions.items()]
        if all(are_compatible(old, new) for old, new in pairs):
            return False
        self._move([make_moved_copy(trial, wanted) for trial in trials])
        return True

    def reopen(self, numbers: Collection[int]) -> None:
        """Open failed trials again, in a new study, whose name is then `name`: Optuna never opens a closed trial.

        The user attribute `failed_before` of a trial has its earlier failures.
        """
        self._move([make_reopened_copy(trial) if trial.number in numbers else trial for trial in self.trials()])

    def _move(self, trials: Sequence[FrozenTrial]) -> None:
        """Continue with a new study beside this one, with these trials."""
        directions = [direction.name.lower() for direction in self._study.directions]
        for n in itertools.count(2):
            with contextlib.suppress(DuplicatedStudyError):
                new = make_study(self._storage, f"{self.name}.{n}", directions, None, self._owner)
                break
        new.add_trials(trials)
        self.name = new.study_name
        self._study = _StudyWithView(self.name, new._storage, self._view)

    def importances(self) -> dict[str, float]:
        """Parameter -> its share of the variance of the (first) objective; empty if there are too few trials."""
        target = None if len(self._study.directions) == 1 else lambda trial: float(trial.values[0])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return dict(optuna.importance.get_param_importances(self._study, target=target))
        except (ValueError, RuntimeError):
            return {}


class _View:
    """The trials as samplers see them.

    A setting that ran out of memory, diverged or is impossible should count as the worst. Samplers ignore failed
    trials, but rank those last that were pruned before any report; so such a trial is shown as pruned without a report.
    A running or waiting trial is shown as pruned after its last report; otherwise samplers would take it for a bad one
    until it ends. Of two pruned trials, samplers prefer the one with the larger last step; so steps are shown as shares
    of a run instead of updates. Trials that cannot be compared are shown as failed.

    Args:
        has_many: whether there are several objectives; samplers then ignore reports.
        is_compared, num_updates: see `Study`.
    """

    def __init__(
        self, has_many: bool, is_compared: Callable[[Mapping[str, Any]], bool], num_updates: int | None
    ) -> None:
        self._has_many, self._is_compared, self._num_updates = has_many, is_compared, num_updates
        self._ended: dict[int, FrozenTrial] = {}  # by Optuna's trial id; the view of an ended trial does not change

    def of(self, trial: FrozenTrial) -> FrozenTrial:
        """The view of a trial."""
        if (seen := self._ended.get(trial._trial_id)) is None:
            seen = self._make_view(trial)
            if trial.state.is_finished():
                self._ended[trial._trial_id] = seen
        return seen

    def _make_view(self, trial: FrozenTrial) -> FrozenTrial:
        notes = trial.user_attrs
        has_lost_values = notes.get("settings") and not trial.params and trial.state.is_finished()
        if has_lost_values or not self._is_compared(notes):
            return _make_seen(trial, TrialState.FAIL, {})
        if trial.state == TrialState.FAIL and (notes.get("cause") in BAD_SETTING or notes.get("has_run") is False):
            return _make_seen(trial, TrialState.PRUNED, {})
        if trial.state not in (TrialState.RUNNING, TrialState.PRUNED) or not trial.intermediate_values:
            return trial
        if self._has_many:
            return trial if trial.state == TrialState.RUNNING else _make_seen(trial, TrialState.PRUNED, {})
        length = notes.get("num_updates", self._num_updates) or WHOLE_RUN
        reports = {round(step * WHOLE_RUN / length): value for step, value in trial.intermediate_values.items()}
        return _make_seen(trial, TrialState.PRUNED, reports)


def _make_seen(trial: FrozenTrial, state: TrialState, reports: Mapping[int, float]) -> FrozenTrial:
    is_failed = state == TrialState.FAIL
    seen = create_trial(
        state=state,
        params={} if is_failed else trial.params,
        distributions={} if is_failed else trial.distributions,
        intermediate_values=dict(reports),
    )
    seen.number, seen._trial_id, seen.system_attrs = trial.number, trial._trial_id, trial.system_attrs
    return seen


class _StudyWithView(optuna.Study):
    """A study whose samplers see the trials through a view."""

    def __init__(self, name: str, storage: optuna.storages.BaseStorage, view: _View) -> None:
        super().__init__(name, storage)
        self._view = view

    def _get_trials(self, deepcopy: bool = True, states: Any = None, use_cache: bool = False) -> list[FrozenTrial]:
        trials = super()._get_trials(deepcopy=deepcopy, states=None, use_cache=use_cache)
        seen = [self._view.of(trial) for trial in trials]
        return seen if states is None else [trial for trial in seen if trial.state in states]
