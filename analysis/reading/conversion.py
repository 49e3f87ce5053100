"""Records in the form of the analysis: rows as columns, a nested config as a flat one."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from analysis.records.objective import Objective
from analysis.records.runs import UPDATE, Floats


def make_columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, Floats]:
    """Rows as columns, nan where a row has no number, (rows,) each; columns without any number are left out."""
    names = dict.fromkeys(name for row in rows for name in row)
    arrays = {name: _make_float_array([row.get(name) for row in rows]) for name in names}
    filled = {name: values for name, values in arrays.items() if name == UPDATE or not np.isnan(values).all()}
    return {UPDATE: np.empty(0)} | filled


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested config as `group.key` -> value."""
    flattened: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            flattened |= flatten(value, f"{prefix}{key}.")
        else:
            flattened[f"{prefix}{key}"] = value
    return flattened


def make_keywords(objective: Objective | None) -> dict[str, Any]:
    """An objective as keywords of `Source`; none without one."""
    return {} if objective is None else {"metrics": list(objective.metrics), "directions": list(objective.directions)}


def _make_float_array(values: list[Any]) -> Floats:
    try:
        return np.array(values, dtype=np.float64)  # None becomes nan
    except (TypeError, ValueError, OverflowError):
        return np.array([x if _is_number(x) else np.nan for x in values], dtype=np.float64)


def _is_number(value: Any) -> bool:
    """Whether a float can hold the value; JSON has whole numbers of any size."""
    return isinstance(value, float) or (isinstance(value, int) and abs(value) <= sys.float_info.max)
