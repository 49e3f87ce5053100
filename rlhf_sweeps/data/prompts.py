"""Prompts to train on and prompts held out, and the order in which updates take them."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from rlhf_sweeps.config.schema import DatasetConfig
from rlhf_sweeps.data.counts import Counts, SourceCounts
from rlhf_sweeps.data.messages import Messages
from rlhf_sweeps.data.mixtures import load_split


@dataclass(frozen=True)
class Prompts:
    """Chat messages that each end on a user turn; none is in both lists, and none twice but in a mixture's training."""

    train: list[Messages]
    held_out: list[Messages]
    counts: Counts
    sources: tuple[SourceCounts, ...] = ()
    noun = "prompts"


def load_prompts(dataset: DatasetConfig, key: str = "dataset") -> Prompts:
    """The prompts of a data set or a mixture; without an own evaluation file or split, a tenth is held out by hash.

    Lengths are no matter here: `encode` leaves prompts out by those of `dataset` itself, and the min_prompt_length and
    max_prompt_length of a mixture's sources are not looked at.

    Args:
        dataset: where the prompts are.
        key: the config key that holds the data set, for errors.

    Raises:
        ConfigError: naming the key, and the file and line where there is one.
    """
    if (prompts := _read_ahead.pop(repr(dataset), None)) is not None:
        return prompts
    split = load_split(dataset, key, with_answers=False)
    train, held_out = ([example.prompt for example in part] for part in (split.train, split.held_out))
    return Prompts(train, held_out, split.counts, split.sources)


_read_ahead: dict[str, Prompts] = {}


def read_ahead(dataset: DatasetConfig) -> None:
    """Check prompts by reading them, and keep them until `load_prompts` is asked for them; raises as that.

    A run's data set is checked before its folder is made, and taken when its model is loaded.
    """
    _read_ahead.clear()
    _read_ahead[repr(dataset)] = load_prompts(dataset)


def batch_indices(num_prompts: int, batch_size: int, update: int, seed: int) -> list[int]:
    """Which prompts an update trains on: a fresh permutation for every pass over the data, no gap between passes.

    A pure function of its arguments, so that a continued run needs no saved position.
    """
    first = (update - 1) * batch_size
    positions = [divmod(position, num_prompts) for position in range(first, first + batch_size)]
    return [_permute(num_prompts, seed, number)[place] for number, place in positions]


@lru_cache(maxsize=1)
def _permute(num_prompts: int, seed: int, number: int) -> Sequence[int]:
    """The order of the prompts in a pass over the data; drawing it anew at every update would take longer than some."""
    return random.Random(f"prompts {seed} {number}").sample(range(num_prompts), num_prompts)
