"""Sentences on settings that break objective.constraints, and on those for which this is unknown."""

import math
from collections.abc import Mapping, Sequence

from analysis.wording.statements import format_count, join_words

# The names of a setting's trials or runs, and constraint -> the mean by which they exceed it.
ConstrainedSetting = tuple[Sequence[str], Mapping[str, float]]


def write_constraint_sentences(held: Sequence[ConstrainedSetting], word: str) -> list[str]:
    """Why settings with an objective are not ranked.

    Args:
        held: the settings; an excess of 0 or below: kept, nan: unknown.
        word: trial or run, the word for a setting with one of them.
    """
    broken = [setting for setting in held if any(excess > 0 for excess in setting[1].values())]
    unknown = [setting for setting in held if setting not in broken and any(map(math.isnan, setting[1].values()))]
    lines = []
    if broken:
        limits = dict.fromkeys(text for _, by in broken for text, excess in by.items() if excess > 0)
        verb = "breaks" if len(broken) == 1 else "break"
        lines.append(
            f"{_count_settings(broken, word)} {verb} {join_words(limits)} and cannot win: {_list_names(broken)}"
        )
    if unknown:
        limits = dict.fromkeys(text for _, by in unknown for text, excess in by.items() if math.isnan(excess))
        verb, pronoun = ("keeps", "it") if len(unknown) == 1 else ("keep", "they")
        lines.append(
            f"The record does not show whether {_count_settings(unknown, word)} {verb} {join_words(limits)}, "
            f"so {pronoun} cannot win: {_list_names(unknown)}"
        )
    return lines


def _count_settings(held: Sequence[ConstrainedSetting], word: str) -> str:
    return format_count(len(held), word if all(len(names) == 1 for names, _ in held) else "setting")


def _list_names(held: Sequence[ConstrainedSetting]) -> str:
    """`a, b and c`; for a setting with several names the first, and the number of others."""
    return join_words(
        names[0] if len(names) == 1 else f"{names[0]} with {format_count(len(names) - 1, 'other')}" for names, _ in held
    )
