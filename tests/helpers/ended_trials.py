"""Trials that have ended, and what is printed and written of them."""

from pathlib import Path
from typing import Any

import yaml

from rlhf_sweeps.sweep.results import last_block
from rlhf_sweeps.sweep.study.trials import COMPLETE, RUNNING, Trial

SWEEP = Path("outputs/sweep")


def make(number: int, objectives: list[float] | None = None, **changes: Any) -> Trial:
    fields = {"params": {}, "settings": {"ppo.kl_coef": f"0.0{number}"}, "folder": SWEEP / str(number)}
    state = RUNNING if objectives is None else COMPLETE
    return Trial(number=number, **{**fields, "state": state, "objectives": objectives, **changes})


def block(trials: list[Trial], **changes: Any) -> list[str]:
    arguments: dict[str, Any] = {
        "metrics": ["eval/score"],
        "directions": ["maximize"],
        "fixed": [],
        "hydra": {},
        "folder": SWEEP,
    }
    return last_block(trials, **{**arguments, "is_grid": False, **changes}).splitlines()


def numbers(trials: list[Trial]) -> list[int]:
    return [trial.number for trial in trials]


def written(content: dict[str, Any]) -> Any:
    """As a reader of the YAML file gets it."""
    return yaml.safe_load(yaml.safe_dump(content))
