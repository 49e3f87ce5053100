"""Lines thin enough for a page: at most so many points, and no peak lost."""

from collections.abc import Sequence

import numpy as np

from analysis.output.thinning import telling
from analysis.records.runs import Floats

MAX_POINTS = 200


def thinned(updates: Floats, values: Floats, most: int = MAX_POINTS) -> tuple[Floats, Floats]:
    """A line of at most `most` points that keeps its ends, and the lowest and the highest value of every stretch.

    Args:
        updates, values: (n,) each, finite.
    """
    kept = telling(values, most)
    return updates[kept], values[kept]


def averaged(updates: Floats, *bands: Floats, most: int = MAX_POINTS) -> tuple[Floats, ...]:
    """Means over stretches of a line and of its bands, at most `most` points, so that they still fit each other.

    Args:
        updates: (n,).
        bands: (n,) each, nan where there is none.
    """
    if len(updates) <= most:
        return (updates, *bands)
    edges = np.linspace(0, len(updates), most + 1).astype(int)
    counts = np.diff(edges)
    return tuple(np.add.reduceat(line, edges[:-1]) / counts for line in (updates, *bands))


def points(*lines: Floats) -> Sequence[Sequence[float]]:
    """Lines as lists, for the page."""
    return [line.tolist() for line in lines]
