"""Whose a folder is: the user's, until something in it shows that a command of ours began its record there."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import yaml

from rlhf_sweeps.record.reading import read_yaml
from rlhf_sweeps.record.sealed import salvage_object

# What stands in the config of each command, and in nobody else's: who checks it (conf/).
RUNS = ("rlhf_sweeps.cli.Preflight",)
# The second: of folders begun when training lay beside the reward models.
TRAININGS = ("rlhf_sweeps.reward_training.command.Preflight", "rlhf_sweeps.reward_models.command.Preflight")


class NotOursError(RuntimeError):
    """A folder holds what a record there would overwrite, and no such record of ours."""


def refuse_foreign(
    folder: Path, names: Iterable[str], start_file: Path | None, hydra_file: Path, command: Sequence[str]
) -> None:
    """See to it that nothing of the user's is overwritten or removed.

    A damaged file proves nothing, so either of two is enough. The config is written before all else. Of the working
    directory, and of the folders that hold it, all is the user's.

    Args:
        names: what a record would write into the folder, or remove.
        start_file: says what was begun there.
        hydra_file: holds Hydra's part of the config.
        command: RUNS or TRAININGS.

    Raises:
        NotOursError: if some of it is there, and the record is not ours.
    """
    if (folder.exists() or folder.is_symlink()) and not folder.is_dir():
        raise NotOursError("is no folder")
    if Path.cwd().is_relative_to(folder.resolve()):
        names = [path.name for path in folder.iterdir()]
    existing = sorted(name for name in names if (folder / name).exists() or (folder / name).is_symlink())
    is_ours = (start_file is not None and _is_start(start_file)) or _is_of(command, hydra_file)
    if existing and not is_ours:
        listed = ", ".join(existing[:5]) + (", ..." if len(existing) > 5 else "")
        raise NotOursError(f"holds {listed}, and nothing shows that it was begun by this command")


def _is_of(command: Sequence[str], hydra_file: Path) -> bool:
    """Whether a file holds Hydra's part of a config that was composed for a command."""
    try:
        callbacks = read_yaml(hydra_file)["hydra"]["callbacks"]
        return any(callback["_target_"] in command for callback in callbacks.values())
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, yaml.YAMLError):
        return False


def _is_start(start_file: Path) -> bool:
    return {"schema_version", "id", "config"} <= salvage_object(start_file, []).keys()
