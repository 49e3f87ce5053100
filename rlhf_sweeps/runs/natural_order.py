"""The order in which people count: run_2 comes before run_10, and lr=0.02 before lr=0.1."""

import re
from decimal import Decimal

_NUMBER = re.compile(r"([0-9]+(?:\.[0-9]+)?(?:e[-+]?[0-9]{1,4})?)")
_NONE = Decimal(-1)


def natural(text: str) -> tuple[list[tuple[str, Decimal]], str]:
    """A key to sort names by: numbers in them count as numbers, everything else as text."""
    *parts, last = _NUMBER.split(text)  # text and numbers by turns, a text last
    pairs = [(before, Decimal(number)) for before, number in zip(parts[::2], parts[1::2], strict=True)]
    return [*pairs, (last, _NONE)], text
