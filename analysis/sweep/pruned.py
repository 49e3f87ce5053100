"""Estimated objectives of pruned trials: without them, fits would see only the settings that did well.

The estimate is the last report of a pruned trial plus the median gain of complete trials from that share of a run on.
Its variance is that of these gains (by their median absolute deviation) plus the square of half the median gain: a
setting that learns slowly has more of its gain to come. Only fits use the estimate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.records.runs import COMPLETE, PRUNED, TrialRecord
from analysis.sweep.lengths import share_reports
from analysis.sweep.thresholds import DEVIATION_PER_MAD, GAIN_UNKNOWN, MIN_COMPLETE


@dataclass(frozen=True)
class PrunedEstimate:
    """A pruned trial.

    Attributes:
        value: the estimate of its objective, had it gone on.
        deviation: the standard deviation of the estimate.
    """

    number: int
    value: float
    deviation: float


def estimate_pruned(study: Any, trials: Sequence[TrialRecord], num_objectives: int) -> list[PrunedEstimate]:
    """The estimated objectives of the pruned trials; empty with several objectives or without reports."""
    reports = share_reports(study, trials) if num_objectives == 1 else {}
    complete = [trial for trial in trials if trial.state == COMPLETE and trial.objectives]
    pairs = [(reports.get(trial.number), float((trial.objectives or [np.nan])[0])) for trial in complete]
    ends = [(report, end) for report, end in pairs if report and np.isfinite(end)]
    if len(ends) < MIN_COMPLETE:
        return []
    estimates = []
    for trial in trials:
        own = reports.get(trial.number)
        if trial.state != PRUNED or not own:
            continue
        share = max(own)
        gains = [end - reported for report, end in ends if (reported := _find_last_report(report, share)) is not None]
        if len(gains) >= MIN_COMPLETE:
            middle = float(np.median(gains))
            spread = DEVIATION_PER_MAD * float(np.median(np.abs(np.array(gains) - middle)))
            deviation = float(np.hypot(spread, GAIN_UNKNOWN * middle))
            estimates.append(PrunedEstimate(trial.number, own[share] + middle, deviation))
    return estimates


def _find_last_report(report: Mapping[float, float], share: float) -> float | None:
    """The last report up to a share of a run; the last of all where the trial ended before."""
    shares = [reported for reported in report if reported <= share]
    return report[max(shares)] if shares else None
