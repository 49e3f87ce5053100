"""Whether a folder is ours: it is the user's until a file in it shows that one of our commands began a record there."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import yaml

from rlhf_sweeps.record.checked_objects import salvage_object
from rlhf_sweeps.record.reading import read_yaml

# The callback in the config of each command (conf/), which no other program's config has.
RUNS = ("rlhf_sweeps.cli.Preflight",)
# The second name stands in folders of earlier versions, in which training was a part of reward_models.
TRAININGS = ("rlhf_sweeps.reward_training.command.Preflight", "rlhf_sweeps.reward_models.command.Preflight")


class NotOursError(RuntimeError):
    """A folder holds files that a record would overwrite, and these files are not ours."""


SCREENS = ("rlhf_sweeps.reward_screen.command.Preflight",)


def refuse_foreign(
    folder: Path, names: Iterable[str], start_file: Path | None, hydra_file: Path, command: Sequence[str]
) -> None:
    """Refuse a folder in which a record would overwrite or remove files of the user.

    Either of two files proves that the folder is ours, since one of them may be damaged: `start_file`, or
    `hydra_file`, which is written first. In the working directory and the folders above it every file counts as the
    user's.

    Args:
        names: the files and folders that a record would write or remove.
        start_file: the record's first object, run.json or sweep.json.
        hydra_file: holds Hydra's part of the config.
        command: RUNS, TRAININGS or SCREENS.

    Raises:
        NotOursError: if one of `names` exists, and nothing proves that the folder is ours.
    """
    if (folder.exists() or folder.is_symlink()) and not folder.is_dir():
        raise NotOursError("is no folder")
    if Path.cwd().is_relative_to(folder.resolve()):
        names = [path.name for path in folder.iterdir()]
    existing = sorted(name for name in names if (folder / name).exists() or (folder / name).is_symlink())
    is_ours = (start_file is not None and _is_start(start_file)) or _is_config_of(command, hydra_file)
    if existing and not is_ours:
        listed = ", ".join(existing[:5]) + (", ..." if len(existing) > 5 else "")
        raise NotOursError(f"holds {listed}, and nothing shows that it was begun by this command")


def _is_config_of(command: Sequence[str], hydra_file: Path) -> bool:
    """Whether a file holds Hydra's part of the config of one of our commands."""
    try:
        callbacks = read_yaml(hydra_file)["hydra"]["callbacks"]
        return any(callback["_target_"] in command for callback in callbacks.values())
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, yaml.YAMLError):
        return False


def _is_start(start_file: Path) -> bool:
    return {"schema_version", "id", "config"} <= salvage_object(start_file, []).keys()
