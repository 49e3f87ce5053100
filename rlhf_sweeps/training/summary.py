"""The summary of a run: how it ended, what it is worth and what it cost; and that of a run that failed."""

import platform
import traceback
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import torch

from rlhf_sweeps import __version__
from rlhf_sweeps.platforms import system
from rlhf_sweeps.ppo.memory import is_out_of_memory
from rlhf_sweeps.process.environment import find_fault
from rlhf_sweeps.process.failures import DivergedError, RewardModelError
from rlhf_sweeps.training.session import Session
from rlhf_sweeps.verdicts.final_policies import FinalPolicy, find_final_policy, measure_policies
from rlhf_sweeps.verdicts.objective import (
    compute_objectives,
    ends_beyond_budget,
    read_kl,
    select_updates_within_budget,
)

PACKAGES = ("torch", "transformers", "trl", "datasets", "wandb", "optuna", "hydra-core")


def summarize(
    session: Session, stop_reason: str | None, confirmed: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], FinalPolicy | None]:
    """The content of summary.json, and the policy by which the run is judged.

    Args:
        confirmed: what `confirmation.confirm` returned; None if the policy is not exported.
    """
    run, best, last = session.run, session.best, session.last
    rows = run.metrics()
    values = compute_objectives(rows, session.config.objective)
    allowed = select_updates_within_budget(rows, session.config.objective)
    evaluations = {
        "best": asdict(best) if best else None,
        "last": asdict(last) if last else None,
        "updates_within_budget": [int(row["update"]) for row in allowed],
        "kls_within_budget": [read_kl(row) for row in allowed],
        "confirmed": confirmed,
    }
    policy = find_final_policy(evaluations, run.samples(), session.config.reward_model.name, run.confirmation())
    gain = measure_policies([policy])
    summary = {
        "status": "stopped" if stop_reason else "complete",
        "stop_reason": stop_reason,
        "objective": values[0] if values else None,
        "objectives": values,
        "best_update": best.update if best else None,
        "base_score": session.evaluator.base_score,
        "against_base": asdict(gain) if gain else None,
        "is_beyond_budget": ends_beyond_budget(rows, session.config.objective),
        **evaluations,
        "updates": session.trainer.update,
        "episodes": session.trainer.update * session.config.ppo.batch_size,
        "tokens": session.tokens,
        "seconds": session.seconds,
        "scale": asdict(session.evaluator.scale),
        "scoring": {
            scorer.name: {**asdict(scorer.cost), "seconds_per_1000": scorer.cost.seconds_per_1000}
            for scorer in session.loader.scorers
        },
        "peak_memory_mb": measure_peak_memory(),
        "device": str(session.policy.device),
        "versions": read_versions(),
    }
    return summary, policy


def describe_failure(error: BaseException, update: int) -> dict[str, Any]:
    """The summary of a run that failed in this update."""
    at_fault = find_fault(error)
    message = {
        "message": at_fault or f"{type(error).__name__}: {error}",
        "traceback": "".join(traceback.format_exception(error)),
        "update": update,
        "objective": None,
    }
    if isinstance(error, DivergedError):
        return {"status": "diverged", **message}
    if is_out_of_memory(error.__cause__ or error):
        cause = "out_of_memory"
    elif at_fault is not None:
        cause = "environment"
    else:
        cause = "reward_model" if isinstance(error, RewardModelError) else "error"
    return {"status": "failed", "cause": cause, **message}


def read_versions() -> dict[str, str]:
    """Python, this package and PACKAGES, each with its version."""
    own = {"python": platform.python_version(), "rlhf_sweeps": __version__}
    return own | {package: version(package) for package in PACKAGES}


def measure_peak_memory() -> float:
    """The process's peak memory so far: of the GPU if there is one, else its resident memory."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return system.peak_memory() / 2**20
