"""Training prompts and held-out prompts, and the order in which updates use them."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from rlhf_sweeps.config.schema import DatasetConfig
from rlhf_sweeps.data.counts import Counts, SourceCounts
from rlhf_sweeps.data.messages import Messages
from rlhf_sweeps.data.mixtures import load_split


@dataclass(frozen=True)
class Prompts:
    """Prompts. None occurs in two lists, and only the training part of a mixture repeats prompts.

    Attributes:
        confirming: see `Split`.
    """

    train: list[Messages]
    held_out: list[Messages]
    counts: Counts
    sources: tuple[SourceCounts, ...] = ()
    confirming: list[Messages] = field(default_factory=list)
    noun = "prompts"


def load_prompts(dataset: DatasetConfig, key: str = "dataset") -> Prompts:
    """The prompts of a data set or a mixture; without an evaluation file or split, a tenth is held out, by hash.

    Lengths are not checked here: `encode` applies min_prompt_length and max_prompt_length of `dataset`; those of a
    mixture's sources are not used.

    Args:
        dataset: the config of the data set.
        key: its key, for errors.

    Raises:
        ConfigError: naming the key, and the file and line where there is one.
    """
    if (prompts := _read_ahead.pop(repr(dataset), None)) is not None:
        return prompts
    split = load_split(dataset, key, with_answers=False)
    parts = (split.train, split.held_out, split.confirming)
    train, held_out, confirming = ([example.prompt for example in part] for part in parts)
    return Prompts(train, held_out, split.counts, split.sources, confirming)


_read_ahead: dict[str, Prompts] = {}


def read_ahead(dataset: DatasetConfig) -> None:
    """Read prompts to check them, and keep them for the next `load_prompts`; raises as `load_prompts`.

    A run's data set is checked before its folder is made, and used when its model is loaded.
    """
    _read_ahead.clear()
    _read_ahead[repr(dataset)] = load_prompts(dataset)


def batch_indices(num_prompts: int, batch_size: int, update: int, seed: int) -> list[int]:
    """The indices of the prompts of an update: every pass over the data has its own permutation, without gaps.

    It is a pure function of its arguments, so a continued run needs no saved position.
    """
    first = (update - 1) * batch_size
    positions = [divmod(position, num_prompts) for position in range(first, first + batch_size)]
    return [_permute(num_prompts, seed, number)[place] for number, place in positions]


@lru_cache(maxsize=1)
def _permute(num_prompts: int, seed: int, number: int) -> Sequence[int]:
    """The order of the prompts in a pass over the data; cached, since drawing can take longer than an update."""
    return random.Random(f"prompts {seed} {number}").sample(range(num_prompts), num_prompts)
