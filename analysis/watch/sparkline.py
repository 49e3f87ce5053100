"""A curve in one line of text."""

from collections.abc import Sequence
from itertools import pairwise

BLOCKS, LETTERS = "▁▂▃▄▅▆▇█", "_.-~=+*#"
_HIGHEST = 1e300  # so that no sum or difference overflows


def sparkline(values: Sequence[float], is_ascii: bool, width: int = 10) -> str:
    """A curve in one line, each character the mean of a stretch; what is not finite is passed over."""
    levels = LETTERS if is_ascii else BLOCKS
    finite = [value for value in values if abs(value) < _HIGHEST]
    if not finite:
        return ""
    size = min(width, len(finite))
    bounds = [len(finite) * index // size for index in range(size + 1)]
    means = [sum(finite[a:b]) / (b - a) for a, b in pairwise(bounds)]
    low, high = min(means), max(means)
    if not high > low:
        return levels[len(levels) // 2] * size
    return "".join(levels[round((mean - low) / (high - low) * (len(levels) - 1))] for mean in means)
