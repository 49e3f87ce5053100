"""What has become of runs and trials, told one way by all who look at them: states, causes, counts."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# A waiting trial has given its worker to others for now. A run is COMPLETE, too, that was ended because it stayed over
# its KL budget: what it was worth before that stands. A STOPPED one waits or was interrupted, and can go on.
RUNNING, WAITING, COMPLETE, PRUNED, FAILED = "running", "waiting", "complete", "pruned", "failed"
STOPPED, DIVERGED, UNFINISHED = "stopped", "diverged", "unfinished"
# As Optuna calls the ends of a trial -> as we do.
ENDS = {"COMPLETE": COMPLETE, "PRUNED": PRUNED, "FAIL": FAILED}

_BY_STATUS = {"complete": COMPLETE, "stopped": STOPPED, "diverged": DIVERGED, "failed": FAILED}
_BY_REASON = {"pruned": PRUNED, "timeout": FAILED}
_ORDER = (COMPLETE, PRUNED, STOPPED, FAILED, RUNNING, WAITING, UNFINISHED)


def state_of(summary: Mapping[str, Any]) -> str:
    """How a run ended, by what it wrote last: COMPLETE, PRUNED, STOPPED, DIVERGED, FAILED or UNFINISHED."""
    if summary.get("status") == "stopped":
        if summary.get("stop_reason") == "kl_budget":  # what it was worth before that stands
            return COMPLETE if objectives_in(summary) else PRUNED
        return _BY_REASON.get(str(summary.get("stop_reason")), STOPPED)
    return _BY_STATUS.get(str(summary.get("status")), UNFINISHED)


def cause_of(state: str, summary: Mapping[str, Any]) -> str | None:
    """Why a run in such a state failed: out_of_memory, diverged, reward_model, error, timeout ...; else None."""
    if state == DIVERGED:
        return DIVERGED
    cause = summary.get("cause") or summary.get("stop_reason")
    return str(cause or "unknown") if state == FAILED else None


def objectives_in(summary: Mapping[str, Any]) -> list[float] | None:
    """What a run with such a summary is worth, a value for each objective; None where it has none (yet)."""
    values = summary.get("objectives")
    if not isinstance(values, list) or not values:
        values = [summary.get("objective")]
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    try:
        objectives = [float(number) for number in numbers]
    except OverflowError:  # a whole number of hundreds of digits
        return None
    return objectives if len(objectives) == len(values) and all(map(math.isfinite, objectives)) else None


def end_of_trial(trial: Any, runs: Sequence[str | None], num_seeds: int) -> str | None:
    """What a trial has come to; None where it has not ended.

    Args:
        trial: the study's trial, whose word goes before where it has ended there; None where there is no study.
        runs: the states of its runs, one for each seed so far.
        num_seeds: runs that it takes; 0 where that is unknown.
    """
    if trial is not None and trial.state.name in ENDS:
        return ENDS[trial.state.name]
    states = [FAILED if state == DIVERGED else state for state in runs]
    for state in (FAILED, PRUNED, STOPPED, WAITING):
        if state in states:
            return state
    return COMPLETE if len(states) >= max(num_seeds, 1) and set(states) == {COMPLETE} else None


def settings_in(overrides: Iterable[str], keys: Iterable[str]) -> dict[str, str]:
    """What a run's overrides say of keys, without plus signs: key -> text."""
    values = dict(override.lstrip("+").partition("=")[::2] for override in overrides)
    return {key: values[key] for key in keys if key in values}


def counts_text(ends: Iterable[tuple[str, str | None]]) -> str:
    """`9 complete, 2 pruned, 3 failed (2 diverged, 1 error)`; states that nothing is in are left out.

    Args:
        ends: state and cause of each; a cause is told of failures only.
    """
    pairs = [(FAILED, DIVERGED) if state == DIVERGED else (state, cause) for state, cause in ends]
    states = Counter(state for state, _ in pairs)
    causes = Counter(cause or "unknown" for state, cause in pairs if state == FAILED)
    ordered = sorted(causes.items(), key=lambda entry: (-entry[1], entry[0]))
    why = ", ".join(causes if len(causes) == 1 else (f"{number} {cause}" for cause, number in ordered))
    names = [*(state for state in _ORDER if state in states), *sorted(states.keys() - set(_ORDER))]
    return ", ".join(f"{states[name]} {name}" + (f" ({why})" if name == FAILED else "") for name in names)
