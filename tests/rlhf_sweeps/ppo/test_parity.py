"""ppo=trl against rollouts, losses, gradients and metrics recorded from a real TRL 1.12.0 (see parity/record.py)."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from conftest import Compose
from helpers.trl_replay import beyond_tolerance, bound_of_whitened, differences, load_recording, replay
from torch import Tensor

from rlhf_sweeps.ppo import equations
from rlhf_sweeps.ppo.trainer import PPOTrainer

CASES = ("minibatches", "accumulation")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("is_packed", [True, False])
def test_every_number_is_that_of_trl(case: str, is_packed: bool, compose_config: Compose) -> None:
    found = differences(replay(case, compose_config, is_packed))
    assert len(found) >= 29
    assert beyond_tolerance(found) == {}


@pytest.mark.parametrize("case", CASES)
def test_advantages_are_whitened_as_by_trl(case: str) -> None:
    recorded, tensors = load_recording(case)
    for update in range(1, len(recorded["updates"]) + 1):
        values, returns, advantages, mask = (
            tensors[f"{update}.{name}"] for name in ("values", "returns", "advantages", "mask")
        )
        raw = returns.double() - values
        difference = (equations.whiten(raw, mask) - advantages)[mask].abs().max() / advantages.abs().max()
        assert difference < bound_of_whitened(raw[mask], 0.0) < 1e-5


def negated(original: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda *arguments, **options: -original(*arguments, **options)


def without_bessels_correction(x: Tensor, mask: Tensor, keeps_mean: bool = False) -> Tensor:
    mean = equations.masked_mean(x, mask)
    whitened = (x - mean) * torch.rsqrt(equations.masked_mean((x - mean).square(), mask) + 1e-8)
    return (whitened + mean if keeps_mean else whitened) * mask


def unwhitened(x: Tensor, mask: Tensor, keeps_mean: bool = False) -> Tensor:
    return x * mask


# Term -> the kind of number that it makes another, and what breaks it.
BROKEN: dict[str, tuple[str, Callable[[pytest.MonkeyPatch], None]]] = {
    "KL sign": ("objective/kl", lambda patch: patch.setattr(equations, "kl_estimate", negated(equations.kl_estimate))),
    "EOS mask": ("rewards", lambda patch: patch.setattr(equations, "add_state_after_end", lambda mask: mask)),
    "Bessel's correction": (
        "advantages",
        lambda patch: patch.setattr(equations, "whiten", without_bessels_correction),
    ),
    "whitening": ("advantages", lambda patch: patch.setattr(equations, "whiten", unwhitened)),
    "advantages": (
        "returns",
        lambda patch: patch.setattr(equations, "generalized_advantages", negated(equations.generalized_advantages)),
    ),
}
# Term -> a case, the kind of number that it makes another there, and the change.
CHANGED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "score position": ("minibatches", "rewards", {"score_at": "end"}),
    "value clip": ("minibatches", "value_loss", {"value_clip_range": None}),
    "value clip range": ("minibatches", "value_loss", {"value_clip_range": 0.25}),
    "policy clip": ("minibatches", "policy_loss", {"clip_range": 0.25}),
    "missing-EOS penalty": ("minibatches", "scores", {"missing_eos_penalty": None}),
    "temperature": ("minibatches", "ref_logprobs", {"temperature": 0.75}),
    "discount": ("minibatches", "returns", {"gamma": 1.0}),
    "lambda": ("minibatches", "returns", {"gae_lambda": 0.95}),
    "KL coefficient": ("minibatches", "rewards", {"kl_coef": 0.051}),
    "KL estimator": ("accumulation", "objective/kl", {"kl_estimator": "k1"}),
    "whitened rewards": ("accumulation", "rewards", {"whiten_rewards": False}),
    "weight of the value loss": ("minibatches", "value_grad_norm", {"vf_coef": 0.2}),
    "clipped gradients": ("minibatches", "final policy", {"max_grad_norm": 1.0}),
    "steps at the end of minibatches": ("accumulation", "policy_grad_norm", {"accumulation_steps": None}),
    "means over tokens": (
        "accumulation",
        "policy_grad_norm",
        {"loss_aggregation": "token_mean", "accumulation_steps": None},
    ),
    "schedule": ("minibatches", "lr", {"lr_schedule": "constant"}),
    "bootstrapping": ("minibatches", "rewards", {"bootstrap_truncated": True}),
}


@pytest.mark.parametrize("term", BROKEN)
def test_a_broken_equation_is_noticed(term: str, compose_config: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, break_it = BROKEN[term]
    break_it(monkeypatch)
    assert kind in noticed("accumulation", compose_config)


@pytest.mark.parametrize("term", CHANGED)
def test_a_changed_term_is_noticed(term: str, compose_config: Compose) -> None:
    case, kind, changes = CHANGED[term]
    assert kind in noticed(case, compose_config, **changes)


def test_trls_last_batch_of_a_pass_is_noticed(compose_config: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PPOTrainer, "_ends_pass", lambda _: False)
    assert "policy_grad_norm" in noticed("accumulation", compose_config)


def noticed(case: str, compose_config: Compose, **changes: Any) -> set[str]:
    """The kinds of numbers that are not TRL's."""
    return set(beyond_tolerance(differences(replay(case, compose_config, **changes))))
