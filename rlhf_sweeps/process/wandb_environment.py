"""W&B's environment variables: set for a while, and then restored, whatever W&B has written meanwhile."""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence

# W&B's own error reports can delay the end of a process by 20 s.
QUIET = {"WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false"}


@contextlib.contextmanager
def set_wandb_environment(
    defaults: Mapping[str, str], *, fixed: Mapping[str, str] | None = None, unset: Sequence[str] = ()
) -> Iterator[None]:
    """Set variables and QUIET; afterwards restore all, also those that W&B sets (a socket's address for children).

    Args:
        defaults: values of variables that the user has not set.
        fixed: values that replace the user's.
        unset: variables to remove.
    """
    before = _read_variables()
    os.environ.update({**QUIET, **defaults, **before, **(fixed or {})})
    for name in unset:
        os.environ.pop(name, None)
    try:
        yield
    finally:
        for name in _read_variables():
            del os.environ[name]
        os.environ.update(before)


def _read_variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("WANDB_")}
