"""Failed trials, their causes, and the part of the search space that they lie in."""

from collections.abc import Callable, Sequence

import numpy as np

from analysis.records.runs import COMPLETE, FAILED, PRUNED, RunRecord, TrialRecord
from analysis.sweep.axes import label_position
from analysis.sweep.settings import View, normalize_settings
from analysis.sweep.thresholds import REGION_CHANCE
from analysis.wording.statements import Statement
from rlhf_sweeps.record import Axis

# Causes that lie in the setting.
OF_SETTING = ("diverged", "out_of_memory")


def find_bad_regions(view: View) -> list[Statement]:
    """Sentences on trials that failed because of their setting, or had no evaluation within the KL budget."""
    kinds: list[tuple[str, Callable[[TrialRecord], bool]]] = [
        (f"ended as {cause}", lambda trial, cause=cause: trial.cause == cause)  # type: ignore[misc]
        for cause in OF_SETTING
    ]
    kinds.append(("had no evaluation within objective.kl_budget", lambda trial: _has_fallen_back(trial.runs)))
    ended = [trial for trial in view.trials if trial.state in (COMPLETE, PRUNED, FAILED)]
    occurring = [(word, bad) for word, is_bad in kinds if any(bad := [is_bad(trial) for trial in ended])]
    return [_describe_region(view, word, ended, np.array(bad), len(occurring)) for word, bad in occurring]


def _has_fallen_back(runs: Sequence[RunRecord]) -> bool:
    """Whether a run fell back on the base policy's score; its summary then has no best evaluation."""
    return any(run.objectives is not None and "best" in run.summary and run.summary["best"] is None for run in runs)


def _describe_region(view: View, word: str, ended: Sequence[TrialRecord], bad: np.ndarray, num_kinds: int) -> Statement:
    """How many trials are bad, and the side of an axis that separates them from the others by more than chance.

    Args:
        num_kinds: of bad trials in this view, which share one rate of false claims with those of all other views.
    """
    num = int(bad.sum())
    text = f"{num} of {len(ended)} trials {word}"
    p_value, axis, is_high = _find_parting_axis(view, ended, bad)
    p_value = min(p_value * num_kinds * view.num_views, 1.0)
    if axis is None or p_value > REGION_CHANCE:
        return Statement(text, {"trials": float(num)})
    places = np.array([axis.position(normalize_settings(trial).get(axis.key)) for trial in ended])
    edge = float(np.nanmin(places[bad]) if is_high else np.nanmax(places[bad]))
    num_inside = int((places >= edge).sum() if is_high else (places <= edge).sum())
    where = f"from {label_position(axis, edge)} on" if is_high else f"up to {label_position(axis, edge)}"
    text += f", all with {axis.key} {where} ({num_inside} trials are in this range)"
    return Statement(text, {"trials": float(num), "trials there": float(num_inside), "p value": p_value})


def _find_parting_axis(view: View, ended: Sequence[TrialRecord], bad: np.ndarray) -> tuple[float, Axis | None, bool]:
    """The smallest p value of Mann and Whitney's test over the axes, corrected for their number; its axis and side."""
    from scipy.stats import mannwhitneyu

    best: tuple[float, Axis | None, bool] = (1.0, None, False)
    for axis in view.axes:
        places = np.array([axis.position(normalize_settings(trial).get(axis.key)) for trial in ended])
        inside, outside = (places[side & np.isfinite(places)] for side in (bad, ~bad))
        if axis.is_numeric and len(inside) and len(outside):
            p_value = min(float(mannwhitneyu(inside, outside).pvalue) * len(view.axes), 1.0)
            if p_value < best[0]:
                best = p_value, axis, float(np.median(inside)) > float(np.median(outside))
    return best
