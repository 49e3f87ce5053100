"""One data set: its rows as distinct examples, and which of them are held out."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from rlhf_sweeps.config import DatasetConfig
from rlhf_sweeps.data.counts import Counts, SourceCounts
from rlhf_sweeps.data.messages import (
    Identity,
    Messages,
    RowError,
    digest,
    identity,
    read_answer,
    read_prompt,
    read_shared_prompt,
)
from rlhf_sweeps.data.places import Place, held_out_place, training_place
from rlhf_sweeps.data.readers import read_rows
from rlhf_sweeps.data.rows import BadRows, Columns, Row
from rlhf_sweeps.fields import ConfigError


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt, and where pairs are wanted its chosen and its rejected answer.

    Attributes:
        identity: the prompt but for white space.
    """

    prompt: Messages
    answers: tuple[str, ...]
    identity: Identity


@dataclass(frozen=True)
class Split:
    """Distinct examples; no prompt has some in both parts."""

    train: list[Example]
    held_out: list[Example]
    counts: Counts
    sources: tuple[SourceCounts, ...] = ()


def noun(with_answers: bool) -> str:
    """What errors and the log call examples."""
    return "pairs" if with_answers else "prompts"


def split_source(dataset: DatasetConfig, key: str, with_answers: bool) -> Split:
    """The examples of a data set that is no mixture; without an own evaluation file or split, a tenth is held out.

    The tenth is of the prompts, by their hash, so that it does not depend on the order of the rows; it is in the order
    of the hashes, the rest in the file's.

    Args:
        dataset: where they are.
        key: what stands before its keys in errors.
        with_answers: whether pairs are wanted rather than prompts.

    Raises:
        ConfigError: naming the key, and the file and line where there is one.
    """
    columns = _columns(dataset, key, with_answers)
    own = _read(training_place(dataset, key), columns, dataset, with_answers)
    place = held_out_place(dataset, key)
    if place is None:
        order = sorted(own.digests, key=own.digests.__getitem__)
        kept = set(order[: max(1, len(order) // 10)])
        other, num_shared = own, 0
    else:
        other = _read(place, columns, dataset, with_answers)
        kept = set(other.digests)
        num_shared = sum(example.identity in kept for example in own.examples)
    train = [example for example in own.examples if example.identity not in kept]
    held_out = [example for example in other.examples if example.identity in kept]
    held_out.sort(key=lambda example: other.digests[example.identity])
    check_not_empty(train, len(held_out), f"{key}.path={dataset.path}", with_answers)
    counts = own.counts if place is None else own.counts + other.counts + Counts(num_shared=num_shared)
    return Split(train, held_out, counts)


def check_not_empty(train: list[Example], num_held_out: int, given: str, with_answers: bool) -> None:
    """Refuse a data set that leaves nothing to train on."""
    if not train:
        raise ConfigError(f"{given}: no {noun(with_answers)} are left to train on beside {num_held_out} held out")


def num_contradictions(examples: Iterable[Example]) -> int:
    """How many of some distinct pairs have their answers the other way round in another one: each two count once."""
    found = {(example.identity, example.answers) for example in examples if example.answers}
    return sum((prompt, answers[::-1]) in found for prompt, answers in found) // 2


@dataclass
class _Distinct:
    """The examples of one place, in its order, the first of equal ones."""

    examples: list[Example] = field(default_factory=list)
    # Of each prompt; where it is written in several ways, the smallest, so that it does not matter which comes first.
    digests: dict[Identity, str] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)


def _columns(dataset: DatasetConfig, key: str, with_answers: bool) -> Columns:
    columns = {} if dataset.prompt_column is None else {f"{key}.prompt_column": dataset.prompt_column}
    if with_answers or dataset.prompt_column is None:
        columns |= {f"{key}.chosen_column": dataset.chosen_column, f"{key}.rejected_column": dataset.rejected_column}
    return columns


def _read(place: Place, columns: Columns, dataset: DatasetConfig, with_answers: bool) -> _Distinct:
    bad_rows = BadRows(skip=dataset.bad_rows == "skip")
    found, seen, num_good = _Distinct(), set(), 0
    for where, row in read_rows(place, columns, bad_rows):
        try:
            example = _example(row, dataset, with_answers)
        except RowError as error:
            bad_rows.add(f"{where}: {error}")
            continue
        num_good += 1
        written = digest(example.prompt)
        found.digests[example.identity] = min(written, found.digests.get(example.identity, written))
        if (same := (example.identity, example.answers)) not in seen:
            seen.add(same)
            found.examples.append(example)
    num_bad = bad_rows.num_skipped
    if not num_good:
        if num_bad:
            raise ConfigError(f"{bad_rows.first} (and no other row can be used: all {num_bad} are bad)")
        raise ConfigError(f"{place.given}: holds no {noun(with_answers)}")
    found.counts = Counts(num_good + num_bad, num_bad, num_good - len(found.examples))
    return found


def _example(row: Row, dataset: DatasetConfig, with_answers: bool) -> Example:
    chosen, rejected = row.get(dataset.chosen_column), row.get(dataset.rejected_column)
    if dataset.prompt_column is None:
        prompt = read_shared_prompt(chosen, rejected)
    else:
        prompt = read_prompt(row[dataset.prompt_column])
    if not with_answers:
        return Example(prompt, (), identity(prompt))
    answers = (read_answer(chosen, prompt, "the chosen answer"), read_answer(rejected, prompt, "the rejected answer"))
    if answers[0] == answers[1]:
        raise RowError("the chosen and the rejected answer are the same")
    return Example(prompt, answers, identity(prompt))
