"""The schema behind conf/reward_model_training.yaml: training one reward model on preference pairs."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf

from rlhf_sweeps.config.contradictions import find_dataset_contradictions, find_unpinned
from rlhf_sweeps.config.fields import ConfigError, choice, device, find_out_of_range, number, part_of_path
from rlhf_sweeps.config.reading import as_object, find_unknown_keys, refer_to_variables
from rlhf_sweeps.config.schema import DatasetConfig, ModelConfig, find_dtype_fault
from rlhf_sweeps.files.sources import EMBEDDED
from rlhf_sweeps.reward_training.constants import CAUTIOUS_LR, LORA_FACTOR


@dataclass
class TrainingConfig:
    """The settings of the training; conf/reward_model_training.yaml explains each key."""

    base: str | None = MISSING
    num_epochs: int = number(at_least=1)
    max_steps: int | None = number(at_least=1)
    lr: float | None = number(above=0)
    warmup_ratio: float = number(at_least=0, below=1)
    weight_decay: float = number(at_least=0)
    max_grad_norm: float | None = number(above=0)
    batch_size: int = number(at_least=1)
    microbatch_size: int = number(at_least=1)
    max_length: int = number(at_least=8)
    center_rewards_coefficient: float | None = number(above=0)
    lora_rank: int | None = number(at_least=1)
    lora_alpha: int = number(at_least=1)
    precision: str = choice("auto", "float32", "bfloat16")
    gradient_checkpointing: bool = MISSING


@dataclass
class RewardTrainingConfig:
    """One training of a reward model."""

    name: str = part_of_path()
    seed: int = number(at_least=0, below=2**31)
    device: str = device()
    model: ModelConfig = field(default_factory=ModelConfig)
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    reward_model: TrainingConfig = field(default_factory=TrainingConfig)

    @property
    def base(self) -> ModelConfig:
        """The model that the reward model starts from."""
        if self.reward_model.base is None:
            return self.model
        return dataclasses.replace(self.model, path=self.reward_model.base, revision=None, pypi_wheel=None, sha256=None)

    @property
    def base_key(self) -> str:
        """The key that names the base."""
        return "model.path" if self.reward_model.base is None else "reward_model.base"

    @property
    def highest_lr(self) -> float:
        """The learning rate after the warm-up; without `lr`, one that depends on the base model and on LoRA."""
        if self.reward_model.lr is not None:
            return self.reward_model.lr
        lr = self.model.suggested_lr if self.reward_model.base is None else CAUTIOUS_LR
        return lr if self.reward_model.lora_rank is None else LORA_FACTOR * lr


def register() -> None:
    """Register the schema with Hydra, and the resolver that names a training after its base model."""
    ConfigStore.instance().store(name="reward_model_training_schema", node=RewardTrainingConfig)
    OmegaConf.register_new_resolver("base_name", _name_base, replace=True)


def from_hydra(composed: DictConfig) -> RewardTrainingConfig:
    """The checked config of a composed configuration.

    Raises:
        ConfigError: with one line for every key that is missing, out of range or contradicts another key.
    """
    config = as_object(composed, RewardTrainingConfig)
    refer_to_variables(config, composed)
    if problems := [
        *find_unknown_keys(config, prefix=""),
        *find_out_of_range(config, prefix=""),
        *_find_contradictions(config),
    ]:
        raise ConfigError("\n".join(problems))
    return config


def _find_contradictions(config: RewardTrainingConfig) -> Iterator[str]:
    settings = config.reward_model
    if settings.microbatch_size > 0 and settings.batch_size % settings.microbatch_size:
        yield (
            f"reward_model.microbatch_size={settings.microbatch_size}: must divide "
            f"reward_model.batch_size={settings.batch_size}"
        )
    yield from find_unpinned(config.base, "model")
    if fault := find_dtype_fault(config.base, settings.lora_rank, "reward_model"):
        yield fault
    yield from find_dataset_contradictions(config.dataset, "dataset")


def _name_base(base: str | None, model: str) -> str:
    """The last part of the base model's path; without `base`, the name of `model`."""
    return model if base is None else base.removeprefix(EMBEDDED).rstrip("/").rpartition("/")[2]
