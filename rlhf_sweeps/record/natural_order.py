"""The order in which people count: run_2 comes before run_10, lr=0.02 before lr=0.1, and v1.9 before v1.10."""

import re
from decimal import Decimal

_VERSION = r"[0-9]+(?:\.[0-9]+){2,}"
_DECIMAL = r"(?:(?<![^\s=(,:_])-)?[0-9]+(?:\.[0-9]+)?(?:e[-+]?[0-9]{1,4})?"
_NUMBER = re.compile(f"({_VERSION}|{_DECIMAL})")
_PAIR = re.compile(r"[0-9]+\.[0-9]+")
_Numbers = tuple[Decimal, ...]


def natural(text: str) -> tuple[list[tuple[str, _Numbers]], str]:
    """A key to sort names by: numbers in them count as numbers, everything else as text.

    Numbers that are joined by points are those of a version, one by one, where there are more than two, or where they
    are part of a name: a letter, `_` or `-` stands right before them. There, what begins with 0 is a decimal number
    all the same (`lr0.02`), unless it is `v0.9`. A minus counts where no name goes before it: at the beginning, or
    after a blank or one of `=(,:_`.
    """
    *parts, last = _NUMBER.split(text)  # text and numbers by turns, a text last
    pairs = [(before, _numbers(before, number)) for before, number in zip(parts[::2], parts[1::2], strict=True)]
    return [*pairs, (last, ())], text


def _numbers(before: str, number: str) -> _Numbers:
    is_named = before[-1:].isalpha() or before[-1:] in ("_", "-")
    is_pair = is_named and _PAIR.fullmatch(number) and (number[:2] != "0." or before[-1:].lower() == "v")
    return tuple(map(Decimal, number.split("."))) if is_pair or number.count(".") > 1 else (Decimal(number),)
