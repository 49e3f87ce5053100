"""Sentences about a record, each with the numbers behind it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Statement:
    """One sentence, without a full stop, and the numbers that it rests on.

    Attributes:
        text: in plain words.
        evidence: name -> number; names say unit and meaning, such as `peak update`.
    """

    text: str
    evidence: Mapping[str, float] = field(default_factory=dict)


def number(value: float | None, digits: int = 3) -> str:
    """A number as a reader wants it: 3 significant digits, whole numbers whole, `-` for none."""
    if value is None or math.isnan(value):
        return "-"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    if value == round(value) and abs(value) < 1e6:
        return str(round(value))
    return f"{value:.{digits}g}"
