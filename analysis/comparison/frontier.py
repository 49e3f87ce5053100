"""Reward against KL: what each run gained at each KL, and for each group of runs these points and their fitted law."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.comparison.groups import Grouping
from analysis.comparison.near_copies import average_other_judges
from analysis.comparison.over_optimization import FittedLaw, fit_law
from analysis.comparison.run_values import describe_scale, list_common_judges
from analysis.records.runs import SCORES, TOO_LARGE, Floats, RunRecord
from rlhf_sweeps.verdicts.judge_votes import JudgeGroup

OWN, OTHERS = "own reward model", "other judges"
_TRAINING_KL = "objective/kl"
TOO_FEW = "too few evaluations at different KLs for a fit"
SEVERAL_SCALES = "runs of several reward models, whose scores have no common scale"


@dataclass(frozen=True, eq=False)
class KlPath:
    """The KL of a run and its gains, in the order of updates.

    Attributes:
        kls: of the sequence, in nats; below 0 where an estimate is noisy, (points,).
        gains: the score less the base policy's; for win rates the rate less 1/2, (points,).
        is_training: whether these are training batches, since the run has no evaluations.
    """

    kls: Floats
    gains: Floats
    is_training: bool = False


@dataclass(frozen=True, eq=False)
class Frontier:
    """The evaluations of a group's runs.

    Attributes:
        label: of the group.
        judge: the scorer: OWN, or the name of a judge.
        runs: names of the runs that have points.
        distances: sqrt(KL) in sqrt(nats), of all runs, one run after another, (points,).
        gains: the score less the base policy's, (points,).
        run_indices: the position in `runs` of each point's run, (points,).
        fit: the fitted law; None where there is none, and `note` gives the reason.
        is_training: whether points are training batches, since there are no evaluations.
        num_negative: points whose KL estimate was below 0 and was taken as 0.
        note: the reason why there is no fit; empty with one.
    """

    label: str
    judge: str
    runs: Sequence[str]
    distances: Floats
    gains: Floats
    run_indices: Floats
    fit: FittedLaw | None
    is_training: bool = False
    num_negative: int = 0
    note: str = ""


def trace_frontiers(grouped: Grouping, judge: str | None = None) -> list[Frontier]:
    """The frontier of every group that has points.

    Args:
        judge: the scorer; by default each run's own reward model.
    """
    lines = []
    for group in grouped.groups:
        paths = {run.name: trace_path(run, judge) for run in group.runs}
        paths = {name: way for name, way in paths.items() if len(way.kls)}
        # Training batches and evaluations are not mixed in one frontier.
        is_training = all(way.is_training for way in paths.values())
        paths = {name: way for name, way in paths.items() if way.is_training == is_training}
        if not paths:
            continue
        points = [(np.sqrt(np.maximum(way.kls, 0.0)), way.gains) for way in paths.values()]
        is_mixed = judge in (None, OWN) and len({describe_scale(run) for run in group.runs if run.name in paths}) > 1
        law = None if is_mixed else fit_law(points)
        lines.append(
            Frontier(
                group.label,
                judge or OWN,
                list(paths),
                np.concatenate([distances for distances, _ in points]),
                np.concatenate([gains for _, gains in points]),
                np.repeat(np.arange(len(points)), [len(gains) for _, gains in points]).astype(np.float64),
                law,
                is_training,
                sum(int((way.kls < 0).sum()) for way in paths.values()),
                "" if law else SEVERAL_SCALES if is_mixed else TOO_FEW,
            )
        )
    return lines


def trace_all_frontiers(grouped: Grouping, most: int = 6) -> dict[str, list[Frontier]]:
    """Judge -> frontiers: the own reward model's, then those of the judges that most runs have."""
    runs = [run for group in grouped.groups for run in group.runs]
    judges = [OWN, *list_common_judges(runs)][:most]
    by_judge = {judge: trace_frontiers(grouped, judge) for judge in judges}
    return {judge: lines for judge, lines in by_judge.items() if lines}


def trace_path(
    run: RunRecord, judge: str | None = None, judges: Sequence[str] = (), near_copies: Sequence[JudgeGroup] = ()
) -> KlPath:
    """The KLs and gains of one run; empty if the record lacks one of them.

    Args:
        judge: None or OWN for the score of its own reward model, OTHERS for the mean win rate under those of `judges`
            that are independent of it, else the name of a judge, for its score.
        near_copies: groups of judges that share one vote.
    """
    if judge == OTHERS:
        own = run.look_up("reward_model")
        rates = {name: _read_values(run, f"judge/{name}/win_rate") for name in judges if name != own}
        average = average_other_judges(str(own), rates, near_copies)
        gains = np.full(len(run.updates), np.nan) if average is None else average - 0.5
        return _make_finite_path(_read_values(run, "eval/kl"), gains)
    prefix = "eval" if judge in (None, OWN) else f"judge/{judge}"
    gains = _read_values(run, f"{prefix}/score") - _read_values(run, f"{prefix}/base_score")
    evaluated = _make_finite_path(_read_values(run, "eval/kl"), gains)
    if len(evaluated.kls) or judge not in (None, OWN):
        return evaluated
    return _trace_training(run)


def _trace_training(run: RunRecord) -> KlPath:
    """The path in training batches, of which the base policy itself sampled the first."""
    scores, kls = _read_values(run, SCORES), _read_values(run, _TRAINING_KL)
    is_known = (np.abs(scores) < TOO_LARGE) & (np.abs(kls) < TOO_LARGE)
    if not is_known.any() or run.updates[is_known][0] > 1:
        return KlPath(np.empty(0), np.empty(0))
    scores, kls = scores[is_known], kls[is_known]
    return KlPath(kls[1:], scores[1:] - scores[0], is_training=True)


def _read_values(run: RunRecord, metric: str) -> Floats:
    column = run.metrics.get(metric)
    return np.full(len(run.updates), np.nan) if column is None else np.asarray(column, dtype=np.float64)


def _make_finite_path(kls: Floats, gains: Floats) -> KlPath:
    is_known = (np.abs(kls) < TOO_LARGE) & (np.abs(gains) < TOO_LARGE)  # nan is neither
    return KlPath(kls[is_known], gains[is_known])
