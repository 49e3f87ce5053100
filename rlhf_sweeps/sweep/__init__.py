"""Half two: choose. Turns swept overrides into an Optuna study and runs its trials."""

from pathlib import Path


class SweepFailedError(RuntimeError):
    """A sweep that could not come to its end, or came there without a single result."""


class SweepInterruptedError(KeyboardInterrupt):
    """Ctrl-C; the same command goes on with the sweep in `folder`."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
