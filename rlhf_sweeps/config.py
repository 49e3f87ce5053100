"""The schema behind conf/: types, ranges, choices and the rules between keys.

The values live in conf/*.yaml; a field here holds no default, so that neither repeats the other. `from_hydra` turns a
composed DictConfig into a `Config` once, at the border: nothing further in sees OmegaConf.
"""

import dataclasses
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING, DictConfig, OmegaConf

DIRECTIONS = ("maximize", "minimize")
CONSTRAINT = re.compile(r"\s*(?P<metric>[^\s<>=]+)\s*(?P<sign>[<>])=\s*(?P<limit>[-+]?[0-9.]+(?:e[-+]?[0-9]+)?)\s*")
DTYPES = ("float32", "bfloat16", "float16")


class ConfigError(ValueError):
    """A value that the user gave cannot work; the message names the key, what was given and what is allowed."""


def number(
    above: float = -math.inf, at_least: float = -math.inf, below: float = math.inf, at_most: float = math.inf
) -> Any:
    """A required number within the given bounds (NaN and infinity are never allowed)."""
    bounds = {"> ": above, ">= ": at_least, "< ": below, "<= ": at_most}
    allowed = " and ".join(f"{sign}{bound:g}" for sign, bound in bounds.items() if math.isfinite(bound))

    def is_allowed(value: float) -> bool:
        return math.isfinite(value) and above < value < below and at_least <= value <= at_most

    return field(default=MISSING, metadata={"is_allowed": is_allowed, "allowed": allowed or "a finite number"})


def choice(*values: str) -> Any:
    """A required word out of a closed list."""
    return field(
        default=MISSING, metadata={"is_allowed": values.__contains__, "allowed": "one of " + ", ".join(values)}
    )


def text() -> Any:
    """A required text that is not empty."""
    return field(default=MISSING, metadata={"is_allowed": bool, "allowed": "a text that is not empty"})


@dataclass
class ModelConfig:
    """The policy's starting point, which is also the reference policy."""

    name: str = text()
    path: str = text()
    revision: str | None = MISSING
    pypi_wheel: str | None = MISSING
    dtype: str = choice(*DTYPES)
    suggested_lr: float = number(above=0)


@dataclass
class RewardModelConfig:
    """A sequence classifier with one output."""

    name: str = text()
    path: str = text()
    revision: str | None = MISSING
    dtype: str = choice(*DTYPES)


@dataclass
class DatasetConfig:
    """Where prompts come from, and which of them are held out."""

    name: str = text()
    path: str = text()
    split: str = text()
    revision: str | None = MISSING
    eval_path: str | None = MISSING
    eval_split: str | None = MISSING
    prompt_column: str = text()
    max_prompt_length: int = number(at_least=1)
    suggested_response_length: int = number(at_least=1)


