"""A language model small enough for hand-checked tests, and prompts for it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from rlhf_sweeps.cli import conf_dir
from rlhf_sweeps.config.schema import PPOConfig
from rlhf_sweeps.data import batch_indices
from rlhf_sweeps.models import loading as models
from rlhf_sweeps.ppo.memory import BatchSize
from rlhf_sweeps.ppo.packing import enable_packing
from rlhf_sweeps.ppo.rollout import Responses
from rlhf_sweeps.ppo.sampling import Sampler
from rlhf_sweeps.ppo.trainer import PPOTrainer

EOS = 3
# Nothing is its default: no seed 0, no single rollout a prompt, no number that divides all others.
SEED = 7
PROMPTS = [[5, 6, 7], [8], [9, EOS, 10, 11], [4, 4], [12, 13, 5, 6, 7], [6]]


def policy(seed: int = 0, ties: bool = False) -> PreTrainedModel:
    """Random weights, 20 tokens; two layers of seven matrices, an embedding and an output layer, which may be one."""
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
        tie_word_embeddings=ties,
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
    return Sampler((EOS,), pad_id, response_length, temperature, BatchSize("ppo.rollout_batch_size", 4))


def settings(**changes: Any) -> PPOConfig:
    """ppo=default as the file has it, with the numbers of a toy."""
    defaults: Any = OmegaConf.to_container(OmegaConf.load(Path(conf_dir()) / "ppo" / "default.yaml"))
    values: dict[str, Any] = {
        "lr": 1e-3,
        "kl_coef": 0.1,
        "vf_coef": 0.5,
        "gamma": 0.9,
        "gae_lambda": 0.8,
        "num_ppo_epochs": 1,
        "num_minibatches": 1,
        "batch_size": 6,
        "rollouts_per_prompt": 3,
        "microbatch_size": 6,
        "rollout_batch_size": 4,
        "total_episodes": 60,
        "response_length": 8,
        "temperature": 0.8,
        "missing_eos_penalty": 2.0,
        "max_grad_norm": None,
    }
    return PPOConfig(**(defaults | values | changes))


def score_by_length(indices: Sequence[int], batch: Responses) -> Tensor:
    """Longer is better, and the prompt's number counts a little."""
    return batch.response_mask.sum(-1).float() / 4 + torch.tensor(indices) / 10


def trainer(
    config: PPOConfig,
    pad_id: int = 0,
    score: Callable[[Sequence[int], Responses], Tensor] = score_by_length,
    is_packed: bool = True,
) -> PPOTrainer:
    """A trainer whose policy differs from its reference policy, so that the KL penalty is not 0 at first."""
    trained, reference = policy(), models.freeze(policy(seed=1))
    if is_packed:
        assert all(enable_packing(model.base_model) for model in (trained, reference))
    value_model = models.make_value_model(trained, is_shared=config.value_model == "shared")
    if config.gradient_checkpointing:
        for trunk in filter(None, (trained, value_model.trunk)):
            models.recompute_activations(trunk)
    num_prompts = config.num_prompts
    return PPOTrainer(
        config,
        models.make_language_model(trained, config),
        lambda: models.open_reference(reference, None),
        value_model,
        sampler(config.response_length, pad_id, config.temperature),
        PROMPTS,
        lambda update: [
            i
            for i in batch_indices(len(PROMPTS), num_prompts, update, seed=SEED)
            for _ in range(config.rollouts_per_prompt)
        ],
        score,
        seed=SEED,
    )
