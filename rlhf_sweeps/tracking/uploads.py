"""A line with the command that uploads all offline W&B runs of a sweep."""

import os
from pathlib import Path

from rlhf_sweeps.record import Run, Sweep, write_command, write_folder
from rlhf_sweeps.wording import display_path

_RUNS = "offline-run-*"  # as W&B names the folder of an offline run


def describe_upload(sweep: Path) -> str | None:
    """A line with the command that uploads the W&B runs of all trials and of the sweep itself; None if none is offline.

    W&B skips what it has uploaded already. With WANDB_DIR, which has the runs of other sweeps too, all of that folder.

    Args:
        sweep: the folder of the sweep.
    """
    shared = os.environ.get("WANDB_DIR")
    folder = Path(shared or sweep)
    names = {path.name for path in folder.rglob(_RUNS)}
    if not names or (shared and _read_ids(sweep).isdisjoint(name.rpartition("-")[2] for name in names)):
        return None
    # `wandb sync` takes any number of folders, but does not look into the folders of trials itself.
    place = write_folder(display_path(folder))
    command = write_command("find", place, "-name", _RUNS, "-exec", "wandb", "sync", "{}", "+")
    others = " (and all others in WANDB_DIR)" if shared else ""
    return f"upload all W&B runs of this sweep{others}: {command}"


def _read_ids(sweep: Path) -> set[str]:
    """The ids of a sweep and of its runs, which W&B knows them by."""
    files = [*sweep.glob("*/run.json"), *sweep.glob("*/*/run.json")]
    starts = [Sweep(sweep).start(), *(Run(file.parent).start() for file in files)]
    return {str(start["id"]) for start in starts if start is not None}
