"""Where a run or a sweep goes: what hydra.run.dir and hydra.sweep.dir may be, and new folders where they are not given.

By default folders are named by the second, in which two may start.
"""

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from omegaconf import DictConfig, OmegaConf, read_write

from rlhf_sweeps.command_line.hydra_part import literal
from rlhf_sweeps.config.fields import LONGEST_NAME, PART_OF_PATH, ConfigError, in_line, is_part_of_path
from rlhf_sweeps.process.environment import fault
from rlhf_sweeps.record import is_secret_variable, masked_words, variables

Key = Literal["hydra.run.dir", "hydra.sweep.dir"]


def destination(composed: DictConfig, key: Key) -> Path:
    """The folder that a key names.

    Raises:
        ConfigError: if that can be no folder's name, or `name` no part of one, or Hydra is to write there by itself or
            to work there.
    """
    if (subdir := OmegaConf.select(composed, "hydra.output_subdir")) is not None:
        # It would write before anybody knows whose the folder is; the config is kept in .hydra once that is claimed.
        raise ConfigError(f"hydra.output_subdir={in_line(str(subdir))}: must be null; a run's config lies in .hydra")
    if OmegaConf.select(composed, "hydra.job.chdir"):
        # A run's relative paths would be others than those that were checked, recorded and are used by its trials.
        raise ConfigError("hydra.job.chdir=true: must be false; relative paths start where the command is given")
    _refuse_secrets(composed, key)
    given = str(OmegaConf.select(composed, key))
    if not given.strip():
        raise ConfigError(f"{key}={given}: must name a folder")
    folder = Path(given)
    if not _is_given(composed, key):
        name = str(composed.name)
        if not is_part_of_path(name):
            raise ConfigError(f"name={in_line(name)}: must be {PART_OF_PATH}")
    elif "\0" in given or any(len(part.encode(errors="replace")) > LONGEST_NAME for part in folder.parts):
        raise ConfigError(f"{key}={in_line(given)}: must be a path, whose parts have {LONGEST_NAME} bytes at most")
    return folder


def _refuse_secrets(composed: DictConfig, key: Key) -> None:
    """Everybody sees a folder's name; Hydra may make it of the overrides."""
    hydra: Any = OmegaConf.to_container(composed.hydra, resolve=False)
    _, group, _ = key.split(".")
    written = str(hydra[group]["dir"])
    words = [str(word) for word in hydra["overrides"].get("task", [])]
    has_secret_word = "override_dirname" in written and words != masked_words(words)
    if has_secret_word or any(map(is_secret_variable, variables(written))):
        raise ConfigError(f"{key}={in_line(written)}: a secret cannot be in a name, which everybody sees")


def reserve(composed: DictConfig, key: Key) -> Path:
    """Make the folder that a key names; where the command line gives none, a new one, which the config then names.

    Raises:
        ConfigError: as `destination`, and if it cannot be made.
    """
    folder = destination(composed, key)
    try:
        if _is_given(composed, key):
            folder.mkdir(parents=True, exist_ok=True)
            return folder
        new = _make_new(folder)
    except FileExistsError as error:
        raise ConfigError(f"{key}={folder}: {error.filename} is no folder; choose another folder") from error
    except OSError as error:
        if fault(error) is not None:
            raise
        raise ConfigError(f"{key}={folder}: cannot be made ({error.strerror}); choose another folder") from error
    with read_write(composed):
        OmegaConf.update(composed, key, literal(str(new)))
    return new


@contextlib.contextmanager
def reserved(composed: DictConfig, key: Key) -> Iterator[Path]:
    """The same for a while: what was not there before and is empty in the end is removed."""
    folder = destination(composed, key)
    before = [path for path in (folder, *folder.parents) if path.exists()]
    folder = reserve(composed, key)
    try:
        yield folder
    finally:
        with contextlib.suppress(OSError):  # where it is not empty, or was never made
            for path in itertools.takewhile(lambda path: path not in before, (folder, *folder.parents)):
                path.rmdir()


def _is_given(composed: DictConfig, key: Key) -> bool:
    """Whether the command line or a file of the user's names the folder: our own names hold the time."""
    words = [str(word).lstrip("+") for word in composed.hydra.overrides.hydra]
    hydra: Any = OmegaConf.to_container(composed.hydra, resolve=False)
    _, group, _ = key.split(".")
    return any(word.startswith(f"{key}=") for word in words) or "${now:" not in str(hydra[group]["dir"])


def _make_new(folder: Path) -> Path:
    """Make a folder that was not there: of this name, or with a number after it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        new = folder if number == 1 else folder.with_name(f"{folder.name}_{number}")
        with contextlib.suppress(FileExistsError):
            new.mkdir()
            break
    return new
