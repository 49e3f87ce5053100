"""How a run is called in W&B: its variables say it where the config does not, in as many characters as W&B takes."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlhf_sweeps.config.fields import WANDB_PROJECT, in_line, is_wandb_project

PROJECT = "rlhf_sweeps"
LONGEST, LONGEST_TAG = 128, 64  # characters, of the names of runs and groups and of a tag
# What the record says alone: by it a continued run finds its W&B run again.
_LEFT_OUT = ("WANDB_RUN_ID", "WANDB_RESUME")
_TRUE = ("1", "on", "yes", "true")

_log = logging.getLogger("rlhf_sweeps")


def is_off(mode: str) -> bool:
    """Whether there is to be no W&B run; a mode that the config gives wins over the environment."""
    variables = os.environ.get("WANDB_MODE"), os.environ.get("WANDB_DISABLED", "").lower()
    return mode == "disabled" or (mode == "auto" and (variables[0] == "disabled" or variables[1] in _TRUE))


def names_of(
    project: str | None, name: str, group: str | None, job_type: str, part: str | None, is_named: bool
) -> dict[str, Any]:
    """The arguments of wandb.init that say how a run is called. WANDB_ENTITY and _NOTES are read there.

    Args:
        project: the config's; None: WANDB_PROJECT, or ours.
        name: unless WANDB_NAME is another one.
        group: unless WANDB_RUN_GROUP is another one.
        job_type: unless WANDB_JOB_TYPE is another one; a sweep's own run always has it.
        part: which of a sweep's runs it is, "3", to be told from the others where WANDB_NAME names them all; empty for
            the sweep itself, None for a run on its own.
        is_named: whether the config itself says what the run is called.

    Raises:
        ValueError: if WANDB_PROJECT, which counts, cannot be a project's name.
    """
    if left_out := [variable for variable in _LEFT_OUT if os.environ.get(variable)]:
        _log.info("%s: left out, since a run's record says which W&B run it goes on with", ", ".join(left_out))
    given = "" if is_named else os.environ.get("WANDB_NAME", "")
    called = "-".join(filter(None, (given, part))) if given else name
    project = project or os.environ.get("WANDB_PROJECT") or PROJECT
    if not is_wandb_project(project):
        raise ValueError(f"WANDB_PROJECT={in_line(project)}: must be {WANDB_PROJECT}")
    return {
        "project": project,
        "name": shortened(called),
        "group": shortened(os.environ.get("WANDB_RUN_GROUP") or group or "") or None,
        "job_type": job_type if part == "" else os.environ.get("WANDB_JOB_TYPE") or job_type,
    }


def part_of(folder: Path, sweep: Path) -> str:
    """Which of a sweep's runs lies in a folder: 3, or 3-seed_1."""
    folder, sweep = folder.absolute(), sweep.absolute()
    return "-".join(folder.relative_to(sweep).parts) if folder.is_relative_to(sweep) else folder.name


def tags_of(tags: Sequence[str]) -> list[str]:
    """The config's, each once; where it has none, those of WANDB_TAGS."""
    given = tags or [tag.strip() for tag in os.environ.get("WANDB_TAGS", "").split(",")]
    return list(dict.fromkeys(shortened(tag, LONGEST_TAG) for tag in given if tag))


def hide_variables() -> None:
    """Take those of W&B's variables out of this process's environment that have been read here.

    W&B would check them all the same, also those that do not count, and refuse to begin.
    """
    for variable in ("WANDB_PROJECT", "WANDB_TAGS", *_LEFT_OUT):
        os.environ.pop(variable, None)


def shortened(name: str, longest: int = LONGEST) -> str:
    """With … in the middle where it is too long for W&B: what tells names apart is mostly at their ends."""
    if len(name) <= longest:
        return name
    half = longest // 2
    return f"{name[: half - 1]}…{name[-half:]}"
