"""Figures as people read them: three significant digits, shares in per cent. CSV, JSON and YAML hold all digits."""

import math

DIGITS = 3  # significant digits of a figure; chosen
_LARGEST_WHOLE = 1e6  # up to which whole numbers are written whole; chosen
_SMALLEST_P = 0.001  # p values below are not told apart; chosen


def format_number(value: float | None, digits: int = DIGITS) -> str:
    """A number with 3 significant digits; whole numbers whole, `-` for none."""
    if value is None or math.isnan(value):
        return "-"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    if value == round(value) and abs(value) < _LARGEST_WHOLE:
        return str(round(value))
    return f"{value:.{digits}g}"


def format_percent(share: float | None, digits: int = DIGITS) -> str:
    """A share of 1 in per cent, without the sign, for a column or a title that has it: `96.3`."""
    return format_number(None if share is None else 100 * share, digits)


def format_share(share: float | None, digits: int = DIGITS) -> str:
    """A share of 1 in per cent: `96.3 %`."""
    return f"{format_percent(share, digits)} %"


def format_interval(low: float, high: float, digits: int = DIGITS) -> str:
    """`[low, high]`, empty where there is none."""
    return "" if math.isnan(low) else f"[{format_number(low, digits)}, {format_number(high, digits)}]"


def format_p_value(value: float) -> str:
    """A p value: `0.0384`, `< 0.001`."""
    return f"< {_SMALLEST_P:g}" if value < _SMALLEST_P else format_number(value)


def compare_p_value(value: float) -> str:
    """A p value within a sentence: `p = 0.0384`, `p < 0.001`."""
    text = format_p_value(value)
    return f"p {text}" if text.startswith("<") else f"p = {text}"
