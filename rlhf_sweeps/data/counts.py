"""Counts of a data set's rows: used, left out and why; and one line of text about them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from rlhf_sweeps.data.encoding import Encoded


@dataclass(frozen=True)
class Counts:
    """Counts of the rows of a data set, its evaluation file and its confirming file.

    Attributes:
        num_rows: all rows, bad ones included.
        num_bad_rows: unusable rows, which were skipped.
        num_duplicates: rows that repeat an earlier one, in a mixture also one of an earlier source; and confirming rows
            whose prompts are held out.
        num_shared: rows left out of training because one of these files, or another source of a mixture, holds their
            prompt out.
        num_contradictions: preference pairs that occur with their answers swapped, too; they are kept.
    """

    num_rows: int = 0
    num_bad_rows: int = 0
    num_duplicates: int = 0
    num_shared: int = 0
    num_contradictions: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*(mine + its for mine, its in zip(vars(self).values(), vars(other).values(), strict=True)))


@dataclass(frozen=True)
class SourceCounts:
    """The contribution of a source to a mixture.

    Attributes:
        num_train: its entries in the training part, with repeats.
        num_distinct: its entries in the training part, without repeats.
        num_held_out: its entries in the held-out part.
    """

    name: str
    num_train: int
    num_distinct: int
    num_held_out: int


class _Data(Protocol):
    """Prompts or Pairs."""

    @property
    def train(self) -> Sequence[object]: ...
    @property
    def held_out(self) -> Sequence[object]: ...
    @property
    def noun(self) -> str: ...
    @property
    def counts(self) -> Counts: ...
    @property
    def sources(self) -> tuple[SourceCounts, ...]: ...


def describe_counts(
    data: _Data,
    training: Encoded | None = None,
    held_out: Encoded | None = None,
    num_with_control: int = 0,
    confirming: Encoded | None = None,
) -> str:
    """One line for the log: the numbers of examples, and of those left out with the reasons; zeros are not mentioned.

    Args:
        data: prompts or pairs.
        training: the training prompts of an allowed length.
        held_out: the held-out prompts of an allowed length that are evaluated on.
        num_with_control: the number of texts with control tokens, in addition to those that `training` and `held_out`
            count themselves.
        confirming: the confirming prompts of an allowed length, which may be held-out prompts.
    """
    num_train = len(data.train if training is None else training.ids)
    num_held_out = len(data.held_out) if held_out is None else len(held_out.ids) + held_out.num_unread
    # The lengths of the other held-out prompts are unknown.
    evaluated = f" ({len(held_out.ids)} evaluated on)" if held_out is not None and held_out.num_unread else ""
    confirmed = f", {len(confirming.ids)} to confirm" if confirming is not None and confirming.ids else ""
    encoded = [part for part in (training, held_out, confirming) if part is not None]
    counts = data.counts
    left_out = _list_counts(
        (sum(part.num_too_long for part in encoded), "too long", "too long"),
        (sum(part.num_too_short for part in encoded), "too short", "too short"),
        (counts.num_duplicates, "duplicate", "duplicates"),
        (counts.num_bad_rows, "bad row skipped", "bad rows skipped"),
        (counts.num_shared, "for training whose prompt is held out", "for training whose prompts are held out"),
    )
    line = (
        f"{data.noun}: {num_train} to train on, {num_held_out} held out{evaluated}{confirmed}, "
        f"of {_count_rows(counts.num_rows)}"
    )
    if left_out:
        line += f"; left out: {left_out}"
    control = "whose text holds control tokens of the model"
    notes = _list_counts(
        (counts.num_contradictions, "contradiction", "contradictions"),
        (num_with_control + sum(part.num_with_control for part in encoded), control, control),
    )
    if notes:
        line += f"; kept: {notes}"
    if data.sources:
        line += f"; sources: {', '.join(map(_describe_source, data.sources))}"
    return line


def _describe_source(source: SourceCounts) -> str:
    repeats = f" ({source.num_distinct} distinct)" if source.num_distinct < source.num_train else ""
    return f"{source.name} {source.num_train}{repeats} + {source.num_held_out}"


def _list_counts(*parts: tuple[int, str, str]) -> str:
    return ", ".join(f"{num} {singular if num == 1 else plural}" for num, singular, plural in parts if num)


def _count_rows(num: int) -> str:
    return f"{num} row" if num == 1 else f"{num} rows"
