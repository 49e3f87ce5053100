"""The folders of runs and sweeps: which hydra.run.dir and hydra.sweep.dir are allowed, and new folders by default.

By default a folder is named after the current second; two runs may start in the same second.
"""

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from omegaconf import DictConfig, OmegaConf, read_write

from rlhf_sweeps.command_line.hydra_answers import to_literal
from rlhf_sweeps.config.fields import LONGEST_NAME, PART_OF_PATH, ConfigError, format_value, is_part_of_path
from rlhf_sweeps.process.environment import find_fault
from rlhf_sweeps.record import find_variables, is_secret_variable, mask_words

Key = Literal["hydra.run.dir", "hydra.sweep.dir"]


def find_destination(composed: DictConfig, key: Key) -> Path:
    """The folder that a key names.

    Raises:
        ConfigError: if it cannot be a folder's name, or `name` cannot be a part of one, or if Hydra is told to write
            files of its own or to change into the folder.
    """
    if (subdir := OmegaConf.select(composed, "hydra.output_subdir")) is not None:
        # Hydra would write before the folder is claimed. The config is written to .hydra afterwards.
        raise ConfigError(
            f"hydra.output_subdir={format_value(str(subdir))}: must be null; a run's config lies in .hydra"
        )
    if OmegaConf.select(composed, "hydra.job.chdir"):
        # Relative paths would then differ from those that were checked and recorded, and that trials use.
        raise ConfigError("hydra.job.chdir=true: must be false; relative paths start where the command is given")
    _refuse_secrets(composed, key)
    given = str(OmegaConf.select(composed, key))
    if not given.strip():
        raise ConfigError(f"{key}={given}: must name a folder")
    folder = Path(given)
    if not _is_given(composed, key):
        name = str(composed.name)
        if not is_part_of_path(name):
            raise ConfigError(f"name={format_value(name)}: must be {PART_OF_PATH}")
    elif "\0" in given or any(len(part.encode(errors="replace")) > LONGEST_NAME for part in folder.parts):
        raise ConfigError(f"{key}={format_value(given)}: must be a path, whose parts have {LONGEST_NAME} bytes at most")
    return folder


def _refuse_secrets(composed: DictConfig, key: Key) -> None:
    """Refuse a folder's name with a secret in it, since everybody sees names; Hydra can make one from the overrides."""
    hydra: Any = OmegaConf.to_container(composed.hydra, resolve=False)
    _, group, _ = key.split(".")
    written = str(hydra[group]["dir"])
    words = [str(word) for word in hydra["overrides"].get("task", [])]
    has_secret_word = "override_dirname" in written and words != mask_words(words)
    if has_secret_word or any(map(is_secret_variable, find_variables(written))):
        raise ConfigError(
            f"{key}={format_value(written)}: must not contain a secret, since names are visible to everybody"
        )


def reserve(composed: DictConfig, key: Key) -> Path:
    """Make the folder that a key names; if the command line gives none, make a new one and write it into the config.

    Raises:
        ConfigError: as `find_destination`, and if the folder cannot be made.
    """
    folder = find_destination(composed, key)
    try:
        if _is_given(composed, key):
            folder.mkdir(parents=True, exist_ok=True)
            return folder
        new = _make_new(folder)
    except FileExistsError as error:
        raise ConfigError(f"{key}={folder}: {error.filename} is no folder; choose another folder") from error
    except OSError as error:
        if find_fault(error) is not None:
            raise
        raise ConfigError(f"{key}={folder}: cannot be made ({error.strerror}); choose another folder") from error
    with read_write(composed):
        OmegaConf.update(composed, key, to_literal(str(new)))
    return new


@contextlib.contextmanager
def reserve_for_a_while(composed: DictConfig, key: Key) -> Iterator[Path]:
    """Reserve a folder for a while: folders that this makes are removed in the end if they are empty."""
    folder = find_destination(composed, key)
    before = [path for path in (folder, *folder.parents) if path.exists()]
    folder = reserve(composed, key)
    try:
        yield folder
    finally:
        with contextlib.suppress(OSError):  # not empty, or never made
            for path in itertools.takewhile(lambda path: path not in before, (folder, *folder.parents)):
                path.rmdir()


def _is_given(composed: DictConfig, key: Key) -> bool:
    """Whether the command line or a config of the user names the folder; default names contain the time."""
    words = [str(word).lstrip("+") for word in composed.hydra.overrides.hydra]
    hydra: Any = OmegaConf.to_container(composed.hydra, resolve=False)
    _, group, _ = key.split(".")
    return any(word.startswith(f"{key}=") for word in words) or "${now:" not in str(hydra[group]["dir"])


def _make_new(folder: Path) -> Path:
    """Make a new folder with this name, or with a number after it if the name is taken."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        new = folder if number == 1 else folder.with_name(f"{folder.name}_{number}")
        with contextlib.suppress(FileExistsError):
            new.mkdir()
            break
    return new
