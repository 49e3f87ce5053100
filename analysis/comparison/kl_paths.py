"""A run's way from the base policy: what it gained at each KL, evaluation by evaluation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.records.runs import SCORES, TOO_LARGE, Floats, RunRecord

OWN, OTHERS = "own reward model", "other judges"
_TRAINING_KL = "objective/kl"


@dataclass(frozen=True, eq=False)
class Path:
    """In the order of updates.

    Attributes:
        kls: of the sequence, in nats; below 0 where an estimate is noisy, (points,).
        gains: the score less the base policy's; of wins the win rate less 1/2, (points,).
        is_training: whether these are training batches, since the run has no evaluations.
    """

    kls: Floats
    gains: Floats
    is_training: bool = False


def path(run: RunRecord, judge: str | None = None, judges: Sequence[str] = ()) -> Path:
    """The way of one run; without points if the record does not have one.

    Args:
        judge: None or OWN for the score of its own reward model, OTHERS for the mean win rate under those of `judges`
            that are not its own, else the name of a judge, for its score.
    """
    if judge == OTHERS:
        own = run.value("reward_model")
        metrics = [f"judge/{name}/win_rate" for name in judges if name != own]
        rates = [np.asarray(run.metrics.get(metric, np.full(len(run.updates), np.nan))) for metric in metrics]
        gains = np.mean(rates, axis=0) - 0.5 if rates else np.full(len(run.updates), np.nan)
        return _finite(_values(run, "eval/kl"), gains)
    prefix = "eval" if judge in (None, OWN) else f"judge/{judge}"
    gains = _values(run, f"{prefix}/score") - _values(run, f"{prefix}/base_score")
    evaluated = _finite(_values(run, "eval/kl"), gains)
    if len(evaluated.kls) or judge not in (None, OWN):
        return evaluated
    return _training(run)


def _training(run: RunRecord) -> Path:
    """Of training batches: the first update's was sampled by the base policy itself."""
    scores, kls = _values(run, SCORES), _values(run, _TRAINING_KL)
    is_known = (np.abs(scores) < TOO_LARGE) & (np.abs(kls) < TOO_LARGE)
    if not is_known.any() or run.updates[is_known][0] > 1:
        return Path(np.empty(0), np.empty(0))
    scores, kls = scores[is_known], kls[is_known]
    return Path(kls[1:], scores[1:] - scores[0], is_training=True)


def _values(run: RunRecord, metric: str) -> Floats:
    column = run.metrics.get(metric)
    return np.full(len(run.updates), np.nan) if column is None else np.asarray(column, dtype=np.float64)


def _finite(kls: Floats, gains: Floats) -> Path:
    is_known = (np.abs(kls) < TOO_LARGE) & (np.abs(gains) < TOO_LARGE)  # nan is neither
    return Path(kls[is_known], gains[is_known])
