"""W&B's variables of the environment: set for a while, and afterwards as they were, whatever W&B has written itself."""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence

# Its own error reports can hold up the end of a process for 20 s.
QUIET = {"WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false"}


@contextlib.contextmanager
def wandb_environment(
    defaults: Mapping[str, str], *, fixed: Mapping[str, str] | None = None, unset: Sequence[str] = ()
) -> Iterator[None]:
    """Set variables, beside QUIET; afterwards undo that and what W&B writes, a socket for child processes to share.

    Args:
        defaults: where the user has not set them.
        fixed: whatever the user has set.
        unset: those that are not to count.
    """
    before = _variables()
    os.environ.update({**QUIET, **defaults, **before, **(fixed or {})})
    for name in unset:
        os.environ.pop(name, None)
    try:
        yield
    finally:
        for name in _variables():
            del os.environ[name]
        os.environ.update(before)


def _variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("WANDB_")}
