"""The Optuna study of a sweep: the one place that writes it, and the sampler's view of it.

Optuna knows four ends of a trial; why one failed stands in its user attribute `cause`.
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
from rlhf_sweeps.record import masked_url
from rlhf_sweeps.record.trials import ENDS
from rlhf_sweeps.sweep.search.search_space import Parameter
from rlhf_sweeps.sweep.study.moves import are_compatible, moved, reopened
from rlhf_sweeps.sweep.study.owners import keep_folder, make_study, own_study
from rlhf_sweeps.sweep.study.redraw import rest_of
from rlhf_sweeps.sweep.study.storage import one_commit, open_storage
from rlhf_sweeps.sweep.study.trials import BAD_SETTING, RUNNING
from rlhf_sweeps.sweep.study.unasked import Point, Unasked
from rlhf_sweeps.wording import told

STATES = {
    TrialState.RUNNING: RUNNING,
    TrialState.WAITING: RUNNING,
    **{TrialState[name]: state for name, state in ENDS.items()},
}
# Walks a search space: for each parameter it asks for a value in its distribution; returns them all.
Suggest = Callable[[Callable[[str, BaseDistribution], Any]], dict[str, Any]]
WHOLE_RUN = 1_000_000  # steps that a sampler sees in a run of whatever length


class Study:
    """An Optuna study that one process writes.

    Args:
        url: an SQLAlchemy URL, or journal:PATH.
        make_sampler: trial number -> the sampler that suggests it.
        is_compared: user attributes of a trial -> whether samplers may learn from it.
        num_updates: of a run, where a trial has not noted its own.
        owner: the id of the sweep that the study is to be of.
        is_known: whether the sweep's own record names the study.
        folder: of the sweep, where others may share the storage; else None.

    Raises:
        ConfigError: if the study cannot be had, or is another sweep's.
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
            study = own_study(self._storage, name, directions, metrics, owner, is_known)
            if folder is not None:
                keep_folder(study, owner, folder)
        except ConfigError:
            raise
        except Exception as error:
            raise ConfigError(f"hydra.sweeper.storage={masked_url(url)}: {told(error)}") from error
        self.name = name
        self._owner = owner
        self._view = _View(len(directions) > 1, is_compared, num_updates)
        self._study = _Learning(name, study._storage, self._view)
        self._num_trials = len(self.trials())
        self._running: dict[int, optuna.Trial] = {}

    def trials(self) -> list[FrozenTrial]:
        """All trials as they are, oldest first."""
        return self._study._storage.get_all_trials(self._study._study_id, deepcopy=False)

    def ask(
        self,
        suggest: Suggest,
        note: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda params: {},
        fixed: Point | None = None,
        left: Sequence[Point] | None = None,
    ) -> tuple[int, dict[str, Any]]:
        """Begin a trial: its number and its parameters.

        Args:
            suggest: walks the search space, asking for one parameter after another.
            note: parameters -> what is noted of the trial at once, as user attributes.
            fixed: the parameters, where they are given (a point of a grid).
            left: the points of which it must be one; None: any.
        """
        sampler = self._make_sampler(self._num_trials)
        self._study.sampler = Unasked(sampler, left) if left else sampler
        with one_commit(self._storage):
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
        """The parameters of a trial that has begun; those that a kill has kept from being suggested are now."""
        self.take_up(trial)
        return suggest(rest_of(self._running[trial.number], trial))

    def take_up(self, trial: FrozenTrial) -> None:
        """Go on with a trial that has begun, whatever its parameters."""
        self._study.sampler = self._make_sampler(trial.number)
        if trial.state == TrialState.WAITING:
            self._study._storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING)
        self._running[trial.number] = optuna.trial.Trial(self._study, trial._trial_id)

    def report(self, number: int, step: int, value: float) -> None:
        """Record what a running trial would be worth at a step; Optuna's own report refuses several objectives."""
        self._study._storage.set_trial_intermediate_value(self._running[number]._trial_id, step, value)

    def note(self, number: int, **attributes: Any) -> None:
        """Set user attributes of a running trial."""
        with one_commit(self._storage):
            for key, value in attributes.items():
                self._running[number].set_user_attr(key, value)

    def tell(
        self,
        number: int,
        state: str,
        values: Sequence[float] | None = None,
        violations: Mapping[str, float] | None = None,
    ) -> None:
        """End a trial: COMPLETE with its values, PRUNED or FAILED; violations of constraints are above 0."""
        trial = self._running.pop(number)
        self._study.sampler = self._make_sampler(number)
        ended = next(key for key, name in STATES.items() if name == state)
        with one_commit(self._storage):
            known = self._study._storage.get_trial(trial._trial_id).constraints  # of an end that was cut short
            for name, violation in (violations or {}).items():
                if name not in known:
                    trial.set_constraint(name, violation)
            self._study.tell(number, None if values is None else list(values), state=ended)

    def move_to(self, parameters: Sequence[Parameter]) -> bool:
        """Make room for another search space, if need be; whether that took another study, whose name is then `name`.

        Optuna keeps a list's choices, and what kind an interval is, for ever. So the trials are copied to a new study
        beside the old one; those whose values are no more among the choices stand there without them, as failed unless
        they still run, so that the numbers stay.
        """
        wanted = {parameter.name: parameter.distribution for parameter in parameters}
        trials = self.trials()
        pairs = [(old, wanted.get(key, old)) for trial in trials for key, old in trial.distributions.items()]
        if all(are_compatible(old, new) for old, new in pairs):
            return False
        self._move([moved(trial, wanted) for trial in trials])
        return True

    def reopen(self, numbers: Collection[int]) -> None:
        """Have failed trials run again, in another study, whose name is then `name`: Optuna closes a trial for good.

        Why one had failed stands in its user attribute `failed_before`.
        """
        self._move([reopened(trial) if trial.number in numbers else trial for trial in self.trials()])

    def _move(self, trials: Sequence[FrozenTrial]) -> None:
        """Go on with a new study beside this one, which has these trials."""
        directions = [direction.name.lower() for direction in self._study.directions]
        for n in itertools.count(2):
            with contextlib.suppress(DuplicatedStudyError):
                new = make_study(self._storage, f"{self.name}.{n}", directions, None, self._owner)
                break
        new.add_trials(trials)
        self.name = new.study_name
        self._study = _Learning(self.name, new._storage, self._view)

    def importances(self) -> dict[str, float]:
        """Parameter -> its share of the variance of the (first) objective; empty where there are too few trials."""
        target = None if len(self._study.directions) == 1 else lambda trial: float(trial.values[0])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return dict(optuna.importance.get_param_importances(self._study, target=target))
        except (ValueError, RuntimeError):
            return {}


