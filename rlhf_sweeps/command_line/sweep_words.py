"""Words of a command line that only a sweep uses."""

from collections.abc import Sequence
from itertools import filterfalse

from omegaconf import DictConfig

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.record import is_search, mask_words, write_command

_OF_HYDRA = ("hydra.sweeper", "hydra/sweeper", "hydra.sweep.")


def refuse_sweep_words(composed: DictConfig, arguments: Sequence[str]) -> None:
    """Refuse a search, and settings of a sweep, in a run on its own, which would ignore them.

    Args:
        composed: the config with Hydra's own part.
        arguments: of the command line, without -m.

    Raises:
        ConfigError: naming these words, and the command with -m.
    """
    overrides = composed.hydra.overrides
    words = [str(word) for word in overrides.task if is_search(str(word))]
    words += [str(word) for word in overrides.hydra if str(word).lstrip("+~").startswith(_OF_HYDRA)]
    if words:
        command = write_command("python", "-m", "rlhf_sweeps", "-m", *filterfalse(_chooses_mode, arguments))
        raise ConfigError(f"{' '.join(mask_words(words))}: used only in a sweep, and only -m starts one: {command}")


def _chooses_mode(word: str) -> bool:
    """Whether a word asks for a single run, against -m; argparse takes abbreviations of a flag, too."""
    is_flag = word == "-r" or (len(word) > len("--r") and "--run".startswith(word))
    return is_flag or word.lstrip("+").startswith("hydra.mode=")
