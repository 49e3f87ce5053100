"""The axes of a sweep as it was run, with all values that were tried, and their labels."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from analysis.sweep.thresholds import LABEL_DIGITS, LOG_FACTOR, MAX_LISTED
from analysis.wording.labels import label_values
from rlhf_sweeps.record import Axis
from rlhf_sweeps.record.axes import INTERVAL, as_number

_QUOTED, _ESCAPED = re.compile(r"'[^']*'|\"[^\"]*\""), re.compile(r"\\(.)")
_WORDS = ("", "null", "true", "false")


def make_axes(space: Sequence[Axis], values: Mapping[str, Iterable[str]]) -> list[Axis]:
    """The axes of a sweep, in the order of the space, then those of other keys that trials had, made from their values.

    The choices of lists are written one way: in ascending order where all are numbers, else in the order given. A list
    of numbers has its ends as bounds.

    Args:
        values: key -> the texts that trials had.
    """
    declared = {axis.key: axis for axis in space}
    keys = dict.fromkeys([*declared, *values])
    axes = [
        _complete_axis(declared.get(key, Axis(key)), key in declared, list(dict.fromkeys(values.get(key, ()))))
        for key in keys
    ]
    return [axis for axis in axes if axis is not None]


def _complete_axis(axis: Axis, is_known: bool, values: list[str]) -> Axis | None:
    if is_known and axis.kind == INTERVAL:
        return axis
    choices = [normalize_text(text) for text in axis.choices]
    # What was tried is on the axis, even where the space was changed afterwards.
    tried = list(dict.fromkeys([*choices, *values]))
    numbers = [as_number(text) for text in tried]
    if not tried:
        return None
    if None in numbers:
        return replace(axis, choices=tuple(tried), low=0.0, high=1.0)
    ordered = sorted(tried, key=float)
    low, high = float(ordered[0]), float(ordered[-1])
    is_log = low > 0 and high / low >= LOG_FACTOR
    if not choices and len(tried) > MAX_LISTED:
        return replace(axis, low=low, high=high, is_log=is_log, is_int=all(map(_is_whole, tried)))
    return replace(axis, choices=tuple(ordered), low=low, high=high, is_log=is_log)


def label_position(axis: Axis, position: float) -> str:
    """The label of the value at a position."""
    return label_positions(axis, [position])[0]


def label_positions(axis: Axis, positions: Sequence[float]) -> list[str]:
    """Labels of the values at several positions; different values have different labels."""
    if axis.choices:
        places = [axis.position(text) for text in axis.choices]
        nearest = [[abs(place - position) for place in places] for position in positions]
        texts = label_choices(axis)
        return [texts[apart.index(min(apart))] for apart in nearest]
    values = [axis.value(position) for position in positions]
    return label_values([round(value) for value in values] if axis.is_int else values, LABEL_DIGITS)


def label_choices(axis: Axis) -> list[str]:
    """Labels of the choices of a list; different choices have different labels."""
    if not axis.is_numeric:
        return list(axis.choices)
    return label_values([int(text) if _is_whole(text) else float(text) for text in axis.choices], LABEL_DIGITS)


def _is_whole(text: str) -> bool:
    return text.lstrip("+-").isdigit()


def normalize_text(value: Any) -> str:
    """A setting as a text that is the same in all trials: `0.10` and `0.1` are the same number.

    A word comes without its quotes, unless it would be a number or another word of Hydra's without them.
    """
    text = str(value).strip()
    number = as_number(text)
    if number is None:
        word = _ESCAPED.sub(r"\1", text[1:-1] if _QUOTED.fullmatch(text) else text)
        return text if as_number(word) is not None or word.lower() in _WORDS else word
    return repr(int(text)) if text.lstrip("-").isdigit() else repr(number)
