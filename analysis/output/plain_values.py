"""Values as JSON has them, for files and for the page."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def convert_to_plain(value: Any, digits: int | None = None) -> Any:
    """Keys as text, arrays as lists, numbers that are not finite as null, unknown objects as text.

    Args:
        digits: significant ones of a float; None: all.
    """
    if isinstance(value, Mapping):
        return {str(key): convert_to_plain(item, digits) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return convert_to_plain(value.tolist(), digits)
    if isinstance(value, list | tuple):
        return [convert_to_plain(item, digits) for item in value]
    if isinstance(value, float):
        return _round_number(value, digits)
    return value if isinstance(value, bool | str | int) or value is None else str(value)


def _round_number(value: float, digits: int | None) -> float | int | None:
    if not math.isfinite(value):
        return None
    if digits is None:
        return value
    short = float(f"{value:.{digits}g}")
    return int(short) if short == int(short) and abs(short) < 1e15 else short
