"""Whose a study is: it keeps the id of the sweep that made it, and no other sweep takes its trials for its own.

Several sweeps may share a storage, and by default a study is called like the last part of its sweep's folder.
"""

import time
import warnings
from collections.abc import Sequence

import optuna
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning
from optuna.storages import BaseStorage
from optuna.study import StudyDirection

from rlhf_sweeps.fields import ConfigError
from rlhf_sweeps.sweep.storage import one_commit

OWNER = "sweep"  # the study's user attribute; the id is that of sweep.json
SECONDS_TO_NOTE = 0.5  # in which another sweep that has just made a study in a journal notes that it is its own


class ForeignStudyError(ConfigError):
    """The study of this name is another sweep's."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"hydra.sweeper.study_name={name}: the study of this name in hydra.sweeper.storage is another sweep's; "
            "choose another name, or go on with that sweep in its own hydra.sweep.dir"
        )


def own_study(
    storage: BaseStorage,
    name: str,
    directions: Sequence[str],
    metrics: Sequence[str],
    owner: str,
    is_known: bool,
) -> optuna.Study:
    """The sweep's study of this name; it is made where there is none.

    Args:
        owner: the sweep's id.
        is_known: as for `is_foreign`.

    Raises:
        ConfigError: if it is another sweep's, or has other directions.
    """
    try:
        return make_study(storage, name, directions, metrics, owner)
    except DuplicatedStudyError:
        pass
    study = optuna.load_study(storage=storage, study_name=name)
    if is_foreign(study, owner, is_known):
        raise ForeignStudyError(name)
    if [direction.name.lower() for direction in study.directions] != list(directions):
        raise ConfigError(f"hydra.sweeper.study_name={name}: there is a study of this name with other directions")
    if OWNER not in study.user_attrs:
        study.set_user_attr(OWNER, owner)
        if not is_known:
            time.sleep(SECONDS_TO_NOTE)
            if is_foreign(study, owner, is_known):
                raise ForeignStudyError(name)
    if study.metric_names is None:
        _name_objectives(study, metrics)
    return study


def refuse_taken(storage: BaseStorage, name: str, owner: str) -> None:
    """Raise ForeignStudyError if a new sweep's study cannot be called so."""
    is_there = name in optuna.get_all_study_names(storage)
    if is_there and is_foreign(optuna.load_study(storage=storage, study_name=name), owner, is_known=False):
        raise ForeignStudyError(name)


def make_study(
    storage: BaseStorage, name: str, directions: Sequence[str], metrics: Sequence[str] | None, owner: str
) -> optuna.Study:
    """A new study, which keeps its owner from the first moment; in a journal, from the second.

    Args:
        metrics: what each objective is called; None: nothing.

    Raises:
        DuplicatedStudyError: if there is one of this name.
    """
    with one_commit(storage):
        study = optuna.create_study(storage=storage, study_name=name, directions=_named(directions))
        study.set_user_attr(OWNER, owner)
        if metrics is not None:
            _name_objectives(study, metrics)
    return study


def is_foreign(study: optuna.Study, owner: str, is_known: bool) -> bool:
    """Whether a study is another sweep's.

    Studies of earlier versions keep no owner. Without trials they are anybody's, as where a kill came right after they
    were made.

    Args:
        owner: the sweep's id.
        is_known: whether the sweep's own record names the study.
    """
    found = study.user_attrs.get(OWNER)
    if found is None:
        return not is_known and bool(study.get_trials(deepcopy=False))
    return bool(found != owner)


def _named(directions: Sequence[str]) -> list[StudyDirection]:
    return [StudyDirection[name.upper()] for name in directions]


def _name_objectives(study: optuna.Study, metrics: Sequence[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        study.set_metric_names(list(metrics))
