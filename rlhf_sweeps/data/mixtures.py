"""Mixtures of several data sets, with weights."""

import dataclasses
from collections.abc import Sequence
from typing import TypeVar

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.schema import DatasetConfig
from rlhf_sweeps.data.constants import MOST_EXAMPLES
from rlhf_sweeps.data.counts import Counts, SourceCounts
from rlhf_sweeps.data.split import Example, Split, check_not_empty, count_contradictions, split_source

Item = TypeVar("Item")


def load_split(dataset: DatasetConfig, key: str, with_answers: bool) -> Split:
    """The examples of a data set or of a mixture; arguments and errors are those of `split_source`.

    The training part of a mixture contains every source at least once; sources are repeated until their shares are in
    proportion to their weights. The held-out part contains each example once, ordered so that its first entries keep
    these shares until a source is used up. A prompt that one source holds out is left out of training in all others,
    and an example that several sources have is taken from the first of them. The confirming part is ordered likewise.
    It is empty unless every source has one, since it stands for the whole mixture.
    """
    if dataset.sources:
        split, given = _mix(dataset, key, with_answers), f"{key}.sources"
    else:
        split, given = split_source(dataset, key, with_answers), f"{key}.path={dataset.path}"
    if not split.held_out:
        raise ConfigError(
            f"{given}: no pairs are held out, since all pairs of held-out prompts are bad; "
            "eval_path can name a file to hold out"
        )
    distinct = {id(example): example for example in (*split.train, *split.held_out, *split.confirming)}
    counts = dataclasses.replace(split.counts, num_contradictions=count_contradictions(distinct.values()))
    return dataclasses.replace(split, counts=counts)


def _mix(dataset: DatasetConfig, key: str, with_answers: bool) -> Split:
    keys = [f"{key}.sources[{number}]" for number in range(len(dataset.sources))]
    splits = [split_source(source, its, with_answers) for source, its in zip(dataset.sources, keys, strict=True)]
    splits = _separate(splits)
    for source, its, split in zip(dataset.sources, keys, splits, strict=True):
        check_not_empty(split.train, len(split.held_out), f"{its}.path={source.path}", with_answers)
    weights = [source.weight for source in dataset.sources]
    train = _repeat([split.train for split in splits], weights, keys)
    held_out, confirming = [split.held_out for split in splits], [split.confirming for split in splits]
    if not all(confirming):
        confirming = [[] for _ in splits]
    sources = tuple(
        SourceCounts(source.name, len(repeated), len(split.train), len(split.held_out))
        for source, repeated, split in zip(dataset.sources, train, splits, strict=True)
    )
    prompts = set().union(*(split.held_out_prompts for split in splits))
    counts = sum((split.counts for split in splits), Counts())
    parts = (interleave(train, weights), interleave(held_out, weights), interleave(confirming, weights))
    return Split(parts[0], parts[1], prompts, counts, sources, confirming=parts[2])


def interleave(parts: Sequence[Sequence[Item]], weights: Sequence[float]) -> list[Item]:
    """All items, ordered so that the shares of the parts keep to the weights in every first section of the list.

    The first item of every part comes before the second item of any part; on ties the earlier part comes first.
    """
    places = [
        (number / weights[part], part, number) for part, items in enumerate(parts) for number in range(len(items))
    ]
    return [parts[part][number] for _, part, number in sorted(places)]


def _separate(splits: Sequence[Split]) -> list[Split]:
    """The splits without training examples whose prompt any split holds out, and without examples of earlier splits."""
    all_held_out = set().union(*(split.held_out_prompts for split in splits))
    evaluated = {example.identity for split in splits for example in split.held_out}
    seen: set[tuple[object, ...]] = set()
    apart = []
    for split in splits:
        allowed = [example for example in split.train if example.identity not in all_held_out]
        untouched = [example for example in split.confirming if example.identity not in evaluated]
        parts = (allowed, split.held_out, untouched)
        train, held_out, confirming = (_take_unseen(part, seen) for part in parts)
        num_dropped = sum(map(len, parts)) - len(train) - len(held_out) - len(confirming)
        counts = Counts(num_duplicates=num_dropped, num_shared=len(split.train) - len(allowed))
        counts = split.counts + counts
        apart.append(Split(train, held_out, split.held_out_prompts, counts, confirming=confirming))
    return apart


def _take_unseen(examples: Sequence[Example], seen: set[tuple[object, ...]]) -> list[Example]:
    """The examples that are not in `seen`; they are added to it."""
    fresh = [example for example in examples if (example.identity, example.answers) not in seen]
    seen.update((example.identity, example.answers) for example in fresh)
    return fresh


def _repeat(parts: Sequence[list[Example]], weights: Sequence[float], keys: Sequence[str]) -> list[list[Example]]:
    """Each part repeated, the last time perhaps in part, so that the lengths are in proportion to the weights."""
    scales = [len(part) / weight for part, weight in zip(parts, weights, strict=True)]
    scale = max(scales)  # that of the part that is not repeated
    lengths = [max(len(part), round(scale * weight)) for part, weight in zip(parts, weights, strict=True)]
    if sum(lengths) > MOST_EXAMPLES:
        scarce = scales.index(min(scales))
        times = lengths[scarce] / len(parts[scarce])
        raise ConfigError(
            f"{keys[scarce]}.weight={weights[scarce]:g}: would use each of its {len(parts[scarce])} examples "
            f"{times:.0f} times (allowed: a mixture of at most {MOST_EXAMPLES} examples)"
        )
    return [(part * (length // len(part) + 1))[:length] for part, length in zip(parts, lengths, strict=True)]
