"""The schema of conf/: the type and the allowed values of every key, except those of reward models.

Fields have no defaults: all values stand in conf/*.yaml. config/reading.py converts a composed config to a `Config`.
"""

import dataclasses
import math
import re
from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from rlhf_sweeps.config.fields import CLOSED, choice, device, number, part_of_path, sha256, text, wandb_project, wheel
from rlhf_sweeps.config.references import redact
from rlhf_sweeps.config.reward_models import DTYPES, ClassifierConfig, make_plain_classifier

SEEDS = 2**31  # seeds are below this number; the random generators of torch, NumPy and Optuna all take such seeds
# The distance of the first test seed from the first seed: larger than any number of seeds. Chosen.
TEST_SEEDS_AFTER = 1_000_000
DIRECTIONS = ("maximize", "minimize")
CONSTRAINT = re.compile(
    r"\s*(?P<metric>[^\s<>]+)\s*(?P<sign>[<>])=\s*(?P<limit>[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)\s*"
)


@dataclass
class ModelConfig:
    """The policy's starting point, which is also the reference policy."""

    name: str = text()
    path: str = text()
    revision: str | None = MISSING
    pypi_wheel: str | None = wheel()
    sha256: str | None = sha256()
    dtype: str = choice(*DTYPES)
    suggested_lr: float = number(above=0)
    suggested_kl_coef: float = number(at_least=0)
    suggested_kl_budget: float | None = number(above=0)


def find_dtype_fault(model: ModelConfig, lora_rank: int | None, prefix: str) -> str | None:
    """What is wrong with the data type of trained weights; None if nothing is.

    A step of AdamW changes a weight by about lr, far less than the spacing of numbers in bfloat16: most weights would
    never change.

    Args:
        prefix: the group of the keys `precision` and `lora_rank`.
    """
    if model.dtype == "float32" or lora_rank is not None:
        return None
    return (
        f"model.dtype={model.dtype}: must be float32 where all weights are trained, since small steps vanish in it "
        f"({prefix}.precision=bfloat16 computes in it all the same; with {prefix}.lora_rank they may be of any type)"
    )


@dataclass
class DatasetConfig:
    """The source of prompts and preference pairs, and the choice of the held-out ones."""

    name: str = text()
    path: str | None = MISSING
    subset: str | None = MISSING
    split: str = text()
    revision: str | None = MISSING
    eval_path: str | None = MISSING
    eval_split: str | None = MISSING
    confirm_path: str | None = MISSING
    confirm_split: str | None = MISSING
    prompt_column: str | None = MISSING
    chosen_column: str = text()
    rejected_column: str = text()
    bad_rows: str = choice("refuse", "skip")
    min_prompt_length: int = number(at_least=1)
    max_prompt_length: int = number(at_least=1)
    suggested_response_length: int = number(at_least=1)
    # Choices of reward_model, of which eval.judges holds the configs.
    suggested_judges: list[Any] = MISSING
    # For a mixture: choices, such as [human_like_mini, {dataset: local, path: x.csv}], replaced by their configs.
    sources: list[Any] = MISSING
    weight: float = number(above=0)


