"""Loading of reward models of all kinds."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from transformers import PreTrainedTokenizerBase

from rlhf_sweeps.config.reward_models import (
    CallableConfig,
    ClassifierConfig,
    EncoderConfig,
    EnsembleConfig,
    RewardModelConfig,
)
from rlhf_sweeps.config.schema import DatasetConfig
from rlhf_sweeps.data import Messages
from rlhf_sweeps.ppo.memory import BatchSize
from rlhf_sweeps.reward_models.base import RewardModel
from rlhf_sweeps.reward_models.callables import load_callable
from rlhf_sweeps.reward_models.classifier import HoldDate, leave_date, load_classifier
from rlhf_sweeps.reward_models.encoder import load_encoder
from rlhf_sweeps.reward_models.ensemble import EnsembleRewardModel
from rlhf_sweeps.reward_models.rules import load_rule
from rlhf_sweeps.reward_models.scorer import Scorer


@dataclass
class Loader:
    """Loads the reward models of one run, each of them once.

    Attributes:
        policy_tokenizer: the policy's tokenizer, whose tokens a classifier may read.
        batch: the number of sequences scored at once.
        dataset: the run's data set; heads of encoders may be fitted to its pairs.
        completes_turns: see ClassifierRewardModel.
        prompts: the run's prompts.
        hold_date: writes the run's date into a tokenizer's template, if that prints a date.
        scorers: the reward models loaded so far; members of an ensemble come before the ensemble.
    """

    policy_tokenizer: PreTrainedTokenizerBase
    batch: BatchSize
    device: torch.device
    dataset: DatasetConfig
    completes_turns: bool = True
    prompts: Sequence[Messages] = ()
    hold_date: HoldDate = leave_date
    scorers: list[Scorer] = field(default_factory=list, init=False)

    def scorer(self, config: RewardModelConfig, key: str) -> Scorer:
        """The scorer of a config's reward model; the same object for the same config.

        Args:
            key: the config's key, for error messages.

        Raises:
            ConfigError: if it cannot be loaded.
        """
        config = replace(config, normalize=None)
        for scorer in self.scorers:
            if scorer.config == config:
                return scorer
        scorer = Scorer(config, self._load(config, key))
        self.scorers.append(scorer)
        return scorer

    def _load(self, config: RewardModelConfig, key: str) -> RewardModel:
        if isinstance(config, ClassifierConfig):
            return load_classifier(
                config,
                self.policy_tokenizer,
                self.batch,
                self.device,
                f"{key}.path",
                self.completes_turns,
                self.prompts,
                self.hold_date,
            )
        if isinstance(config, CallableConfig):
            return load_callable(config, key)
        if isinstance(config, EncoderConfig):
            return load_encoder(config, self.dataset, self.batch.size, self.device, key)
        if isinstance(config, EnsembleConfig):
            members = [self.scorer(member, f"{key}.members[{number}]") for number, member in enumerate(config.members)]
            return EnsembleRewardModel(members, config.aggregation, config.uncertainty_weight)
        return load_rule(config, key)
