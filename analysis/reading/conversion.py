"""What runs have recorded, as the analysis has it: rows as columns, a nested config flat, an end as a state."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from analysis.objective import Objective, objectives_in
from analysis.records import COMPLETE, DIVERGED, FAILED, PRUNED, STOPPED, UNFINISHED, UPDATE, Floats

_STATES = {"complete": COMPLETE, "stopped": STOPPED, "diverged": DIVERGED, "failed": FAILED}
_STOPS = {"pruned": PRUNED, "timeout": FAILED}


def columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, Floats]:
    """Rows as columns, nan where a row has no number, (rows,) each; columns without any number are left out."""
    names = dict.fromkeys(name for row in rows for name in row)
    found = {name: _floats([row.get(name) for row in rows]) for name in names}
    kept = {name: values for name, values in found.items() if name == UPDATE or not np.isnan(values).all()}
    return {UPDATE: np.empty(0)} | kept


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested config as `group.key` -> value."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def mapping(content: Any) -> Mapping[str, Any]:
    """What a record holds in a place; an empty one where it is anything else."""
    return content if isinstance(content, Mapping) else {}


def state_of(summary: Mapping[str, Any]) -> str:
    """How a run ended, by what it wrote last."""
    if summary.get("status") == "stopped":
        if summary.get("stop_reason") == "kl_budget":  # what it was worth before that stands
            return COMPLETE if objectives_in(summary) else PRUNED
        return _STOPS.get(str(summary.get("stop_reason")), STOPPED)
    return _STATES.get(str(summary.get("status")), UNFINISHED)


def keywords(objective: Objective | None) -> dict[str, Any]:
    """What runs look for, as keywords of `Source`."""
    return {} if objective is None else {"metrics": list(objective.metrics), "directions": list(objective.directions)}


def _floats(values: list[Any]) -> Floats:
    try:
        return np.array(values, dtype=np.float64)  # None becomes nan
    except (TypeError, ValueError, OverflowError):
        return np.array([x if _is_number(x) else np.nan for x in values], dtype=np.float64)


def _is_number(value: Any) -> bool:
    """Whether a float can be this; JSON knows whole numbers without end."""
    return isinstance(value, float) or (isinstance(value, int) and abs(value) <= sys.float_info.max)
