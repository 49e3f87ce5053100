"""Groups ranked at the same KL, by the gain of each run where it first reached that KL."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.comparison.frontier import OTHERS, OWN, KlPath, trace_path
from analysis.comparison.groups import Grouping
from analysis.comparison.run_values import count_prompts, describe_scale, list_common_judges
from analysis.comparison.thresholds import KL_SHARES, MAX_LEFT_OUT
from analysis.records.runs import Floats
from rlhf_sweeps.verdicts.estimates import Strata, bound_as_rate
from rlhf_sweeps.verdicts.pairs import GroupRanking, rank


@dataclass(frozen=True, eq=False)
class KlLevel:
    """The ranking at one KL; its p values are adjusted for its pairs, not for the other levels.

    Attributes:
        kl: in nats.
        ranking: of the groups that have a run which reached the KL.
        num_reached: label -> number of runs that reached it; 0 for some.
        num_before: label -> number of these whose first evaluation lies beyond it, so that nothing was measured before.
        num_runs: label -> number of runs with KLs and gains.
    """

    kl: float
    ranking: GroupRanking
    num_reached: Mapping[str, int]
    num_before: Mapping[str, int]
    num_runs: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class MatchedKl:
    """Rankings at a few KLs.

    Attributes:
        text: the kind of gain.
        is_rate: whether gains are win rates, 1/2 for the base policy, rather than differences of scores.
        levels: ascending.
    """

    text: str
    is_rate: bool
    levels: Sequence[KlLevel]

    @property
    def kls_before_evaluation(self) -> list[float]:
        """Those KLs of the levels that most runs passed before their first evaluation, so that nothing was measured."""
        return [
            level.kl for level in self.levels if 2 * sum(level.num_before.values()) > sum(level.num_reached.values())
        ]


def match_groups(grouped: Grouping, levels: Sequence[float] | None = None) -> MatchedKl | None:
    """The rankings of groups at the same KL; None where no run has KLs and gains.

    Args:
        levels: KLs in nats; by default a quarter, a half and all of the KL that half of the runs in nearly all groups
            reach.
    """
    runs = [run for group in grouped.groups for run in group.runs]
    is_rate = len({describe_scale(run) for run in runs}) > 1
    judges = list_common_judges(runs) if is_rate else []
    if is_rate and not judges:
        return None
    paths: dict[str, dict[Hashable, list[KlPath]]] = {}
    for group in grouped.groups:
        for run in group.runs:
            way = trace_path(run, OTHERS if is_rate else OWN, judges, grouped.near_copies)
            if len(way.kls):
                paths.setdefault(group.label, {}).setdefault(grouped.make_setting_key(run), []).append(way)
    if not paths:
        return None
    is_training = any(way.is_training for parts in paths.values() for ways in parts.values() for way in ways)
    text = "mean win rate under the other judges" if is_rate else "gain in score under the own reward model"
    if is_training:
        text += " (of training batches, where there are no evaluations)"
    kls = sorted(levels) if levels is not None else _choose_levels(paths)
    matched = [level for kl in kls if (level := _match_level(kl, paths, is_rate)) is not None]
    if is_rate:
        prompts = count_prompts(runs)
        matched = [_bound_level(level, prompts) for level in matched]
    return MatchedKl(text, is_rate, matched)


def interpolate_gain(way: KlPath, kl: float) -> float | None:
    """The gain of a run where it first reached a KL; None if it never did.

    Between evaluations, and from the base policy to the first, gains are interpolated linearly over sqrt(KL), since the
    law of over-optimization begins as a line there. Over KL itself, runs with few evaluations would look worse.
    """
    distances = np.sqrt(np.maximum(np.concatenate([[0.0], way.kls]), 0.0))
    gains = np.concatenate([[0.0], way.gains])
    reached = np.flatnonzero(distances >= np.sqrt(kl))
    if not len(reached):
        return None
    after = int(reached[0])
    if after == 0 or distances[after] == distances[after - 1]:
        return float(gains[after])
    share = (np.sqrt(kl) - distances[after - 1]) / (distances[after] - distances[after - 1])
    return float(gains[after - 1] + share * (gains[after] - gains[after - 1]))


def _choose_levels(paths: Mapping[str, Mapping[Hashable, Sequence[KlPath]]]) -> list[float]:
    """KLs of two digits, up to the KL that half of the runs in nearly all groups reach."""
    reach = [
        float(np.quantile([way.kls.max() for ways in parts.values() for way in ways], 0.5, method="lower"))
        for parts in paths.values()
    ]
    top = sorted(reach)[int(MAX_LEFT_OUT * len(reach))]
    return sorted({_round_down(share * top) for share in KL_SHARES}) if top > 0 else []


def _round_down(value: float) -> float:
    """To two digits."""
    unit = 10.0 ** (np.floor(np.log10(value)) - 1)
    return float(f"{np.floor(value / unit * (1 + 1e-12)) * unit:.2g}")


def _match_level(kl: float, paths: Mapping[str, Mapping[Hashable, Sequence[KlPath]]], is_rate: bool) -> KlLevel | None:
    groups: dict[str, Strata] = {}
    base = 0.5 if is_rate else 0.0
    for label, parts in paths.items():
        by_setting: dict[Hashable, Floats] = {}
        for setting, ways in parts.items():
            gains = [gain for way in ways if (gain := interpolate_gain(way, kl)) is not None]
            if gains:
                by_setting[setting] = np.array(gains) + base
        if by_setting:
            groups[label] = by_setting
    if not groups:
        return None
    reached = {label: sum(map(len, groups.get(label, {}).values())) for label in paths}
    return KlLevel(
        kl,
        rank(groups),
        reached,
        {
            label: sum(bool(way.kls[0] > kl) for ways in parts.values() for way in ways)
            for label, parts in paths.items()
        },
        {label: sum(map(len, parts.values())) for label, parts in paths.items()},
    )


def _bound_level(level: KlLevel, prompts: int | None) -> KlLevel:
    estimates = {label: bound_as_rate(estimate, prompts) for label, estimate in level.ranking.estimates.items()}
    return replace(level, ranking=replace(level.ranking, estimates=estimates))
