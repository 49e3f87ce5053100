"""The presets of conf/ppo against tables written from their sources, not from the files."""

from pathlib import Path
from typing import Any

import pytest
from conftest import Compose
from omegaconf import OmegaConf

from rlhf_sweeps.cli import conf_dir

# Key, value, and where vwxyzjn/lm-human-preference-details states it: fields of Args in train_policy_accelerate.py, or
# what its train() does.
N_DETAILS = [
    ("lr", 1e-5, "PpoHParams.lr"),
    ("value_lr", 1e-5, "optimizer of policy.parameters(), scalar_head among them, in one group"),
    ("lr_schedule", "linear", "lrnow = (1 - (update - 1) / num_updates) * lr"),
    ("lr_warmup_updates", 0, "the same line"),
    ("adam_eps", 1e-5, "PpoHParams.eps"),
    ("max_grad_norm", None, "optimizer.step() right after backward()"),
    ("kl_coef", 0.15, "RewardHParams.kl_coef"),
    ("kl_estimator", "k1", "kl = logprobs - ref_logprobs"),
    ("kl_in", "reward", "rewards = non_score_reward.clone()"),
    ("kl_target", 6.0, "AdaptiveKLParams.target"),
    ("kl_horizon", 10_000, "AdaptiveKLParams.horizon"),
    ("clip_range", 0.2, "PpoHParams.cliprange"),
    ("dual_clip", None, "pg_loss = max(pg_losses, pg_losses2).mean()"),
    ("value_clip_range", 0.2, "PpoHParams.cliprange_value"),
    ("vf_coef", 0.1, "PpoHParams.vf_coef"),
    ("entropy_coef", 0.0, "loss = pg_loss + vf_coef * vf_loss"),
    ("loss_aggregation", "token_mean", "pg_loss = max(pg_losses, pg_losses2).mean()"),
    ("gamma", 1.0, "PpoHParams.gamma"),
    ("gae_lambda", 0.95, "PpoHParams.lam"),
    ("score_at", "end", "rewards[:, -1] += scores"),
    ("score_scaling", "none", "get_reward: a fixed gain and bias, which belong to the reward model"),
    ("score_clip", None, "rewards[:, -1] += scores"),
    ("missing_eos_penalty", None, "no end token is looked for"),
    ("whiten_rewards", True, "PpoHParams.whiten_rewards"),
    ("bootstrap_truncated", False, "nextvalues = 0.0 at the last token"),
    ("num_ppo_epochs", 4, "PpoHParams.noptepochs"),
    ("target_kl", None, "for ppo_epoch_idx in range(noptepochs), without a break"),
    ("num_minibatches", 1, "PpoHParams.nminibatches"),
    ("accumulation_steps", None, "PpoHParams.gradient_accumulation_steps is 1: a step each minibatch"),
    ("batch_size", 64, "PpoHParams.local_batch_size"),
    ("rollouts_per_prompt", 1, "one generate() of the queries"),
    ("microbatch_size", 64, "local_mini_batch_size / gradient_accumulation_steps"),
    ("rollout_batch_size", 64, "one generate() of the queries"),
    ("total_episodes", 1_000_000, "PpoHParams.total_episodes"),
    ("response_length", 24, "TaskHParams.response_length"),
    ("temperature", 0.7, "TaskHParams.temperature"),
    ("top_p", 1.0, "generation_config"),
    ("stop_strings", [], "min_new_tokens = max_new_tokens in generation_config"),
    ("value_model", "shared", "AutoModelForCausalLMWithScalarHead"),
    ("complete_turn", True, "get_reward(reward_model, query_responses), as in train_reward_accelerate.py"),
    ("value_path", None, "the same"),
    ("value_start", "zero", "layer_init(nn.Linear(hidden_size, 1), std=0), whose bias is 0"),
    ("value_warmup_updates", 0, "loss = pg_loss + vf_coef * vf_loss from update 1 on"),
    ("lora_rank", None, "optimizer of policy.parameters()"),
    ("precision", "float32", "Accelerator() without mixed_precision"),
    ("gradient_checkpointing", False, "never called for"),
]
# The same of TRL 1.12.0: PPOConfig and PPOTrainer.train in trl/experimental/ppo, and transformers' TrainingArguments.
TRL = [
    ("lr", 3e-6, "PPOConfig.learning_rate"),
    ("value_lr", 3e-6, "create_optimizer of the policy and the value model together"),
    ("lr_schedule", "linear", "TrainingArguments.lr_scheduler_type"),
    ("lr_warmup_updates", 0, "TrainingArguments.warmup_steps"),
    ("adam_eps", 1e-8, "TrainingArguments.adam_epsilon"),
    ("max_grad_norm", None, "optimizer.step() right after backward(); TrainingArguments.max_grad_norm is never read"),
    ("kl_coef", 0.05, "PPOConfig.kl_coef"),
    ("kl_estimator", "k1", "PPOConfig.kl_estimator"),
    ("kl_in", "reward", "rewards = non_score_reward.clone()"),
    ("kl_target", None, "args.kl_coef throughout"),
    ("clip_range", 0.2, "PPOConfig.cliprange"),
    ("dual_clip", None, "pg_loss_max = max(pg_losses, pg_losses2)"),
    ("value_clip_range", 0.2, "PPOConfig.cliprange_value"),
    ("vf_coef", 0.1, "PPOConfig.vf_coef"),
    ("entropy_coef", 0.0, "loss = pg_loss + vf_coef * vf_loss"),
    ("loss_aggregation", "microbatch_mean", "pg_loss = masked_mean of a microbatch"),
    ("gamma", 1.0, "PPOConfig.gamma"),
    ("gae_lambda", 0.95, "PPOConfig.lam"),
    ("score_at", "after_end", "rewards[actual_start, actual_end] += scores, actual_end = sequence_lengths_p1"),
    ("score_scaling", "none", "the same line"),
    ("score_clip", None, "the same line"),
    ("missing_eos_penalty", None, "PPOConfig.missing_eos_penalty"),
    ("whiten_rewards", False, "PPOConfig.whiten_rewards"),
    ("bootstrap_truncated", False, "nextvalues = 0.0 at the last token"),
    ("num_ppo_epochs", 4, "PPOConfig.num_ppo_epochs"),
    ("target_kl", None, "for ppo_epoch_idx in range(num_ppo_epochs), without a break"),
    ("num_minibatches", 1, "PPOConfig.num_mini_batches"),
    ("accumulation_steps", 1, "TrainingArguments.gradient_accumulation_steps"),
    ("batch_size", 8, "per_device_train_batch_size x gradient_accumulation_steps"),
    ("rollouts_per_prompt", 1, "one batch_generation() of the queries"),
    ("microbatch_size", 8, "TrainingArguments.per_device_train_batch_size"),
    ("rollout_batch_size", 64, "PPOConfig.local_rollout_forward_batch_size"),
    ("response_length", 53, "PPOConfig.response_length"),
    ("temperature", 0.7, "PPOConfig.temperature"),
    ("top_p", 1.0, "generation_kwargs"),
    ("stop_strings", [], "PPOConfig.stop_token names tokens only"),
    ("value_model", "reward_model", "examples/scripts/ppo: both from reward_model_path"),
    ("value_path", None, "the same"),
    ("value_start", "zero", "a value model is loaded; nothing is added to its outputs"),
    ("complete_turn", False, "get_reward(reward_model, postprocessed_query_response, ...)"),
    ("value_warmup_updates", 0, "loss = pg_loss + vf_coef * vf_loss from update 1 on"),
    ("lora_rank", None, "PPOTrainer.__init__: peft_config=None"),
    ("precision", "auto", "PPOConfig: bf16 unless fp16; the recorded parity runs computed in float32 on a CPU"),
    ("gradient_checkpointing", False, "train() enables none"),
]
SOURCES = {"n_details": N_DETAILS, "trl": TRL}


