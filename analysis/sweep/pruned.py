"""What pruned trials would have been worth: without them, only the settings that did well would be looked at.

A pruned trial counts as what it was worth at its last report and what complete trials gained from that share of a run
on, in the median. Its uncertainty is how much these differ in that, and half of the gain: a setting that learns slowly
has more of it to come. It is a guess, and nothing but fits is made with it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.records.runs import COMPLETE, PRUNED, Trial
from analysis.sweep.lengths import reports_by_share
from analysis.sweep.thresholds import DEVIATION_PER_MAD, GAIN_UNKNOWN, MIN_COMPLETE


@dataclass(frozen=True)
class Foretold:
    """A pruned trial.

    Attributes:
        value: of its objective, had it gone on.
        deviation: how uncertain that is.
    """

    number: int
    value: float
    deviation: float


def foretold(study: Any, trials: Sequence[Trial], num_objectives: int) -> list[Foretold]:
    """What the pruned among some trials would have been worth; empty with several objectives or without reports."""
    reports = reports_by_share(study, trials) if num_objectives == 1 else {}
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
        gains = [end - reported for report, end in ends if (reported := _at(report, share)) is not None]
        if len(gains) >= MIN_COMPLETE:
            middle = float(np.median(gains))
            spread = DEVIATION_PER_MAD * float(np.median(np.abs(np.array(gains) - middle)))
            deviation = float(np.hypot(spread, GAIN_UNKNOWN * middle))
            estimates.append(Foretold(trial.number, own[share] + middle, deviation))
    return estimates


def _at(report: Mapping[float, float], share: float) -> float | None:
    """The last report up to a share of a run; a trial that ended before it keeps what it had."""
    shares = [reported for reported in report if reported <= share]
    return report[max(shares)] if shares else None