@dataclass
class PPOConfig:
    """The algorithm; conf/ppo/default.yaml says what each key means."""

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
    batch_size: int = number(at_least=1)
    rollouts_per_prompt: int = number(at_least=1)
    microbatch_size: int = number(at_least=1)
    rollout_batch_size: int = number(at_least=1)
    total_episodes: int = number(at_least=1)
    response_length: int = number(at_least=1)
    temperature: float = number(above=0)
    top_p: float = number(above=0, at_most=1)
    stop_strings: list[str] = MISSING
    value_model: str = choice("shared", "policy", "reward_model", "path")
    value_path: str | None = MISSING
    value_warmup_updates: int = number(at_least=0)
    lora_rank: int | None = number(at_least=1)
    lora_alpha: int = number(at_least=1)
    precision: str = choice("auto", "float32", "bfloat16")
    gradient_checkpointing: bool = MISSING
    static_decoding: bool = MISSING
    trl_metrics: bool = MISSING

    @property
    def num_updates(self) -> int:
        """Rollouts in a run; the last one is whole, so the episodes are rounded up to a multiple of the batch."""
        return math.ceil(self.total_episodes / self.batch_size)

    @property
    def highest_value_lr(self) -> float:
        """The value model's rate; a head alone, which starts from nothing, learns ten times as fast as the policy."""
        return self.value_lr or self.lr * (10 if self.value_model == "shared" else 1)

    @property
    def num_prompts(self) -> int:
        """Prompts an update."""
        return self.batch_size // self.rollouts_per_prompt

    @property
    def microbatches_per_epoch(self) -> int:
        """TRL's microbatches, those that loss_aggregation=microbatch_mean and accumulation_steps count."""
        return self.num_minibatches * math.ceil(self.batch_size // self.num_minibatches / self.microbatch_size)


@dataclass
class ObjectiveConfig:
    """What a run is worth: see objective.py."""

    metrics: list[str] = MISSING
    directions: list[str] = MISSING
    reduction: str = choice("best", "last", "mean")
    mean_over: int = number(at_least=1)
    kl_budget: float | None = number(above=0)
    constraints: list[str] = MISSING


@dataclass
class EvalConfig:
    """Evaluation on held-out prompts; every n updates and after the last."""

    every: int = number(at_least=1)
    num_prompts: int = number(at_least=1)


@dataclass
class CheckpointConfig:
    """Checkpoints for resuming; every n updates, after the last and when a run is asked to stop."""

    every: int = number(at_least=1)
    keep: bool = MISSING


@dataclass
class TrackingConfig:
    """W&B."""

    mode: str = choice("auto", "online", "offline", "disabled")
    project: str = text()
    entity: str | None = MISSING
    tags: list[str] = MISSING
    log_model: bool = MISSING
    init_timeout: float = number(above=0)
    finish_timeout: float = number(above=0)


@dataclass
class SweepConfig:
    """How a sweep's trials are repeated, limited and retried; hydra.sweeper holds the rest."""

    seeds: int = number(at_least=1)
    test_seeds: int = number(at_least=0)
    num_tested: int = number(at_least=1)
    budget_hours: float | None = number(above=0)
    trial_hours: float | None = number(above=0)
    update_timeout: float = number(above=0)
    retries: int = number(at_least=0)
    kl_patience: int | None = number(at_least=1)
    cost_per_hour: float | None = number(at_least=0)


@dataclass
class Config:
    """One run."""

    name: str = text()
    seed: int = number(at_least=0, below=2**31)
    device: str = text()
    model: ModelConfig = field(default_factory=ModelConfig)
    reward_model: RewardModelConfig = field(default_factory=RewardModelConfig)
    ppo: PPOConfig = field(default_factory=PPOConfig)
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    sweep: SweepConfig = field(default_factory=SweepConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)


def from_hydra(composed: DictConfig) -> Config:
    """The checked `Config` of a composed configuration.

    Raises:
        ConfigError: with one line for every key that is missing, out of range or at odds with another.
    """
    missing = sorted(OmegaConf.missing_keys(composed))
    if missing:
        raise ConfigError("\n".join(f"{key}: no value given; it is required ({key}=...)" for key in missing))
    config = OmegaConf.to_object(composed)
    assert isinstance(config, Config)
    problems = [*_unknown(config, prefix=""), *out_of_range(config, prefix=""), *_contradictions(config)]
    if problems:
        raise ConfigError("\n".join(problems))
    return config


def _unknown(node: Any, prefix: str) -> Iterator[str]:
    """Keys that were forced in with a plus sign, which Hydra lets pass."""
    known = [entry.name for entry in dataclasses.fields(node)]
    for name, value in vars(node).items():
        if name not in known:
            yield f"{prefix}{name}: there is no such key (allowed here: {', '.join(known)})"
        elif dataclasses.is_dataclass(value):
            yield from _unknown(value, prefix=f"{prefix}{name}.")


def out_of_range(node: Any, prefix: str) -> Iterator[str]:
    """One line for every value of a dataclass that is beyond its field's bounds; `prefix` stands before the keys."""
    for entry in dataclasses.fields(node):
        value, key = getattr(node, entry.name), prefix + entry.name
        if dataclasses.is_dataclass(value):
            yield from out_of_range(value, prefix=f"{key}.")
        elif value is not None and "is_allowed" in entry.metadata:
            is_allowed: Callable[[Any], bool] = entry.metadata["is_allowed"]
            if not is_allowed(value):
                yield f"{key}={value}: must be {entry.metadata['allowed']}"


def _contradictions(config: Config) -> Iterator[str]:
    ppo = config.ppo
    for key in ("num_minibatches", "rollouts_per_prompt"):
        count = getattr(ppo, key)
        if count > 0 and ppo.batch_size % count:
            yield (
                f"ppo.{key}={count}: must divide ppo.batch_size={ppo.batch_size} "
                f"(allowed: {', '.join(str(n) for n in range(1, ppo.batch_size + 1) if ppo.batch_size % n == 0)})"
            )
    if ppo.batch_size > 0 and ppo.total_episodes > 0:
        for key in ("lr_warmup_updates", "value_warmup_updates"):
            if (updates := getattr(ppo, key)) >= ppo.num_updates:
                yield f"ppo.{key}={updates}: must be less than the run's {ppo.num_updates} updates"
    if ppo.value_warmup_updates > 0 and ppo.vf_coef == 0:
        yield f"ppo.value_warmup_updates={ppo.value_warmup_updates}: with ppo.vf_coef=0 nothing would be trained"
    if (ppo.value_model == "path") != (ppo.value_path is not None):
        yield f"ppo.value_path={ppo.value_path}: must be given with ppo.value_model=path, and only then"
    if ppo.kl_target is not None and ppo.kl_coef == 0:
        yield f"ppo.kl_target={ppo.kl_target}: adapts ppo.kl_coef by factors, so that must be > 0, is 0"
    if "" in ppo.stop_strings:
        yield "ppo.stop_strings: an empty string would end every response at once"
    if ppo.accumulation_steps is not None:
        yield from _accumulation_contradictions(ppo, ppo.accumulation_steps)
    yield from _objective_contradictions(config.objective)
    if config.device not in ("auto", "cpu", "cuda", "mps") and not config.device.startswith("cuda:"):
        yield f"device={config.device}: must be auto, cpu, cuda, cuda:<number> or mps"


def _objective_contradictions(objective: ObjectiveConfig) -> Iterator[str]:
    if not objective.metrics:
        yield "objective.metrics=[]: must name at least one metric of metrics.jsonl"
    if len(set(objective.metrics)) < len(objective.metrics):
        yield f"objective.metrics={objective.metrics}: must be distinct"
    if len(objective.directions) != len(objective.metrics) or set(objective.directions) - set(DIRECTIONS):
        yield (
            f"objective.directions={objective.directions}: must have one of {', '.join(DIRECTIONS)} for each of "
            f"objective.metrics={objective.metrics}"
        )
    for constraint in objective.constraints:
        if CONSTRAINT.fullmatch(constraint) is None:
            yield f"objective.constraints={constraint}: must be 'METRIC<=NUMBER' or 'METRIC>=NUMBER'"


def _accumulation_contradictions(ppo: PPOConfig, accumulation_steps: int) -> Iterator[str]:
    given = f"ppo.accumulation_steps={accumulation_steps}"
    if ppo.loss_aggregation != "microbatch_mean":
        yield f"{given}: needs ppo.loss_aggregation=microbatch_mean, is {ppo.loss_aggregation}"
    if ppo.target_kl is not None:
        yield f"{given}: its steps span minibatches, so ppo.target_kl must be null, is {ppo.target_kl}"
    counts = (ppo.num_minibatches, ppo.microbatch_size, accumulation_steps)
    if min(counts) > 0 and ppo.microbatches_per_epoch % accumulation_steps:
        yield f"{given}: must divide the {ppo.microbatches_per_epoch} microbatches of an epoch"


def as_dict(config: Config) -> dict[str, Any]:
    """The config as plain nested values."""
    return dataclasses.asdict(config)