def stated(preset: str) -> Any:
    """What the file itself says."""
    return OmegaConf.to_container(OmegaConf.load(Path(conf_dir()) / "ppo" / f"{preset}.yaml"))


@pytest.mark.parametrize("preset", SOURCES)
def test_a_preset_states_what_its_source_states(preset: str, compose_config: Compose) -> None:
    ppo, table = compose_config(f"ppo={preset}").ppo, SOURCES[preset]
    wrong = [(key, getattr(ppo, key), value, where) for key, value, where in table if getattr(ppo, key) != value]
    assert not wrong
    # What default.yaml happens to have, too, may change there.
    inherited = [(key, where) for key, _, where in table if key not in stated(preset)]
    assert not inherited


@pytest.mark.parametrize("preset", SOURCES)
def test_a_preset_trains_all_at_one_learning_rate(preset: str, compose_config: Compose) -> None:
    for value_model in ("shared", "policy"):
        ppo = compose_config(f"ppo={preset}", "ppo.lr=1e-4", f"ppo.value_model={value_model}").ppo
        assert (ppo.lr, ppo.highest_value_lr) == (1e-4, 1e-4)


def test_the_published_run(compose_config: Compose) -> None:
    published = {
        "lr": 2e-6,
        "num_ppo_epochs": 4,
        "num_minibatches": 2,
        "microbatch_size": 16,
        "accumulation_steps": 2,
        "batch_size": 32,
        "total_episodes": 3000,
        "clip_range": 0.2,
        "kl_coef": 0.02,
        "missing_eos_penalty": 1.0,
    }
    ppo = compose_config("ppo=smollm2_human_like").ppo
    assert {key: getattr(ppo, key) for key in published} == published
    assert published.keys() <= stated("smollm2_human_like").keys()
    # TRL ran it: 3000 / 32 updates, and whatever else its PPOConfig has.
    assert ppo.num_updates == 94
    left_open = [(key, value) for key, value, _ in TRL if key not in published and key != "value_lr"]
    assert [(key, getattr(ppo, key)) for key, _ in left_open] == left_open
