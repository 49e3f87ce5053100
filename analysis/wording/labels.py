"""Config values for readers: their labels, which of them are equal, and their order. Labels alone are rounded."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from analysis.wording.numbers import convert_number
from analysis.wording.statements import format_setting
from rlhf_sweeps.figures import format_number
from rlhf_sweeps.record import natural_key

_DIGITS = 4  # of a number, more where two labels would be the same; chosen by looking
_MOST_DIGITS = 16  # beyond, a number is written as Python does, which tells any two apart
Key = TypeVar("Key", bound=Hashable)


def make_identity(value: Any) -> Hashable:
    """A key that equal values share: 1 and 1.0 are equal; 1, "1" and true are not."""
    if isinstance(value, list | tuple):
        return ("list", *map(make_identity, value))
    if isinstance(value, bool) or value is None:
        return ("word", value)
    if isinstance(value, int | float):
        return ("number", value if value == value else "nan")
    return ("text", str(value))


def make_order_key(value: Any) -> tuple[int, float, Any]:
    """A key to sort values by: numbers ascending, then texts in their natural order, rm_2 before rm_10."""
    as_float = convert_number(value)
    return (1, 0.0, natural_key(str(value))) if as_float is None else (0, as_float, natural_key(""))


def label_value(value: Any, digits: int = _DIGITS) -> str:
    """A config value as a label: whole numbers whole, others with so many digits."""
    if isinstance(value, bool) or value is None:
        return str(value).lower() if value is not None else "none"
    if isinstance(value, int):
        return str(value)
    return format_number(value, digits) if isinstance(value, float) else str(value)


def write_exactly(value: Any) -> str:
    """A config value as a setting, with all of its digits."""
    return label_value(value) if isinstance(value, bool) or value is None else str(value)


def label_values(values: Sequence[Any], digits: int = _DIGITS) -> list[str]:
    """A label for each value; different values have different labels, with as many digits as that takes."""
    distinct = {make_identity(value): value for value in values}
    label_of = _tell_apart(distinct, lambda key, digits: label_value(distinct[key], digits), digits)
    # 1 and "1" look alike, and then "1" and "'1'".
    while alike := [key for key in _select_repeated(label_of) if label_of[key] != repr(distinct[key])]:
        label_of |= {key: repr(distinct[key]) for key in alike}
    return [label_of[make_identity(value)] for value in values]


def label_settings(texts: Iterable[str]) -> dict[str, str]:
    """Labels of settings as a user types them: text -> label; different texts have different labels."""
    label_of = _tell_apart(dict.fromkeys(texts), format_setting)
    return label_of | {text: text for text in _select_repeated(label_of)}


def _tell_apart(keys: Iterable[Key], label: Callable[[Key, int], str], digits: int = _DIGITS) -> dict[Key, str]:
    label_of = {key: label(key, digits) for key in keys}
    while (repeated := _select_repeated(label_of)) and digits < _MOST_DIGITS:
        digits += 1
        label_of |= {key: label(key, digits) for key in repeated}
    return label_of


def _select_repeated(label_of: Mapping[Key, str]) -> dict[Key, str]:
    """The labels that several keys have."""
    counts = Counter(label_of.values())
    return {key: label for key, label in label_of.items() if counts[label] > 1}
