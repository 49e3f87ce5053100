"""The reward-KL frontier of each group: what its runs gained at which distance from the base policy, and its law."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.comparison.groups import Grouping, grouping
from analysis.comparison.kl_paths import OWN, path
from analysis.comparison.over_optimization import Fit, fit
from analysis.comparison.run_values import common_judges, scale
from analysis.records.runs import Floats, Source

TOO_FEW = "too few evaluations at different KLs for a fit"
SEVERAL_SCALES = "runs of several reward models, whose scores have no common scale"


@dataclass(frozen=True, eq=False)
class Frontier:
    """The evaluations of a group's runs.

    Attributes:
        label: of the group.
        judge: who scored: OWN, or the name of a judge.
        runs: names of the runs that have points.
        distances: sqrt(KL) in sqrt(nats), of all runs one after another, (points,).
        gains: the score less the base policy's, (points,).
        which: the position in `runs` of each point's run, (points,).
        fit: None where there is none; `note` says why.
        is_training: whether points are training batches, since there are no evaluations.
        num_negative: points whose KL estimate was below 0 and was taken as 0.
        note: empty, or why there is no fit.
    """

    label: str
    judge: str
    runs: Sequence[str]
    distances: Floats
    gains: Floats
    which: Floats
    fit: Fit | None
    is_training: bool = False
    num_negative: int = 0
    note: str = ""


def frontiers(source: Source, by: str | None = None, judge: str | None = None) -> list[Frontier]:
    """The frontier of every group that has points.

    Args:
        by: as in `compare`.
        judge: whose score is meant; by default each run's own reward model's.

    Raises:
        AnalysisError: if no run has such a key.
    """
    return frontiers_of(grouping(source, by), judge)


def frontiers_of(grouped: Grouping, judge: str | None = None) -> list[Frontier]:
    """The same of groups made before."""
    lines = []
    for group in grouped.groups:
        paths = {run.name: path(run, judge) for run in group.runs}
        paths = {name: way for name, way in paths.items() if len(way.kls)}
        # Training batches beside evaluations would be two things under one name.
        is_training = all(way.is_training for way in paths.values())
        paths = {name: way for name, way in paths.items() if way.is_training == is_training}
        if not paths:
            continue
        points = [(np.sqrt(np.maximum(way.kls, 0.0)), way.gains) for way in paths.values()]
        is_mixed = judge in (None, OWN) and len({scale(run) for run in group.runs if run.name in paths}) > 1
        law = None if is_mixed else fit(points)
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


def all_frontiers(grouped: Grouping, most: int = 6) -> dict[str, list[Frontier]]:
    """Judge -> frontiers: the own reward model's, then those of the judges that most runs have."""
    runs = [run for group in grouped.groups for run in group.runs]
    judges = [OWN, *common_judges(runs)][:most]
    by_judge = {judge: frontiers_of(grouped, judge) for judge in judges}
    return {judge: lines for judge, lines in by_judge.items() if lines}
