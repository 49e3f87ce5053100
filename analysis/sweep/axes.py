"""What a sweep varies: each swept key with its bounds or choices, and where a value lies between them."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from analysis.labels import labels
from analysis.sweep.space import split_list, swept_keys

_DIGITS = 3  # of a label

# Lists of numbers whose ends are this factor apart are spread by factors, as learning rates are.
_LOG_FACTOR = 10.0
_INTERVAL = re.compile(r"interval\(\s*([^,()]+),\s*([^,()]+)\)")
_QUOTED, _ESCAPED = re.compile(r"'[^']*'|\"[^\"]*\""), re.compile(r"\\(.)")
_WORDS = ("", "null", "true", "false")
_LIST = re.compile(r"(?:choice|shuffle)\((.*)\)", re.DOTALL)


@dataclass(frozen=True)
class Axis:
    """One swept key.

    Attributes:
        key: the Hydra key, without plus signs.
        choices: of a list, as texts: in ascending order where all are numbers, else in the order given; empty for an
            interval.
        low, high: the bounds; of a list of numbers its ends; 0 and 1 for other lists.
        is_log: whether positions count factors rather than differences.
        is_int: whether an interval holds whole numbers only.
    """

    key: str
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 1.0
    is_log: bool = False
    is_int: bool = False

    @property
    def is_interval(self) -> bool:
        """Whether it is drawn from an interval rather than from a list."""
        return not self.choices

    @property
    def is_numeric(self) -> bool:
        """Whether its values have an order: an interval, or a list of numbers."""
        return self.is_interval or all(as_number(text) is not None for text in self.choices)

    @property
    def is_single(self) -> bool:
        """Whether there is nothing to choose."""
        return len(self.choices) == 1 or (self.is_interval and self.low == self.high)

    def position(self, text: str | None) -> float:
        """Where a value lies: 0 at the low end, 1 at the high one; a choice without order by its index; nan if unknown.

        Args:
            text: as the user would type it.
        """
        if text is None:
            return math.nan
        if not self.is_numeric:
            return float(self.choices.index(text)) if text in self.choices else math.nan
        value = as_number(text)
        if value is None or self.low == self.high or (self.is_log and value <= 0):
            return 0.5 if value is not None and self.low == self.high else math.nan
        if self.is_log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def value(self, position: float) -> float:
        """The number at a position; the inverse of `position` for an axis of numbers."""
        if self.is_log:
            return float(self.low * (self.high / self.low) ** position)
        return float(self.low + position * (self.high - self.low))

    def label(self, position: float) -> str:
        """The value at a position, as a reader wants it."""
        return self.labels([position])[0]

    def labels(self, positions: Sequence[float]) -> list[str]:
        """The values at several positions; different ones are told apart."""
        if self.choices:
            places = [self.position(text) for text in self.choices]
            nearest = [[abs(place - position) for place in places] for position in positions]
            return [self.choice_labels[apart.index(min(apart))] for apart in nearest]
        values = [self.value(position) for position in positions]
        return labels([round(value) for value in values] if self.is_int else values, _DIGITS)

    @cached_property
    def choice_labels(self) -> list[str]:
        """Of a list, the choices as a reader wants them; different ones are told apart."""
        if not self.is_numeric:
            return list(self.choices)
        return labels([int(text) if _is_whole(text) else float(text) for text in self.choices], _DIGITS)


def as_number(text: str) -> float | None:
    """The number that a text is; None for other texts, truth values among them."""
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def _is_whole(text: str) -> bool:
    return text.lstrip("+-").isdigit()


def axes_of(space: Mapping[str, str], values: Mapping[str, Iterable[str]]) -> list[Axis]:
    """The axes of a sweep, in the order of the space; of a key without a readable one, what its values tell.

    Args:
        space: key -> text, as sweep.json has it: `tag(log,interval(1e-05,0.001))`, `choice(0.1,0.2)` (see space.py).
        values: key -> the texts that trials had.
    """
    texts = swept_keys(space)
    keys = dict.fromkeys([*texts, *values])
    found = [_axis(key, str(texts.get(key, "")), list(dict.fromkeys(values.get(key, ())))) for key in keys]
    return [axis for axis in found if axis is not None]


def _axis(key: str, text: str, values: list[str]) -> Axis | None:
    interval = _INTERVAL.search(text)
    bounds = [as_number(end.strip()) for end in interval.groups()] if interval else []
    if interval and None not in bounds:
        low, high = sorted(float(bound or 0.0) for bound in bounds)
        tags = re.split(r"[(,]", text[: interval.start()])
        return Axis(key, (), low, high, "log" in tags and low > 0, "int" in tags)
    listed = _LIST.fullmatch(text.strip())
    choices = [plain(item) for item in split_list(listed.group(1))] if listed else []
    # What was tried is on the axis, even where the space was changed afterwards.
    return _list_axis(key, list(dict.fromkeys([*choices, *values])), is_guessed=not choices)


def _list_axis(key: str, choices: list[str], is_guessed: bool) -> Axis | None:
    if not choices:
        return None
    numbers = [as_number(text) for text in choices]
    if None in numbers:
        return Axis(key, tuple(choices))
    ordered = sorted(choices, key=float)
    low, high = float(ordered[0]), float(ordered[-1])
    is_log = low > 0 and high / low >= _LOG_FACTOR
    if is_guessed and len(choices) > 8:  # nobody lists that many; they were drawn from an interval nobody has told
        return Axis(key, (), low, high, is_log, all(text.lstrip("-").isdigit() for text in choices))
    return Axis(key, tuple(ordered), low, high, is_log)


def plain(value: Any) -> str:
    """A setting as text, comparable between trials: `0.10` and `0.1` are the same number.

    A word comes without its quotes, unless it would be a number or another word of Hydra's without them.
    """
    text = str(value).strip()
    found = as_number(text)
    if found is None:
        word = _ESCAPED.sub(r"\1", text[1:-1] if _QUOTED.fullmatch(text) else text)
        return text if as_number(word) is not None or word.lower() in _WORDS else word
    return repr(int(text)) if text.lstrip("-").isdigit() else repr(found)
