"""The Optuna study of a sweep: the one place that writes it, and the sampler's view of it.

Optuna knows four ends of a trial; why one failed stands in its user attribute `cause`.
"""

import itertools
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from rlhf_sweeps.fields import ConfigError
from rlhf_sweeps.sweep.search_space import Parameter
from rlhf_sweeps.sweep.storage import one_commit, open_storage
from rlhf_sweeps.sweep.trials import BAD_SETTING, COMPLETE, FAILED, PRUNED, RUNNING
from rlhf_sweeps.wording import told

STATES = {
    TrialState.RUNNING: RUNNING,
    TrialState.WAITING: RUNNING,
    TrialState.COMPLETE: COMPLETE,
    TrialState.PRUNED: PRUNED,
    TrialState.FAIL: FAILED,
}
# Walks a search space: for each parameter it asks for a value in its distribution; returns them all.
Suggest = Callable[[Callable[[str, BaseDistribution], Any]], dict[str, Any]]


class Study:
    """An Optuna study that one process writes.

    Args:
        url: an SQLAlchemy URL, or journal:PATH.
        make_sampler: trial number -> the sampler that suggests it.
    """

    def __init__(
        self,
        url: str,
        name: str,
        metrics: Sequence[str],
        directions: Sequence[str],
        make_sampler: Callable[[int], BaseSampler],
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        self._make_sampler = make_sampler
        self._storage = open_storage(url)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            try:
                study = optuna.create_study(
                    storage=self._storage, study_name=name, directions=_directions(directions), load_if_exists=True
                )
                if study.metric_names is None:
                    study.set_metric_names(list(metrics))
            except Exception as error:
                raise ConfigError(f"hydra.sweeper.storage={url}: {told(error)}") from error
        if [direction.name.lower() for direction in study.directions] != list(directions):
            raise ConfigError(f"hydra.sweeper.study_name={name}: there is a study of this name with other directions")
        self.name = name
        self._study = _Learning(name, study._storage)
        self._num_trials = len(self.trials())
        self._running: dict[int, optuna.Trial] = {}

    def trials(self) -> list[FrozenTrial]:
        """All trials as they are, oldest first."""
        return self._study._storage.get_all_trials(self._study._study_id, deepcopy=False)

    def ask(self, suggest: Suggest, fixed: Mapping[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Begin a trial: its number and its parameters.

        Args:
            suggest: walks the search space, asking for one parameter after another.
            fixed: the parameters, where they are given (a point of a grid).
        """
        self._study.sampler = self._make_sampler(self._num_trials)
        with one_commit(self._storage):
            if fixed is not None:
                self._study.enqueue_trial(dict(fixed))
            trial = self._study.ask()
            params = suggest(trial._suggest)
        self._num_trials = trial.number + 1
        self._running[trial.number] = trial
        return trial.number, params

    def resume(self, trial: FrozenTrial, suggest: Suggest) -> dict[str, Any]:
        """The parameters of a trial that has begun; those that a kill has kept from being suggested are now."""
        self._study.sampler = self._make_sampler(trial.number)
        if trial.state == TrialState.WAITING:
            self._study._storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING)
        self._running[trial.number] = optuna.trial.Trial(self._study, trial._trial_id)
        return suggest(self._running[trial.number]._suggest)

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
            for name, violation in (violations or {}).items():
                trial.set_constraint(name, violation)
            self._study.tell(number, None if values is None else list(values), state=ended)

    def move_to(self, parameters: Sequence[Parameter]) -> bool:
        """Make room for another search space, if need be; whether that took another study, whose name is then `name`.

        Optuna keeps a list's choices for ever. So the trials are copied to a new study beside the old one; those whose
        values are no more among the choices stand there without them, as failed, so that the numbers stay.
        """
        lists = {p.name: p.distribution for p in parameters if isinstance(p.distribution, CategoricalDistribution)}
        trials = self.trials()
        if all(lists.get(key, old) == old for trial in trials for key, old in trial.distributions.items()):
            return False
        names = optuna.get_all_study_names(self._study._storage)
        self.name = next(name for n in itertools.count(2) if (name := f"{self.name}.{n}") not in names)
        new = optuna.create_study(
            storage=self._study._storage, study_name=self.name, directions=list(self._study.directions)
        )
        for trial in trials:
            new.add_trial(_moved(trial, lists))
        self._study = _Learning(self.name, new._storage)
        return True

    def importances(self) -> dict[str, float]:
        """Parameter -> its share of the variance of the (first) objective; empty where there are too few trials."""
        target = None if len(self._study.directions) == 1 else lambda trial: float(trial.values[0])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return dict(optuna.importance.get_param_importances(self._study, target=target))
        except (ValueError, RuntimeError):
            return {}


class _Learning(optuna.Study):
    """What samplers see: all that is known of every trial.

    A setting that ran out of memory or diverged is the worst there is, not one never tried: it has failed, but samplers
    skip failed trials, and rank those last that were pruned before any report. A trial that runs or waits is worth what
    it has reported, as if it had been pruned there; samplers would take it for a bad one until it ends.
    """

    def _get_trials(self, deepcopy: bool = True, states: Any = None, use_cache: bool = False) -> list[FrozenTrial]:
        trials = super()._get_trials(deepcopy=deepcopy, states=None, use_cache=use_cache)
        seen = [self._as_seen(trial) for trial in trials]
        return seen if states is None else [trial for trial in seen if trial.state in states]

    def _as_seen(self, trial: FrozenTrial) -> FrozenTrial:
        is_bad = trial.state == TrialState.FAIL and trial.user_attrs.get("cause") in BAD_SETTING
        has_reported = trial.state in (TrialState.RUNNING, TrialState.PRUNED) and trial.intermediate_values
        # TPE compares reports, which it cannot where there are several objectives.
        has_many = len(self.directions) > 1
        if not is_bad and (not has_reported or (trial.state == TrialState.PRUNED and not has_many)):
            return trial
        if trial.state == TrialState.RUNNING and has_many:
            return trial
        reports = {} if is_bad or has_many else trial.intermediate_values
        seen = create_trial(
            state=TrialState.PRUNED,
            params=trial.params,
            distributions=trial.distributions,
            intermediate_values=reports,
        )
        seen.number, seen._trial_id = trial.number, trial._trial_id
        seen.system_attrs = trial.system_attrs
        return seen


def _directions(names: Sequence[str]) -> list[StudyDirection]:
    return [StudyDirection[name.upper()] for name in names]


def _moved(trial: FrozenTrial, lists: Mapping[str, CategoricalDistribution]) -> FrozenTrial:
    """A trial as it stands in a study with other choices."""
    kept = {key: lists.get(key, old) for key, old in trial.distributions.items()}
    is_inside = all(
        not isinstance(new, CategoricalDistribution) or trial.params[key] in new.choices for key, new in kept.items()
    )
    return create_trial(
        state=trial.state if is_inside else TrialState.FAIL,
        values=trial.values if is_inside else None,
        params=trial.params if is_inside else {},
        distributions=kept if is_inside else {},
        user_attrs=trial.user_attrs
        | ({} if is_inside else {"cause": "config", "message": "not in the space any more"}),
        system_attrs=trial.system_attrs,
        intermediate_values=trial.intermediate_values if is_inside else {},
    )
