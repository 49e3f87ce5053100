"""How intervals are written."""

import math

from analysis.wording.statements import format_number
from rlhf_sweeps.verdicts.estimates import Probability


def format_interval(low: float, high: float, digits: int = 3) -> str:
    """`[low, high]`, empty where there is none."""
    return "" if math.isnan(low) else f"[{format_number(low, digits)}, {format_number(high, digits)}]"


def format_probability(probability: Probability) -> str:
    """`0.78 [0.21, 0.98]`."""
    return f"{format_number(probability.value, 2)} {format_interval(probability.low, probability.high, 2)}".rstrip()


def choose_digits(value: float, low: float, high: float) -> int:
    """How many digits tell a value from the ends of its interval: 3, or more where it is narrow, up to 6."""
    width, size = high - low, max(abs(value), abs(low), abs(high))
    if not (0 < width < size):  # also where there is no interval
        return 3
    return min(max(math.ceil(math.log10(size / width)) + 2, 3), 6)
