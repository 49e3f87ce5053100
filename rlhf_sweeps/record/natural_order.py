"""Natural order of names: run_2 comes before run_10, lr=0.02 before lr=0.1, and v1.9 before v1.10."""

import re
from decimal import Decimal

_VERSION = r"[0-9]+(?:\.[0-9]+){2,}"
_DECIMAL = r"(?:(?<![^\s=(,:_])-)?[0-9]+(?:\.[0-9]+)?(?:e[-+]?[0-9]{1,4})?"
_NUMBER = re.compile(f"({_VERSION}|{_DECIMAL})")
_PAIR = re.compile(r"[0-9]+\.[0-9]+")
_Numbers = tuple[Decimal, ...]


def natural_key(text: str) -> tuple[list[tuple[str, _Numbers]], str]:
    """A key for sorting names: numbers in a name are compared as numbers, everything else as text.

    Numbers joined by points are a version, whose parts are compared one by one, if there are more than two of them
    (`1.2.10`), or if a letter, `_` or `-` stands right before them (`v1.10`). A name's number that begins with `0.` is
    a decimal number (`lr0.02`), unless the letter is v (`v0.9`). A minus belongs to the number at the beginning of the
    name, and after a blank or one of `=(,:_`.
    """
    *parts, last = _NUMBER.split(text)  # texts and numbers alternate; the last part is a text
    pairs = [(before, _read_numbers(before, number)) for before, number in zip(parts[::2], parts[1::2], strict=True)]
    return [*pairs, (last, ())], text


def _read_numbers(before: str, number: str) -> _Numbers:
    is_named = before[-1:].isalpha() or before[-1:] in ("_", "-")
    is_pair = is_named and _PAIR.fullmatch(number) and (number[:2] != "0." or before[-1:].lower() == "v")
    return tuple(map(Decimal, number.split("."))) if is_pair or number.count(".") > 1 else (Decimal(number),)
