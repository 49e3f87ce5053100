"""The schema behind conf/reward_model_screen.yaml: the best of n answers under several reward models."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig

from rlhf_sweeps.config.contradictions import (
    find_dataset_contradictions,
    find_grammar_contradictions,
    find_judge_contradictions,
    find_stop_contradictions,
    find_unpinned,
)
from rlhf_sweeps.config.fields import ConfigError, device, find_out_of_range, number, part_of_path
from rlhf_sweeps.config.reading import as_object, find_unknown_keys, read_reward_models, refer_to_variables
from rlhf_sweeps.config.reward_models import RewardModelConfig
from rlhf_sweeps.config.schema import SEEDS, DatasetConfig, ModelConfig, PPOConfig

KEY = "reward_models"  # of the list of reward models


@dataclass
class RewardScreenConfig:
    """One screen; conf/reward_model_screen.yaml explains each key."""

    name: str = part_of_path()
    seed: int = number(at_least=0, below=SEEDS)
    device: str = device()
    n: int = number(at_least=2, at_most=1024)
    num_prompts: int = number(at_least=2)
    # Choices of the group reward_model, for example [vader, tiny], replaced by their configs.
    reward_models: list[Any] = MISSING
    model: ModelConfig = field(default_factory=ModelConfig)
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    ppo: PPOConfig = field(default_factory=PPOConfig)

    @property
    def named_reward_models(self) -> list[tuple[RewardModelConfig, str]]:
        """The reward models, each with its key."""
        return [(reward_model, f"{KEY}[{number}]") for number, reward_model in enumerate(self.reward_models)]

    @property
    def num_answers(self) -> int:
        """The number of answers to each prompt: n to choose from, and one more of the base policy to beat."""
        return self.n + 1


def register() -> None:
    """Register the schema with Hydra."""
    ConfigStore.instance().store(name="reward_model_screen_schema", node=RewardScreenConfig)


def from_hydra(composed: DictConfig) -> RewardScreenConfig:
    """The checked config of a composed configuration.

    Raises:
        ConfigError: with one line for every key that is missing, out of range or contradicts another key.
    """
    config = as_object(composed, RewardScreenConfig)
    config.reward_models = read_reward_models(config.reward_models, KEY)
    refer_to_variables(config, composed)
    if problems := [
        *find_unknown_keys(config, prefix=""),
        *find_out_of_range(config, prefix=""),
        *_find_contradictions(config),
    ]:
        raise ConfigError("\n".join(problems))
    return config


def _find_contradictions(config: RewardScreenConfig) -> Iterator[str]:
    if len(config.reward_models) < 2:
        names = ", ".join(reward_model.name for reward_model in config.reward_models)
        yield f"{KEY}=[{names}]: must hold at least two reward models, since they judge each other's choices"
    yield from find_judge_contradictions(config.reward_models, KEY)
    yield from find_grammar_contradictions(config.reward_models, config.dataset, "grammar", f"{KEY} without it")
    yield from find_unpinned(config.model, "model")
    yield from find_dataset_contradictions(config.dataset, "dataset")
    yield from find_stop_contradictions(config.ppo)
