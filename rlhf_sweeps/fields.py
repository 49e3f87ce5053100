"""What the schemas are made of: fields with ranges and choices, and the one error for a value that cannot work.

A field holds no default: the values live in conf/*.yaml, and neither repeats the other.
"""

import dataclasses
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import field
from typing import Any

from omegaconf import MISSING


class ConfigError(ValueError):
    """A value that the user gave cannot work; the message names the key, what was given and what is allowed."""


class TooLargeError(ConfigError):
    """It does not fit into the memory that there is, however little is done at once."""


def number(
    above: float = -math.inf, at_least: float = -math.inf, below: float = math.inf, at_most: float = math.inf
) -> Any:
    """A required number within the given bounds (NaN and infinity are never allowed)."""
    bounds = {"> ": above, ">= ": at_least, "< ": below, "<= ": at_most}
    allowed = " and ".join(f"{sign}{bound:g}" for sign, bound in bounds.items() if math.isfinite(bound))

    def is_allowed(value: float) -> bool:
        return math.isfinite(value) and above < value < below and at_least <= value <= at_most

    return field(default=MISSING, metadata={"is_allowed": is_allowed, "allowed": allowed or "a finite number"})


def choice(*values: str) -> Any:
    """A required word out of a closed list."""
    return field(
        default=MISSING, metadata={"is_allowed": values.__contains__, "allowed": "one of " + ", ".join(values)}
    )


def text() -> Any:
    """A required text that is not empty."""
    return field(default=MISSING, metadata={"is_allowed": bool, "allowed": "a text that is not empty"})


def device() -> Any:
    """A required torch device, or auto."""
    is_allowed = re.compile(r"auto|cpu|mps|cuda(:\d+)?").fullmatch
    return field(
        default=MISSING,
        metadata={"is_allowed": is_allowed, "allowed": "auto, cpu, cuda, cuda:<number> or mps"},
    )


def out_of_range(node: Any, prefix: str) -> Iterator[str]:
    """One line for every value of a dataclass that is beyond its field's bounds; `prefix` stands before the keys."""
    for entry in dataclasses.fields(node):
        value, key = getattr(node, entry.name), prefix + entry.name
        if dataclasses.is_dataclass(value):
            yield from out_of_range(value, prefix=f"{key}.")
        elif isinstance(value, list):
            for number_of, item in enumerate(value):
                if dataclasses.is_dataclass(item):
                    yield from out_of_range(item, prefix=f"{key}[{number_of}].")
        elif value is not None and "is_allowed" in entry.metadata:
            is_allowed: Callable[[Any], bool] = entry.metadata["is_allowed"]
            if not is_allowed(value):
                yield f"{key}={value}: must be {entry.metadata['allowed']}"
