"""Whether the best setting of a view is better than the others by more than noise, and its rivals within noise."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.records.prompt_scores import read_scores_of_run
from analysis.records.runs import RunRecord
from analysis.sweep.settings import Setting, View
from analysis.sweep.thresholds import MAX_PAIRED
from rlhf_sweeps.verdicts.estimates import Strata
from rlhf_sweeps.verdicts.noise import Noise
from rlhf_sweeps.verdicts.other_prompts import Scores
from rlhf_sweeps.verdicts.pairs import BETTER, NOISE, GroupPair, rank


@dataclass(frozen=True, eq=False)
class Lead:
    """The best setting against all others, by the first objective.

    Attributes:
        ranked: settings that keep all constraints, best first, two at least.
        gaps: by how much the best is better than each of `ranked`, (settings,).
        are_tested: whether the best and each of them are compared on test seeds, (settings,).
        noise: of one run.
        limit: the lead over the second setting that exceeds noise; nan where noise is unknown, or `pairs` decide.
        pairs: the best against each other setting, where several runs of both decide; None elsewhere.
        share: of the rate of false claims; see `View.share`.
    """

    ranked: Sequence[Setting]
    gaps: Sequence[float]
    are_tested: Sequence[bool]
    noise: Noise
    limit: float
    pairs: Sequence[GroupPair] | None
    share: float = 1.0

    @property
    def best(self) -> Setting:
        """The first."""
        return self.ranked[0]

    @property
    def rivals(self) -> list[Setting]:
        """The settings that are within noise of the best; empty where noise is unknown."""
        if self.pairs is not None:
            return [
                setting for setting, pair in zip(self.ranked[1:], self.pairs, strict=False) if pair.verdict == NOISE
            ]
        if self.is_clear:
            return []
        others = zip(self.ranked[1:], self.gaps[1:], self.sizes, strict=True)
        num_pairs = math.comb(len(self.ranked), 2)
        return [setting for setting, gap, sizes in others if gap <= self.noise.margin(*sizes, num_pairs, self.share)]

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """The numbers of runs of the best and of each other setting that are compared."""
        others = zip(self.ranked[1:], self.are_tested[1:], strict=True)
        return [_count_runs(self.best, other, is_tested) for other, is_tested in others]

    @property
    def are_contenders(self) -> Sequence[bool]:
        """Whether the best has to beat each other setting to win: those on test seeds if any ran there, else all."""
        return self.are_tested[1:] if any(self.are_tested[1:]) else [True] * (len(self.ranked) - 1)

    def count_seeds(self, place: int) -> float:
        """The number of seeds with which the gap to a setting, the best being at place 0, would be its own margin.

        Infinite where the noise of the held-out prompts alone is larger, which no number of seeds lessens.
        """
        pair = self.pairs[place - 1] if self.pairs is not None and place <= len(self.pairs) else None
        if pair is None or math.isnan(pair.high):
            return math.ceil(8 * (self.noise.deviation / self.gaps[place]) ** 2)  # two standard errors
        number = min(self.sizes[place - 1]) * pair.scale_seeds(self.gaps[place])
        return math.ceil(number) if math.isfinite(number) else number

    @property
    def is_clear(self) -> bool | None:
        """Whether the best is better than every contender by more than noise; None where that is unknown."""
        are_rivals = self.are_contenders
        if self.pairs is not None:
            verdicts = {pair.verdict for pair, is_rival in zip(self.pairs, are_rivals, strict=False) if is_rival}
            return True if verdicts == {BETTER} else False if verdicts & {BETTER, NOISE} else None
        if math.isnan(self.limit):
            return None
        others = zip(self.gaps[1:], self.sizes, are_rivals, strict=True)
        return all(gap > self.noise.margin(*sizes, share=self.share) for gap, sizes, is_rival in others if is_rival)

    @property
    def is_decided(self) -> bool:
        """Whether it is clear by runs on several seeds; the scatter about a fitted surface decides nothing."""
        return self.pairs is not None and bool(self.is_clear)


def measure_lead(view: View, noise: Noise) -> Lead | None:
    """The best setting of a view against all others; None where there are none.

    Where the best settings have several runs, these are compared pair by pair, as `analysis compare` does it. The same
    is done where some have one run only and the noise is known from the repetitions of the others alone. Elsewhere the
    noise of one run stands for all.
    """
    ranked = view.ranked
    if len(ranked) < 2:
        return None
    gaps = [view.measure_gap(ranked[0], setting) for setting in ranked]
    are_tested = [view.are_tested(ranked[0], setting) for setting in ranked]
    standing = Lead(ranked, gaps, are_tested, noise, math.nan, None, view.share)
    sizes = standing.sizes[: MAX_PAIRED - 1]
    if all(min(pair) > 1 for pair in sizes) or (any(max(pair) > 1 for pair in sizes) and not noise.is_fitted):
        return replace(standing, pairs=_compare_pairs(view, ranked[:MAX_PAIRED]))
    return replace(standing, limit=noise.margin(*sizes[0], share=view.share))


def _count_runs(best: Setting, other: Setting, is_tested: bool) -> tuple[int, int]:
    return (len(best.by_test), len(other.by_test)) if is_tested else (len(best.by_run), len(other.by_run))


def _compare_pairs(view: View, ranked: Sequence[Setting]) -> list[GroupPair]:
    """The best against each other setting; one with a better mean over runs than the best is within noise of it."""
    groups: dict[str, Strata] = {
        str(place): {(): np.array(setting.by_run[:, 0])} for place, setting in enumerate(ranked)
    }
    tested: dict[str, Strata] = {
        str(place): {(): np.array(setting.by_test[:, 0])}
        for place, setting in enumerate(ranked)
        if view.are_tested(setting, setting)
    }
    ranking = rank(
        groups,
        view.get_sign() < 0,
        tested,
        {str(place): setting.seeds for place, setting in enumerate(ranked)},
        {str(place): setting.test_seeds for place, setting in enumerate(ranked)},
        view.share,
        {str(place): _read_scores(setting.records) for place, setting in enumerate(ranked)},
        {label: _read_scores(ranked[int(label)].test_records) for label in tested},
    )
    pair_of = {frozenset((pair.first, pair.second)): pair for pair in ranking.pairs}
    pairs = [pair_of[frozenset(("0", str(place)))] for place in range(1, len(ranked))]
    return [pair if pair.first == "0" or pair.verdict != BETTER else _mark_as_noise(pair) for pair in pairs]


def _read_scores(records: Sequence[RunRecord | None]) -> dict[Hashable, list[Scores]]:
    """The held-out scores by prompt of the runs of one setting; a single run's show no noise and are not read."""
    return {(): [read_scores_of_run(record) if len(records) > 1 else {} for record in records]}


def _mark_as_noise(pair: GroupPair) -> GroupPair:
    return replace(pair, verdict=NOISE)
