"""How intervals are written."""

from rlhf_sweeps.figures import DIGITS, format_interval, format_number, format_percent
from rlhf_sweeps.verdicts.estimates import Probability

_MOST_DIGITS = 6  # of the ends of a very narrow interval; chosen


def format_probability(probability: Probability) -> str:
    """`0.78 [0.21, 0.98]`."""
    return f"{format_number(probability.value)} {format_interval(probability.low, probability.high)}".rstrip()


def format_estimate(value: float, low: float, high: float, is_rate: bool = False) -> str:
    """`0.7 [0.6, 0.8]`, a rate as `70 % [60, 80]`; without an interval where there is none."""
    if is_rate:
        digits = _choose_digits(100 * value, 100 * low, 100 * high)
        return f"{format_percent(value, digits)} % {format_interval(100 * low, 100 * high, digits)}".rstrip()
    digits = _choose_digits(value, low, high)
    return f"{format_number(value, digits)} {format_interval(low, high, digits)}".rstrip()


def _choose_digits(value: float, low: float, high: float) -> int:
    """Three digits; more, up to 6, only where three do not tell a value from the ends of its interval."""
    for digits in range(DIGITS, _MOST_DIGITS):
        if not low < value < high or len({format_number(number, digits) for number in (low, value, high)}) == 3:
            return digits
    return _MOST_DIGITS
