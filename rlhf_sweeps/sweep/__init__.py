"""Half two: choose. Turns swept overrides into an Optuna study and runs its trials."""

from pathlib import Path


class SweepFailedError(RuntimeError):
    """A sweep could not be completed, or was completed without a single result."""


class SweepInterruptedError(KeyboardInterrupt):
    """Ctrl-C; the same command continues the sweep in `folder`."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
