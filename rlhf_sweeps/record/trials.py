"""The states of runs and trials, the causes of failures, and their counts in words."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# A WAITING trial has given its worker to other trials for now. A run that was ended because it stayed over its KL
# budget is COMPLETE: its objective from before counts. A STOPPED run waits or was interrupted, and can be continued.
RUNNING, WAITING, COMPLETE, PRUNED, FAILED = "running", "waiting", "complete", "pruned", "failed"
STOPPED, DIVERGED, UNFINISHED = "stopped", "diverged", "unfinished"
# Optuna's names of final states -> ours.
ENDS = {"COMPLETE": COMPLETE, "PRUNED": PRUNED, "FAIL": FAILED}

# What is said of a COMPLETE run or trial whose policy went beyond its KL budget and did not come back.
BEYOND = "beyond the KL budget"

_BY_STATUS = {"complete": COMPLETE, "stopped": STOPPED, "diverged": DIVERGED, "failed": FAILED}
_BY_REASON = {"pruned": PRUNED, "timeout": FAILED}
_ORDER = (COMPLETE, PRUNED, STOPPED, FAILED, RUNNING, WAITING, UNFINISHED)


def read_state(summary: Mapping[str, Any]) -> str:
    """The state of a run with this summary: COMPLETE, PRUNED, STOPPED, DIVERGED, FAILED or UNFINISHED."""
    if summary.get("status") == "stopped":
        if summary.get("stop_reason") == "kl_budget":  # its objective from before the stop counts
            return COMPLETE if read_objectives(summary) else PRUNED
        return _BY_REASON.get(str(summary.get("stop_reason")), STOPPED)
    return _BY_STATUS.get(str(summary.get("status")), UNFINISHED)


def is_beyond_budget(summary: Mapping[str, Any]) -> bool:
    """Whether a run was stopped by its KL budget, or ended beyond it; False where an earlier version did not say it."""
    return summary.get("stop_reason") == "kl_budget" or summary.get("is_beyond_budget") is True


def read_cause(state: str, summary: Mapping[str, Any]) -> str | None:
    """The cause of a failure: out_of_memory, diverged, reward_model, error, timeout ...; None in other states."""
    if state == DIVERGED:
        return DIVERGED
    cause = summary.get("cause") or summary.get("stop_reason")
    return str(cause or "unknown") if state == FAILED else None


def read_objectives(summary: Mapping[str, Any]) -> list[float] | None:
    """A run's objectives by its summary, one value each; None if it has none (yet)."""
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
    """The final state of a trial; None if it has not ended.

    Args:
        trial: the trial in the study, whose final state decides; None if there is no study.
        runs: the states of its runs, one for each seed so far.
        num_seeds: the number of runs that it needs; 0 if unknown.
    """
    if trial is not None and trial.state.name in ENDS:
        return ENDS[trial.state.name]
    states = [FAILED if state == DIVERGED else state for state in runs]
    for state in (FAILED, PRUNED, STOPPED, WAITING):
        if state in states:
            return state
    return COMPLETE if len(states) >= max(num_seeds, 1) and set(states) == {COMPLETE} else None


def read_settings(overrides: Iterable[str], keys: Iterable[str]) -> dict[str, str]:
    """Key (without plus signs) -> text, for those of the keys that a run's overrides set."""
    values = dict(override.lstrip("+").partition("=")[::2] for override in overrides)
    return {key: values[key] for key in keys if key in values}


def format_counts(ends: Iterable[tuple[str, str | None]]) -> str:
    """`9 complete, 2 pruned, 3 failed (2 diverged, 1 error)`; states without a trial are left out.

    Args:
        ends: state and cause of each trial; causes are given for failures, and BEYOND for complete ones.
    """
    pairs = [(FAILED, DIVERGED) if state == DIVERGED else (state, cause) for state, cause in ends]
    states = Counter(state for state, _ in pairs)
    causes = Counter(cause or "unknown" for state, cause in pairs if state == FAILED)
    ordered = sorted(causes.items(), key=lambda entry: (-entry[1], entry[0]))
    why = ", ".join(causes if len(causes) == 1 else (f"{number} {cause}" for cause, number in ordered))
    beyond = sum(state == COMPLETE and cause == BEYOND for state, cause in pairs)
    notes = {FAILED: why, COMPLETE: f"{beyond} {BEYOND}" if beyond else ""}
    names = [*(state for state in _ORDER if state in states), *sorted(states.keys() - set(_ORDER))]
    return ", ".join(f"{states[name]} {name}" + (f" ({notes[name]})" if notes.get(name) else "") for name in names)