class _View:
    """What samplers see of a trial: all that is known of it, and nothing of one that tells them nothing.

    A setting that ran out of memory, diverged or cannot be is the worst there is, not one never tried: it has failed,
    but samplers skip failed trials, and rank those last that were pruned before any report. A trial that runs or waits
    is worth what it has reported, as if it had been pruned there; samplers would take it for a bad one until it ends.
    Of two pruned trials the one that got further is taken for the better: by its share of a run, not by its updates.

    Args:
        has_many: whether there are several objectives; samplers then compare no reports.
        is_compared, num_updates: as for Study.
    """

    def __init__(
        self, has_many: bool, is_compared: Callable[[Mapping[str, Any]], bool], num_updates: int | None
    ) -> None:
        self._has_many, self._is_compared, self._num_updates = has_many, is_compared, num_updates
        self._ended: dict[int, FrozenTrial] = {}  # by identity; what has ended looks the same for ever

    def of(self, trial: FrozenTrial) -> FrozenTrial:
        """The trial as it is seen."""
        if (seen := self._ended.get(trial._trial_id)) is None:
            seen = self._make(trial)
            if trial.state.is_finished():
                self._ended[trial._trial_id] = seen
        return seen

    def _make(self, trial: FrozenTrial) -> FrozenTrial:
        notes = trial.user_attrs
        has_lost_values = notes.get("settings") and not trial.params and trial.state.is_finished()
        if has_lost_values or not self._is_compared(notes):
            return _seen(trial, TrialState.FAIL, {})
        if trial.state == TrialState.FAIL and (notes.get("cause") in BAD_SETTING or notes.get("has_run") is False):
            return _seen(trial, TrialState.PRUNED, {})
        if trial.state not in (TrialState.RUNNING, TrialState.PRUNED) or not trial.intermediate_values:
            return trial
        if self._has_many:
            return trial if trial.state == TrialState.RUNNING else _seen(trial, TrialState.PRUNED, {})
        length = notes.get("num_updates", self._num_updates) or WHOLE_RUN
        reports = {round(step * WHOLE_RUN / length): value for step, value in trial.intermediate_values.items()}
        return _seen(trial, TrialState.PRUNED, reports)


def _seen(trial: FrozenTrial, state: TrialState, reports: Mapping[int, float]) -> FrozenTrial:
    is_failed = state == TrialState.FAIL
    seen = create_trial(
        state=state,
        params={} if is_failed else trial.params,
        distributions={} if is_failed else trial.distributions,
        intermediate_values=dict(reports),
    )
    seen.number, seen._trial_id, seen.system_attrs = trial.number, trial._trial_id, trial.system_attrs
    return seen


class _Learning(optuna.Study):
    """A study whose samplers see its trials by a view."""

    def __init__(self, name: str, storage: optuna.storages.BaseStorage, view: _View) -> None:
        super().__init__(name, storage)
        self._view = view

    def _get_trials(self, deepcopy: bool = True, states: Any = None, use_cache: bool = False) -> list[FrozenTrial]:
        trials = super()._get_trials(deepcopy=deepcopy, states=None, use_cache=use_cache)
        seen = [self._view.of(trial) for trial in trials]
        return seen if states is None else [trial for trial in seen if trial.state in states]
