"""One command that uploads all offline W&B runs of a sweep."""

import os
from pathlib import Path

from rlhf_sweeps.record import write_command, write_folder
from rlhf_sweeps.wording import display_path

_RUNS = "offline-run-*"  # as W&B names the folder of an offline run


def write_upload(sweep: Path) -> str | None:
    """The command that uploads the W&B runs of all trials and that of the sweep itself; None if none was offline.

    W&B skips what it has uploaded already. With WANDB_DIR, which has the runs of other sweeps too, all of that folder.

    Args:
        sweep: the folder of the sweep.
    """
    folder = Path(os.environ.get("WANDB_DIR") or sweep)
    if next(folder.rglob(_RUNS), None) is None:
        return None
    # `wandb sync` takes any number of folders, but does not look into the folders of trials itself.
    place = write_folder(display_path(folder))
    return write_command("find", place, "-name", _RUNS, "-exec", "wandb", "sync", "{}", "+")
