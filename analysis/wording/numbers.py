"""Numbers and seeds in configs, summaries and tables."""

import math
import re
from typing import Any

_LARGEST_WHOLE = 2**53  # up to which every whole number is a float
_SEED = re.compile(r"([-+]?[0-9]{1,100})(?:\.0*)?")


def convert_number(value: Any) -> float | None:
    """A value of a config or summary as a number; None for anything else, truth values and nan among them."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # a whole number of hundreds of digits
        return None


def convert_whole(value: float) -> float | int:
    """A whole number as such, any other one as it is."""
    return int(value) if math.isfinite(value) and value == int(value) else value


def convert_seed(value: Any) -> int | None:
    """A config's value as a seed: a whole number, as a float or a text, too; None for anything else.

    A float beyond 2^53 is none, since it can be any of several whole numbers.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) <= _LARGEST_WHOLE else None
    match = _SEED.fullmatch(value.strip()) if isinstance(value, str) else None
    return int(match[1]) if match else None
