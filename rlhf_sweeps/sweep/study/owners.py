"""The owner of a study: a study keeps the id of the sweep that made it, and no other sweep uses its trials.

Several sweeps may share a storage. By default a study has the name of its sweep's folder.
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
from rlhf_sweeps.sweep.study.storage import join_commits

# Prefix of a user attribute of the study, before the id in sweep.json. A journal writes entries one by one, so several
# sweeps that begin at once may each claim a study: the first claim counts, and all of them see the same first one.
OWNER = "sweep:"
# A user attribute of a study in a shared storage: the folder in which its sweep was last continued.
FOLDER = "folder"


class ForeignStudyError(ConfigError):
    """The study of this name belongs to another sweep."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"hydra.sweeper.study_name={name}: the study of this name in hydra.sweeper.storage is another sweep's; "
            "choose another name, or continue that sweep in its own hydra.sweep.dir"
        )


def open_own_study(
    storage: BaseStorage,
    name: str,
    directions: Sequence[str],
    metrics: Sequence[str],
    owner: str,
    is_known: bool,
) -> optuna.Study:
    """The sweep's study of this name; it is made if there is none.

    Args:
        owner: the sweep's id.
        is_known: see `is_foreign`.

    Raises:
        ConfigError: if it belongs to another sweep, or has other directions.
    """
    try:
        study = make_study(storage, name, directions, metrics, owner)
    except DuplicatedStudyError:
        study = optuna.load_study(storage=storage, study_name=name)
    if is_foreign(study, owner, is_known):
        raise ForeignStudyError(name)
    if [direction.name.lower() for direction in study.directions] != list(directions):
        raise ConfigError(f"hydra.sweeper.study_name={name}: there is a study of this name with other directions")
    if find_owner(study) is None:
        study.set_user_attr(OWNER + owner, True)
    if find_owner(study) != owner:  # another sweep has claimed it meanwhile
        raise ForeignStudyError(name)
    if study.metric_names is None:
        _name_objectives(study, metrics)
    return study


def keep_folder(study: optuna.Study, owner: str, folder: Path) -> None:
    """Record the folder of the study's sweep; a moved folder can continue it, but a copied folder cannot.

    Args:
        owner: the sweep's id.

    Raises:
        ConfigError: if the folder is a copy and the original still exists.
    """
    before, here = study.user_attrs.get(FOLDER), str(folder.resolve())
    if before == here:
        return
    if before is not None and (Sweep(before).start() or {}).get("id") == owner:
        raise ConfigError(
            f"hydra.sweep.dir={folder}: is a copy of {before}, which uses the same study "
            f"({study.study_name} in hydra.sweeper.storage); continue there, remove one of both, or choose a new folder"
        )
    study.set_user_attr(FOLDER, here)


def refuse_taken(storage: BaseStorage, name: str, owner: str) -> None:
    """Raise ForeignStudyError if a new sweep's study cannot have this name."""
    is_there = name in optuna.get_all_study_names(storage)
    if is_there and is_foreign(optuna.load_study(storage=storage, study_name=name), owner, is_known=False):
        raise ForeignStudyError(name)


def make_study(
    storage: BaseStorage, name: str, directions: Sequence[str], metrics: Sequence[str] | None, owner: str
) -> optuna.Study:
    """Make a study with its owner in one commit; in a journal, the owner follows as the second entry.

    Args:
        metrics: the names of the objectives; None: no names.

    Raises:
        DuplicatedStudyError: if there is a study of this name.
    """
    with join_commits(storage):
        study = optuna.create_study(storage=storage, study_name=name, directions=to_study_directions(directions))
        study.set_user_attr(OWNER + owner, True)
        if metrics is not None:
            _name_objectives(study, metrics)
    return study


def is_foreign(study: optuna.Study, owner: str, is_known: bool) -> bool:
    """Whether a study belongs to another sweep.

    Studies of earlier versions have no owner. Without trials they belong to any sweep, since a kill may have come right
    after they were made.

    Args:
        owner: the sweep's id.
        is_known: whether the sweep's own record names the study.
    """
    recorded_owner = find_owner(study)
    if recorded_owner is None:
        return not is_known and bool(study.get_trials(deepcopy=False))
    return recorded_owner != owner


def find_owner(study: optuna.Study) -> str | None:
    """The id of the sweep that the study belongs to; None if it names none."""
    return next((key.removeprefix(OWNER) for key in study.user_attrs if key.startswith(OWNER)), None)


def to_study_directions(directions: Sequence[str]) -> list[StudyDirection]:
    """Convert "maximize" and "minimize" to Optuna's directions."""
    return [StudyDirection[name.upper()] for name in directions]


def _name_objectives(study: optuna.Study, metrics: Sequence[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        study.set_metric_names(list(metrics))
