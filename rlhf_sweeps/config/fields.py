"""Fields of the schemas, with ranges and choices, and the error for a value that cannot work.

A field has no default: all values stand in conf/*.yaml.
"""

import dataclasses
import math
import os
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import field
from typing import Any

from omegaconf import MISSING

from rlhf_sweeps.record import hide
from rlhf_sweeps.wording import suggest

LONGEST_NAME = 255  # bytes of a file's or a folder's name, on all usual file systems
_LONGEST_PART = 220  # bytes of a part of such a name: a time stands before it, and a number after it
_SEPARATORS = [separator for separator in (os.sep, os.altsep) if separator]  # of a path's parts, on this system
_LONGEST_SHOWN = 200  # characters of a value in a message; chosen
# The metadata of a field whose values are numbers or words of a fixed list: none of them can be a secret.
CLOSED = {"is_closed": True}
WANDB_PROJECT = "1 to 128 characters without / \\ # ? % :"
PART_OF_PATH = f"a text without {' and '.join(_SEPARATORS)} and control characters, of 1 to {_LONGEST_PART} bytes"


class ConfigError(ValueError):
    """A value of the user cannot work; the message names the key, the given value and the allowed ones."""


class TooLargeError(ConfigError):
    """A model does not fit into memory, even with a batch of one sequence."""


def number(
    above: float = -math.inf, at_least: float = -math.inf, below: float = math.inf, at_most: float = math.inf
) -> Any:
    """A required number within the given bounds (NaN and infinity are never allowed)."""
    bounds = {"> ": above, ">= ": at_least, "< ": below, "<= ": at_most}
    allowed = " and ".join(f"{sign}{bound:g}" for sign, bound in bounds.items() if math.isfinite(bound))

    def is_allowed(value: float) -> bool:
        return math.isfinite(value) and above < value < below and at_least <= value <= at_most

    return field(default=MISSING, metadata={"is_allowed": is_allowed, "allowed": allowed or "a finite number"} | CLOSED)


def choice(*values: str) -> Any:
    """A required word from a fixed list."""
    return field(
        default=MISSING,
        metadata={"is_allowed": values.__contains__, "allowed": "one of " + ", ".join(values), "words": values}
        | CLOSED,
    )


def text() -> Any:
    """A required text that is not empty."""
    return field(default=MISSING, metadata={"is_allowed": bool, "allowed": "a text that is not empty"})


def wandb_project() -> Any:
    """A required name that W&B takes for a project, or null."""
    return field(default=MISSING, metadata={"is_allowed": is_wandb_project, "allowed": f"null, or {WANDB_PROJECT}"})


def is_wandb_project(name: str) -> bool:
    """Whether W&B takes a name for a project."""
    return re.fullmatch(r"[^/\\#?%:]{1,128}", name, re.DOTALL) is not None


def part_of_path() -> Any:
    """A required text that becomes a part of a folder's name."""
    return field(default=MISSING, metadata={"is_allowed": is_part_of_path, "allowed": PART_OF_PATH})


def is_part_of_path(name: str) -> bool:
    """Whether a text can be a part of a folder's name."""
    is_odd = any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in name)
    return not is_odd and not set(name) & set(_SEPARATORS) and 1 <= len(os.fsencode(name)) <= _LONGEST_PART


def format_value(value: Any) -> str:
    """A value as text for a message: one line, of limited length, secrets masked."""
    text = hide(str(value) if str(value).isprintable() else repr(value))
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def wheel() -> Any:
    """A wheel on PyPI, by name and version; nothing that pip would read as an option, a URL or a path is allowed."""
    is_allowed = re.compile(r"[A-Za-z0-9][\w.-]*==[A-Za-z0-9][\w.!+-]*").fullmatch
    return field(default=MISSING, metadata={"is_allowed": is_allowed, "allowed": "NAME==VERSION of a wheel on PyPI"})


def sha256() -> Any:
    """A SHA-256 digest in hexadecimal digits."""
    is_allowed = re.compile(r"[0-9a-fA-F]{64}").fullmatch
    return field(default=MISSING, metadata={"is_allowed": is_allowed, "allowed": "64 hexadecimal digits"})


def device() -> Any:
    """A required torch device, or auto."""
    is_allowed = re.compile(r"auto|cpu|mps|cuda(:\d+)?").fullmatch
    return field(
        default=MISSING,
        metadata={"is_allowed": is_allowed, "allowed": "auto, cpu, cuda, cuda:<number> or mps"} | CLOSED,
    )


def find_out_of_range(node: Any, prefix: str) -> Iterator[str]:
    """One line for every value of a dataclass that its field does not allow; `prefix` stands before the keys."""
    for entry in dataclasses.fields(node):
        value, key = getattr(node, entry.name), prefix + entry.name
        if dataclasses.is_dataclass(value):
            yield from find_out_of_range(value, prefix=f"{key}.")
        elif isinstance(value, list):
            for index, item in enumerate(value):
                if dataclasses.is_dataclass(item):
                    yield from find_out_of_range(item, prefix=f"{key}[{index}].")
                elif entry.type == list[str] and not isinstance(item, str):  # OmegaConf lets lists within a list pass
                    yield f"{key}[{index}]={format_value(item)}: must be a text"
        elif value is not None and "is_allowed" in entry.metadata:
            is_allowed: Callable[[Any], bool] = entry.metadata["is_allowed"]
            if not is_allowed(value):
                near = suggest(str(value), entry.metadata.get("words", ()))
                finite = "finite and " if isinstance(value, float) and math.isinf(value) else ""
                yield f"{key}={format_value(value)}: must be {finite}{entry.metadata['allowed']}{near}"
