"""A language model small enough for hand-checked tests, and prompts for it."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from rlhf_sweeps import models
from rlhf_sweeps.config import PPOConfig
from rlhf_sweeps.data import batch_indices
from rlhf_sweeps.ppo.rollout import Responses, Sampler
from rlhf_sweeps.ppo.trainer import PPOTrainer

EOS = 3
PROMPTS = [[5, 6, 7], [8], [9, EOS, 10, 11], [4, 4], [12, 13, 5, 6, 7], [6]]


def policy(seed: int = 0) -> PreTrainedModel:
    """Random weights, 20 tokens."""
    config = LlamaConfig(
        vocab_size=20,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=64,
        initializer_range=0.5,
        eos_token_id=EOS,
        bos_token_id=1,
        pad_token_id=0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LlamaForCausalLM(config).eval()


def policy_with_absolute_positions() -> PreTrainedModel:
    """GPT-2's position embeddings show what rotary ones hide: where padding shifts a prompt."""
    config = GPT2Config(vocab_size=20, n_embd=16, n_layer=2, n_head=2, n_positions=64, eos_token_id=EOS, bos_token_id=1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = GPT2LMHeadModel(config).eval()
        model.transformer.wpe.weight.data.normal_()
    return model


def sampler(response_length: int = 8, pad_id: int = 0, temperature: float = 0.8) -> Sampler:
    return Sampler((EOS,), pad_id, response_length, temperature, batch_size=4)


def settings(**changes: Any) -> PPOConfig:
    values: dict[str, Any] = {
        "lr": 1e-3,
        "lr_schedule": "linear",
        "kl_coef": 0.1,
        "kl_estimator": "k1",
        "clip_range": 0.2,
        "value_clip_range": 0.2,
        "vf_coef": 0.5,
        "gamma": 0.9,
        "gae_lambda": 0.8,
        "num_ppo_epochs": 1,
        "num_minibatches": 1,
        "batch_size": 6,
        "microbatch_size": 6,
        "rollout_batch_size": 4,
        "total_episodes": 60,
        "response_length": 8,
        "temperature": 0.8,
        "missing_eos_penalty": 2.0,
        "max_grad_norm": None,
        "value_model": "policy",
    }
    return PPOConfig(**(values | changes))


def score_by_length(indices: Sequence[int], batch: Responses) -> Tensor:
    """Longer is better, and the prompt's number counts a little."""
    return batch.response_mask.sum(-1).float() / 4 + torch.tensor(indices) / 10


def trainer(
    config: PPOConfig,
    pad_id: int = 0,
    score: Callable[[Sequence[int], Responses], Tensor] = score_by_length,
) -> PPOTrainer:
    """A trainer whose policy differs from its reference policy, so that the KL penalty is not 0 at first."""
    trained = policy()
    return PPOTrainer(
        config,
        trained,
        models.freeze(policy(seed=1)),
        models.value_model(trained),
        sampler(config.response_length, pad_id, config.temperature),
        PROMPTS,
        lambda update: batch_indices(len(PROMPTS), config.batch_size, update, seed=0),
        score,
        seed=0,
    )
