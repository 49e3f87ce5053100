"""Trials that have ended, and what is printed and written of them."""

from pathlib import Path
from typing import Any

import yaml

from rlhf_sweeps.sweep.last_lines import write_last_lines
from rlhf_sweeps.sweep.study.trials import COMPLETE, RUNNING, SweepTrial

SWEEP = Path("outputs/sweep")


def make(number: int, objectives: list[float] | None = None, **changes: Any) -> SweepTrial:
    fields = {"params": {}, "settings": {"ppo.kl_coef": f"0.0{number}"}, "folder": SWEEP / str(number)}
    state = RUNNING if objectives is None else COMPLETE
    return SweepTrial(number=number, **{**fields, "state": state, "objectives": objectives, **changes})


def block(trials: list[SweepTrial], **changes: Any) -> list[str]:
    arguments: dict[str, Any] = {
        "metrics": ["eval/score"],
        "directions": ["maximize"],
        "fixed": [],
        "hydra": {},
        "folder": SWEEP,
    }
    return write_last_lines(trials, **{**arguments, "is_grid": False, **changes}).splitlines()


def numbers(trials: list[SweepTrial]) -> list[int]:
    return [trial.number for trial in trials]


def written(content: dict[str, Any]) -> Any:
    """As a reader of the YAML file gets it."""
    return yaml.safe_load(yaml.safe_dump(content))
