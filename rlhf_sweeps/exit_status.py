"""How a process ends, as a shell sees it and W&B is told."""

import errno

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from rlhf_sweeps.fields import ConfigError

FAILED = 1
WRONG_INPUT = 2
INTERRUPTED = 130  # a shell's exit status for Ctrl-C
# No space left on the disk or of one's quota, no right to write there, or something else in a file's or folder's place.
_REFUSED = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EISDIR, errno.ENOTDIR)


def exit_status(error: BaseException | None) -> int:
    """Of a process that ends with this error, or without one."""
    if error is None:
        return 0
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, SystemExit) and (error.code is None or isinstance(error.code, int)):
        return error.code or 0
    if (isinstance(error, OSError) and error.errno in _REFUSED) or isinstance(
        error, (ConfigError, HydraException, OmegaConfBaseException)
    ):
        return WRONG_INPUT
    return FAILED