@dataclass
class PPOConfig:
    """The PPO algorithm; conf/ppo/default.yaml explains each key."""

    lr: float = number(above=0)
    value_lr: float | None = number(above=0)
    lr_schedule: str = choice("linear", "cosine", "constant")
    lr_warmup_updates: int = number(at_least=0)
    adam_eps: float = number(above=0)
    max_grad_norm: float | None = number(above=0)
    kl_coef: float = number(at_least=0)
    kl_estimator: str = choice("k1", "k2", "k3")
    kl_in: str = choice("reward", "loss")
    kl_target: float | None = number(above=0)
    kl_horizon: int = number(at_least=1)
    clip_range: float = number(above=0, below=1)
    dual_clip: float | None = number(above=1)
    value_clip_range: float | None = number(above=0)
    vf_coef: float = number(at_least=0)
    entropy_coef: float = number(at_least=0)
    loss_aggregation: str = choice("token_mean", "sequence_mean", "microbatch_mean")
    gamma: float = number(at_least=0, at_most=1)
    gae_lambda: float = number(at_least=0, at_most=1)
    score_at: str = choice("end", "after_end")
    score_scaling: str = choice("none", "scale", "normalize")
    score_clip: float | None = number(above=0)
    missing_eos_penalty: float | None = number(at_least=0)
    whiten_rewards: bool = MISSING
    bootstrap_truncated: bool = MISSING
    num_ppo_epochs: int = number(at_least=1)
    target_kl: float | None = number(above=0)
    num_minibatches: int = number(at_least=1)
    accumulation_steps: int | None = number(at_least=1)
    batch_size: int = number(at_least=1, below=2**31)
    rollouts_per_prompt: int = number(at_least=1)
    microbatch_size: int = number(at_least=1)
    rollout_batch_size: int = number(at_least=1)
    total_episodes: int = number(at_least=1)
    response_length: int = number(at_least=1)
    temperature: float = number(at_least=1e-6)
    top_p: float = number(above=0, at_most=1)
    stop_strings: list[str] = MISSING
    complete_turn: bool = MISSING
    value_model: str = choice("shared", "policy", "reward_model", "path")
    value_path: str | None = MISSING
    value_start: str = choice("base_return", "zero")
    value_warmup_updates: int = number(at_least=0)
    lora_rank: int | None = number(at_least=1)
    lora_alpha: int = number(at_least=1)
    precision: str = choice("auto", "float32", "bfloat16")
    gradient_checkpointing: bool = MISSING
    static_decoding: bool = MISSING
    trl_metrics: bool = MISSING

    @property
    def num_updates(self) -> int:
        """The number of updates in a run: total_episodes / batch_size, rounded up."""
        return math.ceil(self.total_episodes / self.batch_size)

    @property
    def highest_value_lr(self) -> float:
        """The value model's learning rate; for a new head on the policy's trunk, ten times the policy's."""
        return self.value_lr or self.lr * (10 if self.value_model == "shared" else 1)

    @property
    def num_prompts(self) -> int:
        """The number of prompts in an update."""
        return self.batch_size // self.rollouts_per_prompt

    @property
    def microbatches_per_epoch(self) -> int:
        """TRL's microbatches in an epoch, for loss_aggregation=microbatch_mean and accumulation_steps."""
        return self.num_minibatches * math.ceil(self.batch_size // self.num_minibatches / self.microbatch_size)

    @property
    def trl_slots(self) -> int:
        """TRL's divisor of its sums over an update: it counts every minibatch as if it were a whole batch."""
        return self.num_ppo_epochs * self.num_minibatches * math.ceil(self.batch_size / self.microbatch_size)


@dataclass
class ObjectiveConfig:
    """How a run is valued: see verdicts/objective.py."""

    metrics: list[str] = field(default=MISSING, metadata=CLOSED)
    directions: list[str] = field(default=MISSING, metadata=CLOSED)
    reduction: str = choice("best", "last", "mean", "frontier")
    mean_over: int = number(at_least=1)
    kl_budget: float | None = number(above=0)
    constraints: list[str] = field(default=MISSING, metadata=CLOSED)
    kl_price: float = number(at_least=0)


@dataclass
class EvalConfig:
    """Evaluation on held-out prompts, every `every` updates and after the last one; at the end on confirming ones."""

    every: int = number(at_least=1)
    num_prompts: int = number(at_least=1)
    num_confirming: int = number(at_least=0)
    # Choices of the group reward_model, for example [vader, tiny], replaced by their configs.
    judges: list[Any] = MISSING
    judge_each_other: bool = MISSING


@dataclass
class CheckpointConfig:
    """Checkpoints, every `every` updates, after the last one, and when a run is asked to stop."""

    every: int = number(at_least=1)
    keep: bool = MISSING


@dataclass
class TrackingConfig:
    """W&B."""

    mode: str = choice("auto", "online", "offline", "disabled")
    project: str | None = wandb_project()
    entity: str | None = MISSING
    tags: list[str] = MISSING
    log_model: bool = MISSING
    init_timeout: float = number(above=0)
    finish_timeout: float = number(above=0)


@dataclass
class SweepConfig:
    """How a sweep's trials are repeated, limited and retried; the sweeper's other keys are in hydra.sweeper."""

    seeds: int = number(at_least=1, at_most=10_000)
    test_seeds: int = number(at_least=0, at_most=10_000)
    num_tested: int = number(at_least=1)
    budget_hours: float | None = number(above=0)
    trial_hours: float | None = number(above=0)
    update_timeout: float = number(above=0)
    retries: int = number(at_least=0)
    kl_patience: int | None = number(at_least=1)
    cost_per_hour: float | None = number(at_least=0)
    report: bool = MISSING


@dataclass
class Config:
    """One run."""

    name: str = part_of_path()
    seed: int = number(at_least=0, below=SEEDS)
    device: str = device()
    model: ModelConfig = field(default_factory=ModelConfig)
    # A subclass of RewardModelConfig, chosen by `kind`.
    reward_model: Any = MISSING
    ppo: PPOConfig = field(default_factory=PPOConfig)
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    sweep: SweepConfig = field(default_factory=SweepConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)


def value_model_config(config: Config) -> ClassifierConfig:
    """The classifier that ppo.value_path names."""
    assert config.ppo.value_path is not None
    return make_plain_classifier(config.ppo.value_path, "value_model", config.model.dtype)


def as_dict(config: Config) -> dict[str, Any]:
    """The config as plain nested values for records, W&B and comparisons: see `references.redact`."""
    plain: dict[str, Any] = redact(dataclasses.asdict(config))
    return plain
