"""Preference pairs: two answers to a prompt, one of them preferred."""

from dataclasses import dataclass

from rlhf_sweeps.config.schema import DatasetConfig
from rlhf_sweeps.data.counts import Counts, SourceCounts
from rlhf_sweeps.data.messages import Messages
from rlhf_sweeps.data.mixtures import load_split
from rlhf_sweeps.data.split import Example


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """Two different answers to a prompt, neither empty."""

    prompt: Messages
    chosen: str
    rejected: str


@dataclass(frozen=True)
class PreferencePairs:
    """Preference pairs. No prompt occurs in both lists, and only the training part of a mixture repeats pairs."""

    train: list[PreferencePair]
    held_out: list[PreferencePair]
    counts: Counts
    sources: tuple[SourceCounts, ...] = ()
    noun = "pairs"


def load_pairs(dataset: DatasetConfig, key: str = "dataset") -> PreferencePairs:
    """The preference pairs of a data set or a mixture; a prompt's pairs are held out if `load_prompts` holds it out.

    Arguments and errors are those of `load_prompts`. Two pairs with the same answers in opposite order contradict each
    other: they are counted and kept.
    """
    split = load_split(dataset, key, with_answers=True)
    return PreferencePairs(
        list(map(_make_pair, split.train)), list(map(_make_pair, split.held_out)), split.counts, split.sources
    )


def _make_pair(example: Example) -> PreferencePair:
    chosen, rejected = example.answers
    return PreferencePair(example.prompt, chosen, rejected)
