"""Axes that always move along with another one: they are no axes of their own."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from analysis.records.runs import Floats
from analysis.sweep.thresholds import SAME_POSITION
from rlhf_sweeps.record import Axis


def untie_axes(axes: Sequence[Axis], rows: Sequence[Mapping[str, str]]) -> tuple[list[Axis], dict[str, str]]:
    """The axes that do not always move along with another one; and each other axis -> the axis that it follows."""
    keys = {axis.key for axis in axes}
    leaders = {axis.key: axis.tied_to.lstrip("+") for axis in axes if axis.tied_to is not None}
    tied = {name: key for name, key in leaders.items() if {name, key} <= keys and _are_tied(rows, name, key)}
    leading: list[Axis] = []
    columns: list[Floats] = []
    for axis in axes:
        if axis.key in tied:
            continue
        column = np.array([_locate_text(axis, row.get(axis.key)) for row in rows])
        same = [
            k
            for k, other in enumerate(columns)
            if np.allclose(column, other, atol=SAME_POSITION, rtol=0, equal_nan=True)
        ]
        if same and len(set(column.tolist())) > 1:
            tied[axis.key] = leading[same[0]].key
        else:
            leading.append(axis)
            columns.append(column)
    return leading, tied


def _are_tied(rows: Sequence[Mapping[str, str]], key: str, other: str) -> bool:
    """Whether two keys' values belong together one to one; a space that was changed may have had other ties before."""
    pairs = {(row.get(key), row.get(other)) for row in rows}
    return len(pairs) == len({value for value, _ in pairs}) == len({value for _, value in pairs})


def _locate_text(axis: Axis, text: str | None) -> float:
    """Of a list the index, since tied lists have their own values; of an interval the position."""
    if axis.is_interval or text is None:
        return axis.position(text)
    return float(axis.choices.index(text)) if text in axis.choices else math.nan
