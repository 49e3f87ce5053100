"""The order in which people count: run_2 comes before run_10."""

import re

_DIGITS = re.compile(r"([0-9]+)")


def natural(text: str) -> tuple[list[tuple[str, tuple[int, str]]], str]:
    """A key to sort names by: numbers in them count as numbers, everything else as text."""
    *texts, last = _DIGITS.split(text)  # text and digits by turns, a text last
    digits = [part.lstrip("0") for part in texts[1::2]]
    numbers = [(len(part), part) for part in digits]  # no int(), which refuses thousands of digits
    return [*zip(texts[::2], numbers, strict=True), (last, (-1, ""))], text
