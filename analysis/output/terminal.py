"""Tables and sentences for the terminal, at most 120 columns wide."""

import math
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from analysis.wording.statements import number
from rlhf_sweeps.verdicts.estimates import Probability
from rlhf_sweeps.wording import WIDTH, in_columns, short

LONGEST_LABEL = 28


def told_apart(labels: Sequence[str], longest: int = LONGEST_LABEL) -> list[str]:
    """Labels that differ as these do, and fit if that is possible.

    What all begin or end with is left out before each is shortened; what is then alike is shortened less.
    """
    length = longest
    while length < max(map(len, labels), default=0):
        found = _shortened(labels, length)
        if len(set(found)) == len(set(labels)):
            return found
        length += 1 + length // 8
    return list(labels)


def shortened(labels: Iterable[str], longest: int = LONGEST_LABEL) -> dict[str, str]:
    """Label -> the same, short; see `told_apart`."""
    distinct = list(dict.fromkeys(labels))
    return dict(zip(distinct, told_apart(distinct, longest), strict=True))


def _shortened(labels: Sequence[str], longest: int) -> list[str]:
    start = _num_shared(labels)
    end = _num_shared([label[start:][::-1] for label in labels])
    room = longest - 2 - max(len(label) - start - end for label in labels)
    if len(set(labels)) > 1 and room >= 0:
        start = max(start - room, 0)  # all are cut alike
        labels = ["…"[:start] + label[start : len(label) - end] + "…"[:end] for label in labels]
    return [short(label, longest) for label in labels]


def _num_shared(labels: Sequence[str]) -> int:
    """How many letters all begin with."""
    letters = enumerate(zip(*labels, strict=False))
    return next((place for place, each in letters if len(set(each)) > 1), min(map(len, labels)))


def listed(labels: Sequence[str]) -> str:
    """The first three labels, and how many more there are."""
    names = told_apart(labels)[:3]
    return ", ".join(names) + (f" and {len(labels) - 3} more" if len(labels) > 3 else "")


def interval(low: float, high: float, digits: int = 3) -> str:
    """`[low, high]`, empty where there is none."""
    return "" if low != low else f"[{number(low, digits)}, {number(high, digits)}]"


def probability_text(found: Probability) -> str:
    """`0.78 [0.21, 0.98]`."""
    return f"{number(found.value, 2)} {interval(found.low, found.high, 2)}".rstrip()


def digits_of(value: float, low: float, high: float) -> int:
    """How many digits tell a value from the ends of its interval: 3, or more where it is narrow, up to 6."""
    width, size = high - low, max(abs(value), abs(low), abs(high))
    if not (0 < width < size):  # also where there is no interval
        return 3
    return min(max(math.ceil(math.log10(size / width)) + 2, 3), 6)


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns; those that are empty below the first row are left out, and no line is longer than WIDTH."""
    kept = [column for column in zip(*rows, strict=True) if any(column[1:])]
    for text in in_columns(list(zip(*kept, strict=True))):
        yield text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"


def wrapped(text: str) -> Iterator[str]:
    """Lines of at most WIDTH columns; what goes on is indented by two more than the first."""
    yield from textwrap.wrap(text, WIDTH, subsequent_indent=" " * (len(text) - len(text.lstrip()) + 2))
