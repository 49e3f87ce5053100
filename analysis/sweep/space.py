"""What sweep.json says of a swept parameter: what it may be, the keys that move along, and when it is searched.

`choice(1e-05,0.0001) with ppo.clip_range=choice(0.1,0.2) if reward_model=tiny,vader and model=smollm2`
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_TIE, _NEED, _ANOTHER = " with ", " if ", " and "


@dataclass(frozen=True)
class Swept:
    """One parameter.

    Attributes:
        own: what it may be: a list or an interval, as text.
        tied: key that moves along with it -> what that may be.
        when: other parameter -> values at which this one is searched; empty: always.
    """

    own: str
    tied: Mapping[str, str]
    when: Mapping[str, tuple[str, ...]]


def parse(text: str) -> Swept:
    """The parts of a description; words within brackets or quotes part nothing."""
    swept, _, needed = _partition(text, _NEED)
    own, *others = _split(swept, _TIE)
    tied = dict(other.partition("=")[::2] for other in others)
    needs = dict(need.partition("=")[::2] for need in _split(needed, _ANOTHER)) if needed else {}
    return Swept(own.strip(), tied, {key: tuple(split_list(values)) for key, values in needs.items()})


def swept_keys(space: Mapping[str, str]) -> dict[str, str]:
    """Key without plus signs -> what it may be, keys that move along with others right after these."""
    found: dict[str, str] = {}
    for key, text in space.items():
        swept = parse(text)
        found |= {key.lstrip("+"): swept.own} | {name.lstrip("+"): own for name, own in swept.tied.items()}
    return found


def split_list(text: str) -> list[str]:
    """The items of a list in Hydra's syntax: commas within brackets or quotes do not part them."""
    items = [item.strip() for item in _split(text, ",")]
    return items[:-1] if items[-1] == "" else items


def _split(text: str, word: str) -> list[str]:
    parts, rest = [], text
    while True:
        part, found, rest = _partition(rest, word)
        parts.append(part)
        if not found:
            return parts


def _partition(text: str, word: str) -> tuple[str, str, str]:
    """As str.partition, at the first place that is outside of brackets and quotes."""
    for place in _outside(text):
        if text.startswith(word, place):
            return text[:place], word, text[place + len(word) :]
    return text, "", ""


def _outside(text: str) -> Iterator[int]:
    """The places outside of brackets and quotes whose character stands for itself."""
    depth, quote, is_escaped = 0, "", False
    for place, char in enumerate(text):
        if is_escaped:
            is_escaped = False
        elif char == "\\":
            is_escaped = True
        elif quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        else:
            depth += (char in "([{") - (char in ")]}")
            if depth == 0:
                yield place
