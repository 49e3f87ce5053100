"""Which settings do not keep objective.constraints, and of which nobody knows, in words."""

import math
from collections.abc import Mapping, Sequence

from analysis.wording.statements import counted, listed

# The names of the trials or runs of a setting, and constraint -> by how much they break it in the mean.
Held = tuple[Sequence[str], Mapping[str, float]]


def constraint_sentences(held: Sequence[Held], word: str) -> list[str]:
    """Why settings that are worth something are not ranked.

    Args:
        held: of each setting; 0 and below: kept, nan: unknown.
        word: trial or run, which a setting is where it has one.
    """
    broken = [setting for setting in held if any(excess > 0 for excess in setting[1].values())]
    unknown = [setting for setting in held if setting not in broken and any(map(math.isnan, setting[1].values()))]
    lines = []
    if broken:
        limits = dict.fromkeys(text for _, by in broken for text, excess in by.items() if excess > 0)
        verb = "breaks" if len(broken) == 1 else "break"
        lines.append(f"{_counted(broken, word)} {verb} {listed(limits)} and cannot win: {_named(broken)}")
    if unknown:
        limits = dict.fromkeys(text for _, by in unknown for text, excess in by.items() if math.isnan(excess))
        is_one = len(unknown) == 1
        lines.append(
            f"Whether {_counted(unknown, word)} {'keeps' if is_one else 'keep'} {listed(limits)} is unknown, since the "
            f"record does not tell, so {'it' if is_one else 'they'} cannot win: {_named(unknown)}"
        )
    return lines


def _counted(held: Sequence[Held], word: str) -> str:
    return counted(len(held), word if all(len(names) == 1 for names, _ in held) else "setting")


def _named(held: Sequence[Held]) -> str:
    """`a, b and c`; of a setting with several the first one and how many more."""
    return listed(
        names[0] if len(names) == 1 else f"{names[0]} with {counted(len(names) - 1, 'other')}" for names, _ in held
    )
