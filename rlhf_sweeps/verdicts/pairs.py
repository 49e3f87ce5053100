"""Rank groups of runs, and compare every two of them: which differ by more than noise? See `differences`.

The best group wins if it is better than every other by a test of each pair alone: it must pass all tests, so that none
needs an adjustment (Berger 1982, Technometrics 24, 295-300). All other p values are adjusted for all pairs by Holm's
method; see `error_rate`. test_pair_false_alarms.py and test_blocks.py measure how often equal groups differ, and
test_other_prompts.py how often groups do that are equal on other prompts.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations

import numpy as np

from rlhf_sweeps.verdicts.blocks import pool_blocks
from rlhf_sweeps.verdicts.differences import BY_PROMPT as BY_PROMPT
from rlhf_sweeps.verdicts.differences import BY_RUN as BY_RUN
from rlhf_sweeps.verdicts.differences import BY_SEED as BY_SEED
from rlhf_sweeps.verdicts.differences import BY_SETTING as BY_SETTING
from rlhf_sweeps.verdicts.differences import BY_STRATUM as BY_STRATUM
from rlhf_sweeps.verdicts.differences import GroupValues, RunDifference, SeedsOfGroups, measure_difference, pool_runs
from rlhf_sweeps.verdicts.error_rate import SIGNIFICANCE_LEVEL, adjust_pairs, share_p_values
from rlhf_sweeps.verdicts.estimates import (
    Estimate,
    Probability,
    Strata,
    choose_statistic,
    estimate_probability,
    mean,
)
from rlhf_sweeps.verdicts.other_prompts import ScoresOfGroups
from rlhf_sweeps.verdicts.student import student_quantile

BETTER, NOISE, UNKNOWN = "better", "within noise", "cannot tell"
WORSE = "worse in the settings that both have"  # although its mean over all of its settings is better
MEAN, INTERQUARTILE = "mean", "interquartile mean"
WITH_PROMPTS = ", with the noise of prompts"  # follows a design
MOST_GROUPS = 30  # every two of the best so many are compared


@dataclass(frozen=True)
class GroupPair:
    """The better of two groups compared with the other.

    Attributes:
        first, second: labels; the first is before the second in the ranking.
        difference: of their means, first minus second.
        low, high: 95 % confidence interval of this difference alone; nan where the noise is unknown.
        probability: that a run of the first group beats a run of the second.
        p_value: see `error_rate.adjust_pairs`; nan where the noise is unknown.
        verdict: BETTER, NOISE, UNKNOWN or WORSE.
        design: BY_SETTING, BY_SEED, BY_STRATUM, BY_RUN or BY_PROMPT.
        prompt_share: the share of the variance that other prompts add; None where the interval and the verdict are
            about these prompts only. BY_PROMPT is about others in any case.
    """

    first: str
    second: str
    difference: float
    low: float
    high: float
    probability: Probability
    p_value: float
    verdict: str
    design: str
    prompt_share: float | None = None

    @property
    def design_text(self) -> str:
        """The design, and whether prompts count: `paired by seed, with the noise of prompts`."""
        return self.design if self.prompt_share is None else f"{self.design}{WITH_PROMPTS}"

    @property
    def margin(self) -> float:
        """The least difference of the two means that is significant alone; nan where the noise is unknown."""
        return (self.high - self.low) / 2

    def scale_margin(self, factor: float) -> float:
        """The margin with so many times as many seeds, which do not lessen what other prompts add."""
        share = self.prompt_share or 0.0
        return self.margin * math.sqrt((1 - share) / factor + share)

    def scale_seeds(self, gap: float) -> float:
        """The number of times as many seeds that make `gap` the margin; infinite where prompts alone hide it."""
        share = self.prompt_share or 0.0
        excess = (gap / self.margin) ** 2 - share
        return (1 - share) / excess if excess > 0 else math.inf


@dataclass(frozen=True)
class GroupRanking:
    """Groups, best first.

    Attributes:
        labels: of the groups.
        estimates: label -> its mean.
        pairs: of the best MOST_GROUPS groups, in the order of the ranking.
        statistic: MEAN or INTERQUARTILE.
        contenders: those that the best has to beat to win: the others on test seeds, if several ran there; None: all.
    """

    labels: Sequence[str]
    estimates: Mapping[str, Estimate]
    pairs: Sequence[GroupPair]
    statistic: str
    contenders: Sequence[str] | None = None

    @cached_property
    def _by_labels(self) -> dict[tuple[str, str], GroupPair]:
        return {(pair.first, pair.second): pair for pair in self.pairs}

    def against_best(self, label: str) -> GroupPair | None:
        """The pair of the best group and this group; None for the best itself and beyond MOST_GROUPS."""
        return self._by_labels.get((self.labels[0], label))

    @property
    def winner(self) -> str | None:
        """The group that is better than every other by more than noise."""
        labels = self.labels[1:] if self.contenders is None else self.contenders
        others = [self.against_best(label) for label in labels[: MOST_GROUPS - 1]]
        is_sure = bool(others) and all(pair is not None and pair.verdict == BETTER for pair in others)
        return self.labels[0] if is_sure else None


def describe_verdict(pair: GroupPair | None) -> str:
    """The verdict for the second group of a pair: 'beaten' if the first is better; `-` for the best group (no pair)."""
    return "-" if pair is None else {BETTER: "beaten"}.get(pair.verdict, pair.verdict)


def rank(
    groups: Mapping[str, Strata],
    is_lower_better: bool = False,
    tested: Mapping[str, Strata] | None = None,
    seeds: SeedsOfGroups | None = None,
    test_seeds: SeedsOfGroups | None = None,
    share: float = 1.0,
    scores: ScoresOfGroups | None = None,
    test_scores: ScoresOfGroups | None = None,
) -> GroupRanking:
    """Sort groups by their means (see `choose_statistic`) and compare every two.

    Groups that were run on test seeds go before all others, sorted by their means there, as in `settings.rank_key`. Two
    such groups are compared on the test seeds, any other two on the seeds that chose the settings.

    Args:
        groups: label -> other settings -> values, finite and at least one for each group.
        is_lower_better: whether a lower value is better.
        tested: the values on test seeds, of the groups that have some.
        seeds, test_seeds: label -> the seeds of the values of a group with one setting, if they are known.
        share: of the rate of false claims, where there are several rankings.
        scores, test_scores: the held-out scores by prompt of the values' runs, if the values are means of such scores;
            looked up for the best MOST_GROUPS groups only.
    """
    sign, tested = -1.0 if is_lower_better else 1.0, tested or {}
    statistic = choose_statistic([*groups.values(), *tested.values()])
    chosen = GroupValues(groups, statistic, seeds or {}, scores or {})
    on_tests = GroupValues(tested, statistic, test_seeds or {}, test_scores or {})
    blocks = pool_blocks([chosen.runs, on_tests.runs])
    estimates = {label: (on_tests if label in tested else chosen).estimate(label) for label in groups}
    by_worth = sorted(groups, key=lambda label: -sign * chosen.value(label))  # decides where test seeds tie
    labels = sorted(by_worth, key=lambda label: (label not in tested, -sign * estimates[label].value))
    repeated = [chosen.estimate(label) for label in groups if len(tested) < len(groups)]
    noise = pool_runs([*(on_tests.estimate(label) for label in tested), *repeated])
    compared = labels[:MOST_GROUPS]
    for samples in (chosen, on_tests):
        samples.read_scores(compared)
    names = list(combinations(compared, 2))
    differences = [
        measure_difference(on_tests if {*both} <= {*tested} else chosen, both, noise, blocks) for both in names
    ]
    contenders = [label for label in labels[1:] if label in tested and labels[0] in tested] or labels[1:]
    p_values = adjust_pairs(
        share_p_values(np.array([difference.p_value for difference in differences]), share),
        [difference.names[0] == labels[0] and difference.names[1] in contenders for difference in differences],
        [sign * difference.value > 0 for difference in differences],
        math.comb(len(labels), 2),
    )
    pairs = [
        _excuse_untested(_make_pair(difference, p_value, sign), tested)
        for difference, p_value in zip(differences, p_values, strict=True)
    ]
    return GroupRanking(labels, estimates, pairs, MEAN if statistic is mean else INTERQUARTILE, contenders)


def _make_pair(difference: RunDifference, p_value: float, sign: float) -> GroupPair:
    margin = student_quantile(difference.freedom) * difference.error if difference.freedom > 0 else math.nan
    verdict = UNKNOWN if math.isnan(p_value) else NOISE
    if p_value <= SIGNIFICANCE_LEVEL:
        verdict = BETTER if sign * difference.value > 0 else WORSE
    return GroupPair(
        *difference.names,
        difference.value,
        difference.value - margin,
        difference.value + margin,
        estimate_probability(
            [sign * values for values in difference.first], [sign * values for values in difference.second]
        ),
        float(p_value),
        verdict,
        difference.design,
        difference.prompt_share,
    )


def _excuse_untested(pair: GroupPair, tested: Mapping[str, Strata]) -> GroupPair:
    """A group without test seeds may look better on the seeds that chose it, by luck: that is no verdict."""
    is_luck = pair.verdict == WORSE and (pair.first in tested) > (pair.second in tested)
    return replace(pair, verdict=NOISE) if is_luck else pair
