"""Sentences about a record, each with the numbers behind it."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from rlhf_sweeps.figures import format_number


@dataclass(frozen=True)
class Statement:
    """One sentence, without a full stop, and the numbers behind it.

    Attributes:
        text: in plain words.
        evidence: name -> number; names say unit and meaning, such as `peak update`.
        command: what to type, for a shell; empty without one.
    """

    text: str
    evidence: Mapping[str, float] = field(default_factory=dict)
    command: str = ""


def format_setting(text: str, digits: int = 4) -> str:
    """A setting as a label: a long number with so many digits; whole numbers and any other text as they are."""
    try:
        is_short = len(text) <= 6 or text.lstrip("+-").isdigit()
        return text if is_short else format_number(float(text), digits)
    except ValueError:
        return text


def capitalize(text: str, names: Collection[str] = ()) -> str:
    """With a capital first letter, unless the first word is a key or one of the names."""
    first = text.split(" ", 1)[0].rstrip(",:;")
    return text[:1].upper() + text[1:] if first.replace("-", "").isalpha() and first not in names else text


def clip_text(text: str, length: int) -> str:
    """At most so many characters."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def format_duration(seconds: float) -> str:
    """`35 s`, `12 min`, `3.4 h`."""
    if seconds >= 2 * 3600:
        return f"{format_number(seconds / 3600)} h"
    size, unit = (seconds, "s") if seconds < 120 else (seconds / 60, "min")
    return f"{size:.0f} {unit}" if size >= 10 else f"{format_number(size, 2)} {unit}"


def format_count(num: int, word: str, several: str = "") -> str:
    """`1 run`, `2 runs`."""
    return f"{num:,} {word if num == 1 else several or word + 's'}"


def join_words(words: Iterable[str], limit: int = 8) -> str:
    """`a, b and c`; beyond the limit, the number of the others."""
    words = list(words)
    if len(words) > limit:
        return f"{', '.join(words[:limit])} and {len(words) - limit} more"
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
