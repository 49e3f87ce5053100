"""The order of config values: numbers ascending, then text as people count it, rm_2 before rm_10."""

from typing import Any

from analysis.records.runs import as_number
from rlhf_sweeps.record import natural


def place(value: Any) -> tuple[int, float, Any]:
    """What values are sorted by."""
    number = as_number(value)
    return (1, 0.0, natural(str(value))) if number is None else (0, number, natural(""))
