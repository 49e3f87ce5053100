"""Preference pairs: two answers to a prompt, one of them preferred."""

from dataclasses import dataclass

from rlhf_sweeps.config.schema import DatasetConfig
from rlhf_sweeps.data.counts import Counts, SourceCounts
from rlhf_sweeps.data.messages import Messages
from rlhf_sweeps.data.mixtures import load_split
from rlhf_sweeps.data.split import Example


@dataclass(frozen=True, slots=True)
class Pair:
    """Two different answers to a prompt, neither empty."""

    prompt: Messages
    chosen: str
    rejected: str


@dataclass(frozen=True)
class Pairs:
    """Preference pairs; no prompt has some in both lists, and none is there twice but in a mixture's training."""

    train: list[Pair]
    held_out: list[Pair]
    counts: Counts
    sources: tuple[SourceCounts, ...] = ()
    noun = "pairs"


def load_pairs(dataset: DatasetConfig, key: str = "dataset") -> Pairs:
    """The preference pairs of a data set or a mixture; those of one prompt are on the side where it is in `Prompts`.

    Arguments and errors are those of `load_prompts`. Two answers that are there in both orders contradict each other:
    they are counted, and kept.
    """
    split = load_split(dataset, key, with_answers=True)
    return Pairs(list(map(_pair, split.train)), list(map(_pair, split.held_out)), split.counts, split.sources)


def _pair(example: Example) -> Pair:
    chosen, rejected = example.answers
    return Pair(example.prompt, chosen, rejected)
