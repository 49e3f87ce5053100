"""The exit status of a process, for the shell and for W&B."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.process.environment import EnvironmentFault, find_fault, find_repairable_fault

FAILED = 1  # as Python exits after an exception
WRONG_INPUT = 2  # as argparse exits
INTERRUPTED = 130  # a shell's exit status for Ctrl-C


def choose_exit_status(error: BaseException | None) -> int:
    """The exit status of a process that ends with this error; 0 without one."""
    if error is None:
        return 0
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, SystemExit) and (error.code is None or isinstance(error.code, int)):
        return error.code or 0
    if (
        isinstance(error, (ConfigError, HydraException, OmegaConfBaseException))
        or find_repairable_fault(error) is not None
    ):
        return WRONG_INPUT
    return FAILED


@contextlib.contextmanager
def name_folder_in_faults(key: str, folder: Path) -> Iterator[None]:
    """Add the folder that can be continued to the message of a fault of the environment.

    Args:
        key: the key that names the folder.

    Raises:
        EnvironmentFault: in place of an error that such a fault has caused.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, (ConfigError, EnvironmentFault)) or (fault := find_fault(error)) is None:
            raise
        raise EnvironmentFault(f"{key}={folder}: {fault}") from error
