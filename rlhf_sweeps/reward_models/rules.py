"""Reward models that are rules on the response's text; the prompt has no influence."""

import itertools
import re

import torch
from torch import Tensor

from rlhf_sweeps.config.functions import check_rule
from rlhf_sweeps.config.reward_models import LengthConfig, RegexConfig, RewardModelConfig, VaderConfig
from rlhf_sweeps.process.failures import RewardModelError
from rlhf_sweeps.reward_models.base import Exchanges, RewardModel, quote_exchange
from rlhf_sweeps.reward_models.time_limit import TimeLimit, TimeLimitError


def load_rule(config: RewardModelConfig, key: str) -> RewardModel:
    """The rule that a config describes.

    Args:
        key: the config's key, for error messages.

    Raises:
        ConfigError: if a package that it needs is not installed.
    """
    check_rule(config, key)
    if isinstance(config, LengthConfig):
        return LengthRewardModel(config)
    if isinstance(config, RegexConfig):
        return RegexRewardModel(config, key)
    if isinstance(config, VaderConfig):
        return VaderRewardModel()
    raise TypeError(f"{key}.kind={config.kind}: is no rule")


class LengthRewardModel(RewardModel):
    """The score is weight * length; with a target, -weight * distance from it. White space counts as characters."""

    def __init__(self, config: LengthConfig) -> None:
        self._config = config

    def score(self, exchanges: Exchanges) -> Tensor:
        """One score each, (batch,), float32 on the CPU."""
        return torch.tensor([self._score(response) for response in exchanges.responses], dtype=torch.float32)

    def _score(self, response: str) -> float:
        length = len(response.split()) if self._config.unit == "words" else len(response)
        if self._config.target is None:
            return self._config.weight * length
        return -self._config.weight * abs(length - self._config.target)


class RegexRewardModel(RewardModel):
    """The sum over patterns of weight * number of non-overlapping matches, at most max_matches for each pattern.

    Args:
        key: the config's key, for error messages.
    """

    def __init__(self, config: RegexConfig, key: str) -> None:
        self._patterns = [(re.compile(entry.pattern), entry.weight) for entry in config.patterns]
        self._max_matches = config.max_matches
        self._timeout = config.timeout
        self._key = key

    def score(self, exchanges: Exchanges) -> Tensor:
        """One score each, (batch,), float32 on the CPU.

        Raises:
            RewardModelError: if all responses together take too long; outside the main thread there is no limit.
        """
        scores = [0.0] * len(exchanges)
        row = number = 0
        try:
            with TimeLimit(self._timeout):
                for row, response in enumerate(exchanges.responses):
                    for number, (pattern, weight) in enumerate(self._patterns):  # noqa: B007 (tells which was slow)
                        matches = itertools.islice(pattern.finditer(response), self._max_matches)
                        scores[row] += weight * sum(1 for _ in matches)
        except TimeLimitError as error:
            slow = f"{self._key}.patterns[{number}].pattern={self._patterns[number][0].pattern}"
            raise RewardModelError(f"{slow}: {error}, which ended at {quote_exchange(exchanges, row)}") from error
        return torch.tensor(scores, dtype=torch.float32)


class VaderRewardModel(RewardModel):
    """VADER's compound score of the response, -1 to 1 (Hutto and Gilbert, 2014)."""

    def __init__(self) -> None:
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

        self._analyzer = SentimentIntensityAnalyzer()

    def score(self, exchanges: Exchanges) -> Tensor:
        """One score each, (batch,), float32 on the CPU."""
        scores = [self._analyzer.polarity_scores(response)["compound"] for response in exchanges.responses]
        return torch.tensor(scores, dtype=torch.float32)
