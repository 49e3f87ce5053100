"""The schema of reward models: the keys of each kind. Their values stand in conf/reward_model/*.yaml."""

from dataclasses import dataclass
from typing import Any

from omegaconf import MISSING

from rlhf_sweeps.config.fields import choice, number, sha256, text, wheel

DTYPES = ("float32", "bfloat16", "float16")


@dataclass
class RewardModelConfig:
    """The keys that all kinds have."""

    kind: str = text()
    name: str = text()
    normalize: bool | None = MISSING


@dataclass
class ClassifierConfig(RewardModelConfig):
    """A sequence classifier; if it has several outputs, `label` names the one that is the score."""

    path: str = text()
    revision: str | None = MISSING
    dtype: str = choice(*DTYPES)
    label: str | None = MISSING
    template: str | None = MISSING
    max_length: int | None = number(at_least=1)


@dataclass
class CallableConfig(RewardModelConfig):
    """A Python function of prompts and responses."""

    function: str = text()
    arguments: dict[str, Any] = MISSING
    timeout: float = number(above=0)


@dataclass
class LengthConfig(RewardModelConfig):
    """The length of a response, or its distance from a target."""

    unit: str = choice("words", "characters")
    target: float | None = number(at_least=0)
    weight: float = number()


@dataclass
class PatternConfig:
    """A regular expression and the weight of each match."""

    pattern: str = text()
    weight: float = number()


@dataclass
class RegexConfig(RewardModelConfig):
    """The weighted number of matches of regular expressions."""

    patterns: list[PatternConfig] = MISSING
    max_matches: int | None = number(at_least=1)
    timeout: float = number(above=0)


@dataclass
class VaderConfig(RewardModelConfig):
    """The sentiment of a response by VADER's lexicon, between -1 and 1."""


@dataclass
class EncoderConfig(RewardModelConfig):
    """A frozen sentence encoder with a linear head that is fitted to preference pairs."""

    path: str = text()
    revision: str | None = MISSING
    pypi_wheel: str | None = wheel()
    sha256: str | None = sha256()
    dtype: str = choice(*DTYPES)
    max_length: int = number(at_least=1)
    num_pairs: int = number(at_least=2)
    # The name of a data set's choice, for example human_like_mini, replaced by its config. None: the run's data set.
    pairs: Any = MISSING


@dataclass
class EnsembleConfig(RewardModelConfig):
    """Several reward models whose scores are scaled alike and aggregated."""

    # Names of choices, for example [tiny, vader], replaced by their configs.
    members: list[Any] = MISSING
    aggregation: str = choice("mean", "min", "uncertainty_weighted")
    uncertainty_weight: float = number(at_least=0)


KINDS: dict[str, type[RewardModelConfig]] = {
    "classifier": ClassifierConfig,
    "callable": CallableConfig,
    "length": LengthConfig,
    "regex": RegexConfig,
    "vader": VaderConfig,
    "encoder": EncoderConfig,
    "ensemble": EnsembleConfig,
}


def make_plain_classifier(path: str, name: str, dtype: str) -> ClassifierConfig:
    """A classifier with one output, read by its own template."""
    return ClassifierConfig("classifier", name, None, path, None, dtype, label=None, template=None, max_length=None)
