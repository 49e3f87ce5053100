"""The metrics of a run as series, which the rules of health take, and a finding, which they give."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from analysis.records.held_out_kl import select_held_out_kl
from analysis.records.runs import TOO_LARGE, Floats, RunRecord, convert_number
from rlhf_sweeps.verdicts.series import Series


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with a run, or wants a look.

    Attributes:
        kind: what it is, in two or three words: `KL blow-up`; the same words for all runs.
        update: where it begins; None where there is no such update.
        text: a sentence without a full stop.
        evidence: name -> number.
        advice: what usually helps, with the config keys to change.
    """

    kind: str
    update: int | None
    text: str
    evidence: Mapping[str, float] = field(default_factory=dict)
    advice: str = ""


def read_series(run: RunRecord, *metrics: str) -> Series:
    """The first of some metrics that a run has; empty if it has none."""
    for metric in metrics:
        updates, values = run.select_points(metric)
        is_usable = np.abs(values) < TOO_LARGE
        if is_usable.any():
            return Series(updates[is_usable], values[is_usable])
    return Series(np.empty(0), np.empty(0))


def read_held_out_kl(run: RunRecord) -> tuple[Series, Series]:
    """The KL of the evaluations and its upper bound, on the same updates; see `select_held_out_kl`."""
    updates, kls, bounds = select_held_out_kl(run)
    is_usable = (np.abs(kls) < TOO_LARGE) & (np.abs(bounds) < TOO_LARGE)
    return Series(updates[is_usable], kls[is_usable]), Series(updates[is_usable], bounds[is_usable])


def read_together(run: RunRecord, *metrics: str) -> tuple[Floats, list[Floats]]:
    """Several metrics on the updates that have all of them; empty if one is missing."""
    if any(metric not in run.metrics for metric in metrics):
        return np.empty(0), [np.empty(0) for _ in metrics]
    columns = [run.metrics[metric] for metric in metrics]
    is_there = np.logical_and.reduce([np.abs(column) < TOO_LARGE for column in columns])  # not nan either
    return run.updates[is_there], [column[is_there] for column in columns]


def read_config_value(run: RunRecord, key: str) -> float | None:
    """A config value that is a finite number; None for anything else."""
    return convert_number(run.config.get(key))


def advise_best_evaluation(run: RunRecord) -> list[str]:
    """That model/ holds the best evaluation; empty if the record says that none counted, so that it holds the last."""
    is_lost = "best" in run.summary and run.summary["best"] is None
    return [] if is_lost else ["use the best evaluation (model/ holds it)"]


def read_score(run: RunRecord) -> Series:
    """The reward model's score in training; the reward in records that have no score."""
    return read_series(run, "objective/scores", "objective/raw_scores", "objective/rlhf_reward")
