"""PPO in plain code, one unpadded sequence at a time, and what the trainer has scored of its own."""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rlhf_sweeps.config.schema import PPOConfig
from rlhf_sweeps.ppo.language_model import ValueModel
from rlhf_sweeps.ppo.rollout import Responses
from rlhf_sweeps.ppo.trainer import PPOTrainer


def logits(policy: PreTrainedModel, prompt: list[int], response: list[int]) -> Tensor:
    output: Tensor = policy(torch.tensor([prompt + response])).logits[0, len(prompt) - 1 : -1] / 0.8
    return output


def logprobs(policy: PreTrainedModel, prompt: list[int], response: list[int]) -> Tensor:
    return logits(policy, prompt, response).log_softmax(-1)[torch.arange(len(response)), torch.tensor(response)]


def plain_values(value_model: ValueModel, policy: PreTrainedModel, prompt: list[int], response: list[int]) -> Tensor:
    trunk = value_model.trunk or policy.base_model
    hidden = trunk(torch.tensor([prompt + response])).last_hidden_state[0]
    values: Tensor = (hidden @ value_model.head.weight.T)[len(prompt) - 1 : -1, 0]
    return values


def plain_kl(new: Tensor, ref: Tensor, estimator: str) -> Tensor:
    log_ratio = ref - new
    return {"k1": -log_ratio, "k2": log_ratio**2 / 2, "k3": log_ratio.exp() - 1 - log_ratio}[estimator]


def plain_policy_loss(log_ratio: Tensor, advantages: Tensor, config: PPOConfig) -> Tensor:
    ratio, reach = log_ratio.exp(), config.clip_range
    gains = torch.minimum(ratio * advantages, ratio.clamp(1 - reach, 1 + reach) * advantages)
    if config.dual_clip is not None:
        gains = torch.where(advantages < 0, torch.maximum(gains, config.dual_clip * advantages), gains)
    return -gains


def plain_advantages(rewards: list[float], values: list[float], gamma: float, gae_lambda: float) -> list[float]:
    """GAE as the sum that defines it."""
    deltas = [r + gamma * v_next - v for r, v, v_next in zip(rewards, values, [*values[1:], 0.0], strict=True)]
    return [sum((gamma * gae_lambda) ** (k - t) * deltas[k] for k in range(t, len(deltas))) for t in range(len(deltas))]


def captured(trainer: PPOTrainer) -> list[tuple[Sequence[int], Responses]]:
    """Everything the trainer has scored, from here on."""
    seen: list[tuple[Sequence[int], Responses]] = []
    score = trainer.score

    def scored(indices: Sequence[int], batch: Responses) -> Tensor:
        seen.append((indices, batch))
        return score(indices, batch)

    trainer.score = scored
    return seen
