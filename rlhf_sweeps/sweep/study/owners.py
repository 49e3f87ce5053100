"""Whose a study is: it keeps the id of the sweep that made it, and no other sweep takes its trials for its own.

Several sweeps may share a storage, and by default a study is called like the last part of its sweep's folder.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path

import optuna
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning
from optuna.storages import BaseStorage
from optuna.study import StudyDirection

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.record import Sweep
from rlhf_sweeps.sweep.study.storage import one_commit

# Begins a user attribute of the study; after it comes the id of sweep.json. A journal takes what it is told one by one,
# so that of several sweeps that begin at once each may claim a study: the first counts, which all of them see alike.
OWNER = "sweep:"
# A user attribute of a study in a storage that folders may share: where its sweep lay when it was last gone on with.
FOLDER = "folder"


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
        study = make_study(storage, name, directions, metrics, owner)
    except DuplicatedStudyError:
        study = optuna.load_study(storage=storage, study_name=name)
    if is_foreign(study, owner, is_known):
        raise ForeignStudyError(name)
    if [direction.name.lower() for direction in study.directions] != list(directions):
        raise ConfigError(f"hydra.sweeper.study_name={name}: there is a study of this name with other directions")
    if owner_of(study) is None:
        study.set_user_attr(OWNER + owner, True)
    if owner_of(study) != owner:  # another has claimed it since
        raise ForeignStudyError(name)
    if study.metric_names is None:
        _name_objectives(study, metrics)
    return study


def keep_folder(study: optuna.Study, owner: str, folder: Path) -> None:
    """Note where the study's sweep lies; a moved folder goes on with it, and of a copied one but the first.

    Args:
        owner: the sweep's id.

    Raises:
        ConfigError: if the folder is a copy of one that still is where it was.
    """
    before, here = study.user_attrs.get(FOLDER), str(folder.resolve())
    if before == here:
        return
    if before is not None and (Sweep(before).start() or {}).get("id") == owner:
        raise ConfigError(
            f"hydra.sweep.dir={folder}: is a copy of {before}, which goes on with the same study "
            f"({study.study_name} in hydra.sweeper.storage); go on there, remove one of both, or choose a new folder"
        )
    study.set_user_attr(FOLDER, here)


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
        study = optuna.create_study(storage=storage, study_name=name, directions=study_directions(directions))
        study.set_user_attr(OWNER + owner, True)
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
    found = owner_of(study)
    if found is None:
        return not is_known and bool(study.get_trials(deepcopy=False))
    return found != owner


def owner_of(study: optuna.Study) -> str | None:
    """The id of the sweep whose study it is; None: it does not say."""
    return next((key.removeprefix(OWNER) for key in study.user_attrs if key.startswith(OWNER)), None)


def study_directions(directions: Sequence[str]) -> list[StudyDirection]:
    """Optuna's own, of "maximize" and "minimize"."""
    return [StudyDirection[name.upper()] for name in directions]


def _name_objectives(study: optuna.Study, metrics: Sequence[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        study.set_metric_names(list(metrics))
