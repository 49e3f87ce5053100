"""Fewer points, for figures, tables and what takes long: spread evenly, or so that no peak is lost."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from analysis.records.runs import Floats

Places = NDArray[np.intp]


def pick_evenly(num: int, most: int) -> list[int]:
    """At most so many of `num` places, evenly spread, the first and the last among them."""
    return [int(place) for place in np.linspace(0, num - 1, min(num, most)).round()]


def pick_extremes(values: Floats, most: int) -> Places:
    """At most `most` places of a line: its ends, and the lowest and the highest value of every stretch, (places,).

    Args:
        values: (n,), finite.
    """
    if len(values) <= most:
        return np.arange(len(values))
    edges = np.linspace(0, len(values), max(1, (most - 2) // 2) + 1).astype(int)
    places = [0, len(values) - 1]
    for start, end in pairwise(edges.tolist()):
        places += [start + int(values[start:end].argmin()), start + int(values[start:end].argmax())]
    return np.unique(places)
