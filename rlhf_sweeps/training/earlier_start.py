"""The record of an earlier start of a run: damage is mended; damage that cannot be mended, but matters, is refused."""

import logging
from collections.abc import Mapping
from typing import Any

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.record import Run, name_aside
from rlhf_sweeps.training import checkpoints

_FEW = 3  # damaged files that are named one by one; chosen

log = logging.getLogger("rlhf_sweeps")


def mend_earlier_start(run: Run, is_alone: bool) -> dict[str, Any] | None:
    """Mend the record of an earlier start, and log what was wrong; the summary of a complete run, else None.

    A complete run with damaged files counts as incomplete if a checkpoint exists, from which they are made again.

    Raises:
        ConfigError: if a damaged file can neither be made again nor be left out.
    """
    for problem in run.mend():
        log.warning("%s", problem)
    has_checkpoint = bool(checkpoints.list_checkpoints(run.checkpoint))
    summary = run.summary()
    if is_alone and (has_checkpoint or summary is not None) and run.start() is None:
        raise ConfigError(
            f"hydra.run.dir={run.folder}: {run.start_file.name} is missing or damaged, and no other file names "
            "the settings of its results; restore it, or choose another folder"
        )
    if summary is None or summary.get("status") != "complete":
        return None
    changed = run.find_changed_files(summary, run.folder)
    if not changed:
        return summary
    log.warning("%s", "; ".join(changed[:_FEW]) + (f" and {len(changed) - _FEW} more" if len(changed) > _FEW else ""))
    if not has_checkpoint:
        raise ConfigError(
            f"hydra.run.dir={run.folder}: {changed[0]}; no checkpoint is left to restore it from "
            "(checkpoint.keep=true keeps one); choose another folder to train again"
        )
    _rename_changed(run, summary)
    log.warning("made again from the checkpoint")
    return None


def _rename_changed(run: Run, summary: Mapping[str, Any]) -> None:
    """Rename the files of model/ that the user may have changed, before they are made again."""
    if run.model.is_symlink():
        return  # the linked folder stays unchanged
    for name in summary["files"]:
        file = run.folder / name
        if run.model in file.parents and file.exists() and run.find_changed_files(summary, file):
            aside = name_aside(file)
            file.rename(aside)
            log.warning("%s: kept, and renamed to %s", name, aside.name)
