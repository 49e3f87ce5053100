"""Labels that fit: what all of them share is left out first, so that those that differ still do."""

from collections.abc import Iterable, Sequence

from rlhf_sweeps.wording import shorten

LONGEST_LABEL = 28  # characters; chosen by looking


def shorten_apart(labels: Sequence[str], longest: int = LONGEST_LABEL) -> list[str]:
    """Labels that differ as these do, and fit if that is possible.

    What all begin or end with is left out before each is shortened; labels that are then alike are shortened less.
    """
    length = longest
    while length < max(map(len, labels), default=0):
        shorter = _shorten(labels, length)
        if len(set(shorter)) == len(set(labels)):
            return shorter
        length += 1 + length // 8
    return list(labels)


def make_short_names(labels: Iterable[str], longest: int = LONGEST_LABEL) -> dict[str, str]:
    """Label -> the same, short; see `shorten_apart`."""
    distinct = list(dict.fromkeys(labels))
    return dict(zip(distinct, shorten_apart(distinct, longest), strict=True))


def list_labels(labels: Sequence[str]) -> str:
    """The first three labels, and how many more there are."""
    return list_first(shorten_apart(labels))


def list_first(texts: Sequence[str]) -> str:
    """The first three texts as they are, and how many more there are."""
    return ", ".join(texts[:3]) + (f" and {len(texts) - 3} more" if len(texts) > 3 else "")


def _shorten(labels: Sequence[str], longest: int) -> list[str]:
    start = _count_shared(labels)
    end = _count_shared([label[start:][::-1] for label in labels])
    room = longest - 2 - max(len(label) - start - end for label in labels)
    if len(set(labels)) > 1 and room >= 0:
        start = max(start - room, 0)  # all are cut alike
        labels = ["…"[:start] + label[start : len(label) - end] + "…"[:end] for label in labels]
    return [shorten(label, longest) for label in labels]


def _count_shared(labels: Sequence[str]) -> int:
    """How many letters all begin with."""
    letters = enumerate(zip(*labels, strict=False))
    return next((place for place, each in letters if len(set(each)) > 1), min(map(len, labels)))
