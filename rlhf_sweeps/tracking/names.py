"""The names of a run in W&B: from the config, else from W&B's variables, no longer than W&B allows."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlhf_sweeps.config.fields import WANDB_PROJECT, format_value, is_wandb_project

PROJECT = "rlhf_sweeps"
LONGEST_RUN_NAME, LONGEST_TAG = 128, 64  # characters of the names of runs and groups, and of a tag; W&B's limits
# Only the record may say this: with it a continued run finds its W&B run again.
_IGNORED_VARIABLES = ("WANDB_RUN_ID", "WANDB_RESUME")
_TRUE = ("1", "on", "yes", "true")

_log = logging.getLogger("rlhf_sweeps")


def is_off(mode: str) -> bool:
    """Whether W&B is off; a mode in the config has precedence over the environment."""
    variables = os.environ.get("WANDB_MODE"), os.environ.get("WANDB_DISABLED", "").lower()
    return mode == "disabled" or (mode == "auto" and (variables[0] == "disabled" or variables[1] in _TRUE))


def make_names(
    project: str | None, name: str, group: str | None, job_type: str, part: str | None, is_named: bool
) -> dict[str, Any]:
    """The arguments of wandb.init that name a run. wandb.init itself reads WANDB_ENTITY and WANDB_NOTES.

    Args:
        project: the project in the config; None: WANDB_PROJECT, or our own.
        name: used unless WANDB_NAME gives another.
        group: used unless WANDB_RUN_GROUP gives another.
        job_type: used unless WANDB_JOB_TYPE gives another; always used for the run of a sweep itself.
        part: the run's number in a sweep, such as "3", which is added to WANDB_NAME since that names all runs; empty
            for the run of the sweep itself, None for a run on its own.
        is_named: whether the config names the run.

    Raises:
        ValueError: if WANDB_PROJECT is used and cannot be a project's name.
    """
    if ignored := [variable for variable in _IGNORED_VARIABLES if os.environ.get(variable)]:
        _log.info("%s: ignored, since a run's record says which W&B run it continues", ", ".join(ignored))
    given = "" if is_named else os.environ.get("WANDB_NAME", "")
    run_name = "-".join(filter(None, (given, part))) if given else name
    project = project or os.environ.get("WANDB_PROJECT") or PROJECT
    if not is_wandb_project(project):
        raise ValueError(f"WANDB_PROJECT={format_value(project)}: must be {WANDB_PROJECT}")
    return {
        "project": project,
        "name": shorten(run_name),
        "group": shorten(os.environ.get("WANDB_RUN_GROUP") or group or "") or None,
        "job_type": job_type if part == "" else os.environ.get("WANDB_JOB_TYPE") or job_type,
    }


def name_part(folder: Path, sweep: Path) -> str:
    """The part of a folder's path that names a sweep's run: 3, or 3-seed_1."""
    folder, sweep = folder.absolute(), sweep.absolute()
    return "-".join(folder.relative_to(sweep).parts) if folder.is_relative_to(sweep) else folder.name


def choose_tags(tags: Sequence[str]) -> list[str]:
    """The tags in the config, each once; if it has none, those of WANDB_TAGS."""
    given = tags or [tag.strip() for tag in os.environ.get("WANDB_TAGS", "").split(",")]
    return list(dict.fromkeys(shorten(tag, LONGEST_TAG) for tag in given if tag))


def hide_variables() -> None:
    """Remove the W&B variables that were read here from this process's environment.

    W&B would check them, too, even those that are not used, and refuse to begin.
    """
    for variable in ("WANDB_PROJECT", "WANDB_TAGS", *_IGNORED_VARIABLES):
        os.environ.pop(variable, None)


def shorten(name: str, longest: int = LONGEST_RUN_NAME) -> str:
    """The name, with … in the middle if it is too long for W&B: names mostly differ at their ends."""
    if len(name) <= longest:
        return name
    half = longest // 2
    return f"{name[: half - 1]}…{name[-half:]}"
