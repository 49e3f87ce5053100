"""Which trials or runs do not keep objective.constraints, and of which nobody knows, in words."""

import math
from collections.abc import Mapping

from analysis.statements import counted, listed


def constraint_sentences(held: Mapping[str, Mapping[str, float]], word: str) -> list[str]:
    """Why trials or runs that are worth something are not ranked.

    Args:
        held: name -> constraint -> by how much it is broken; 0 and below: kept, nan: unknown.
        word: trial or run.
    """
    broken = [name for name, one in held.items() if any(excess > 0 for excess in one.values())]
    unknown = [name for name, one in held.items() if name not in broken and any(map(math.isnan, one.values()))]
    lines = []
    if broken:
        names = dict.fromkeys(text for name in broken for text, excess in held[name].items() if excess > 0)
        verb = "breaks" if len(broken) == 1 else "break"
        lines.append(f"{counted(len(broken), word)} {verb} {listed(names)} and cannot win: {listed(broken)}")
    if unknown:
        names = dict.fromkeys(text for name in unknown for text, excess in held[name].items() if math.isnan(excess))
        lines.append(
            f"Whether {counted(len(unknown), word)} {'keeps' if len(unknown) == 1 else 'keep'} {listed(names)} is "
            f"unknown, since the record does not tell, so {'it' if len(unknown) == 1 else 'they'} cannot win: "
            f"{listed(unknown)}"
        )
    return lines
