"""Which metrics are drawn, and what they are called."""

from collections.abc import Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

import numpy as np

from analysis.records.runs import CUMULATIVE_REWARD, REWARD, SCORES, TOO_LARGE, UPDATE, Floats, RunRecord
from analysis.wording.errors import AnalysisError
from rlhf_sweeps.record import natural_key

ENTROPY = "objective/entropy"
ENTROPIES = (ENTROPY, "policy/entropy_avg")  # of a response, of a token
KL = "objective/kl"
POLICY_LOSS = "loss/policy_avg"
ALL = "all"

TITLES = {
    REWARD: "step reward",
    SCORES: "score",
    CUMULATIVE_REWARD: "cumulative reward",
    POLICY_LOSS: "policy loss",
    ENTROPY: "entropy",
    KL: "KL divergence",
}


def find_title(metric: str) -> str:
    """A metric's name in words, its own where it has none."""
    return TITLES.get(metric, metric)


def read_curve(run: RunRecord, metric: str) -> tuple[Floats, Floats]:
    """A run's metric as `RunRecord.select_points`, each update once.

    Of several values at one update the mean is taken, also before they are summed up; values so large that their
    squares overflow count as missing.
    """
    if metric == CUMULATIVE_REWARD and CUMULATIVE_REWARD not in run.metrics:
        updates, values = read_curve(run, REWARD if REWARD in run.metrics else SCORES)
        return updates, run.accumulate(updates, values)
    updates, values = run.select_points(metric)
    is_sane = np.abs(values) < TOO_LARGE
    updates, values = updates[is_sane], values[is_sane]
    if len(updates) > 1 and np.diff(updates).min() <= 0:
        updates, inverse, counts = np.unique(updates, return_inverse=True, return_counts=True)
        values = np.bincount(inverse, values) / counts
    return updates, values


def choose_panel_metrics(runs: Sequence[RunRecord]) -> list[str]:
    """Those of the published figure's five that the runs have; the score for the step reward where that is missing."""
    recorded = {name for run in runs for name in run.metrics}
    step = REWARD if REWARD in recorded or SCORES not in recorded else SCORES
    panels = [step, CUMULATIVE_REWARD, POLICY_LOSS, ENTROPY, KL]
    return [name for name in panels if name in recorded or (name == CUMULATIVE_REWARD and step in recorded)]


def choose_metrics(runs: Sequence[RunRecord], wanted: Sequence[str] | None) -> list[str]:
    """The metrics that a user asks for, in the order asked for.

    Args:
        wanted: names; patterns such as `judge/*/win_rate`; `all`. None: the panels,
            or, where the runs have none of these, every metric.

    Raises:
        AnalysisError: if no run has such a metric.
    """
    panels = choose_panel_metrics(runs)
    recorded = sorted({name for run in runs for name in run.metrics} - {UPDATE}, key=natural_key)
    everything = [*panels, *(name for name in recorded if name not in panels)]
    if wanted is None:
        return panels or everything
    chosen: dict[str, None] = {}
    for text in (part.strip() for argument in wanted for part in argument.split(",")):
        if not text:
            continue
        matches = everything if text == ALL else [name for name in everything if fnmatchcase(name, text)]
        if not matches and text != ALL:
            raise AnalysisError(f"metrics: {text}: no run has such a metric ({_suggest_nearest(text, everything)})")
        chosen |= dict.fromkeys(matches)
    return list(chosen) or panels or everything


def _suggest_nearest(text: str, names: Sequence[str]) -> str:
    if not names:
        return "the runs have recorded no metric"
    near = get_close_matches(text, names, n=5, cutoff=0.4) or [name for name in names if text.strip("*") in name][:5]
    return f"near it: {', '.join(near)}" if near else f"there are: {', '.join(names[:12])}"
