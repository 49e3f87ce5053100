"""The kinds of reward model, and the keys of each: conf/reward_model/*.yaml holds their values."""

from dataclasses import dataclass
from typing import Any

from omegaconf import MISSING

from rlhf_sweeps.config.fields import choice, number, sha256, text, wheel

DTYPES = ("float32", "bfloat16", "float16")


@dataclass
class RewardModelConfig:
    """What all kinds have."""

    kind: str = text()
    name: str = text()
    normalize: bool | None = MISSING


@dataclass
class ClassifierConfig(RewardModelConfig):
    """A sequence classifier, from anywhere; with several outputs, `label` says which one is the score."""

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
    """How long a response is, or how near to a target."""

    unit: str = choice("words", "characters")
    target: float | None = number(at_least=0)
    weight: float = number()


@dataclass
class PatternConfig:
    """What a match of a regular expression is worth."""

    pattern: str = text()
    weight: float = number()


@dataclass
class RegexConfig(RewardModelConfig):
    """Matches of regular expressions, weighed and counted."""

    patterns: list[PatternConfig] = MISSING
    max_matches: int | None = number(at_least=1)
    timeout: float = number(above=0)


@dataclass
class VaderConfig(RewardModelConfig):
    """The sentiment of a response by VADER's lexicon, between -1 and 1."""


@dataclass
class EncoderConfig(RewardModelConfig):
    """A frozen sentence encoder with a linear head, which is fitted to preference pairs."""

    path: str = text()
    revision: str | None = MISSING
    pypi_wheel: str | None = wheel()
    sha256: str | None = sha256()
    dtype: str = choice(*DTYPES)
    max_length: int = number(at_least=1)
    num_pairs: int = number(at_least=2)
    # A data set's choice, for example human_like_mini; its config once it is read. None: that of the run.
    pairs: Any = MISSING


@dataclass
class EnsembleConfig(RewardModelConfig):
    """Several reward models, brought to a common scale and taken together."""

    # Choices, for example [tiny, vader]; their configs once they are read.
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


def plain_classifier(path: str, name: str, dtype: str) -> ClassifierConfig:
    """A classifier with one output, read by its own template."""
    return ClassifierConfig("classifier", name, None, path, None, dtype, label=None, template=None, max_length=None)
