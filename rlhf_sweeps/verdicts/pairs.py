"""Rank groups of runs, and compare every two of them: which differ by more than noise?

Groups of one setting each that ran on the same seeds are compared seed by seed (see `blocks`). Elsewhere the noise of a
pair is estimated from its two groups or from all groups together, whichever is larger: otherwise a few runs of one pair
that happen to agree would count as certainty. Degrees of freedom are Satterthwaite's over all groups, or over the two
alone where these are of unequal sizes and have the larger noise.

The best group wins if it is better than every other by a test of each pair alone: it must pass all tests, so that none
needs an adjustment (Berger 1982, Technometrics 24, 295-300). All other p values are adjusted for all pairs by Holm's
method; see `error_rate`. test_pair_false_alarms.py and test_blocks.py measure how often equal groups differ.
"""

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations

import numpy as np

from rlhf_sweeps.verdicts.blocks import BlockNoise, compare_blocks, pool_blocks
from rlhf_sweeps.verdicts.error_rate import SIGNIFICANCE_LEVEL, adjust_pairs, share_p_values
from rlhf_sweeps.verdicts.estimates import (
    Estimate,
    Probability,
    Statistic,
    Strata,
    are_equal,
    choose_statistic,
    estimate,
    estimate_probability,
    mean,
)
from rlhf_sweeps.verdicts.student import Floats, p_value, satterthwaite, student_quantile

BETTER, NOISE, UNKNOWN = "better", "within noise", "cannot tell"
WORSE = "worse in the settings that both have"  # although its mean over all of its settings is better
MEAN, INTERQUARTILE = "mean", "interquartile mean"
MOST_GROUPS = 30  # every two of the best so many are compared
# Label -> seeds in the order of the values; None where one is unknown.
SeedsOfGroups = Mapping[str, Sequence[Hashable] | None]
# How two groups were compared: setting by setting, with one run of each; seed by seed; run by run within the settings
# of both; or all runs together, since the groups have different settings. BY_PROMPT: see `crossed`.
BY_SETTING, BY_SEED, BY_STRATUM, BY_RUN = "paired by setting", "paired by seed", "within settings", "different settings"
BY_PROMPT = "paired by prompt"


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
    """
    sign, tested = -1.0 if is_lower_better else 1.0, tested or {}
    statistic = choose_statistic([*groups.values(), *tested.values()])
    chosen, on_tests = _Samples(groups, statistic, seeds or {}), _Samples(tested, statistic, test_seeds or {})
    blocks = pool_blocks([chosen.runs, on_tests.runs])
    estimates = {label: (on_tests if label in tested else chosen).estimate(label) for label in groups}
    by_worth = sorted(groups, key=lambda label: -sign * chosen.value(label))  # decides where test seeds tie
    labels = sorted(by_worth, key=lambda label: (label not in tested, -sign * estimates[label].value))
    repeated = [on_tests.estimate(label) for label in tested]
    repeated += [chosen.estimate(label) for label in groups if len(tested) < len(groups)]
    noise = _pool_noise(repeated)
    names = list(combinations(labels[:MOST_GROUPS], 2))
    differences = [_compare(on_tests if {*both} <= {*tested} else chosen, *both, noise, blocks) for both in names]
    contenders = [label for label in labels[1:] if label in tested and labels[0] in tested] or labels[1:]
    p_values = adjust_pairs(
        share_p_values(np.array([difference.p_value for difference in differences]), share),
        [difference.names[0] == labels[0] and difference.names[1] in contenders for difference in differences],
        [sign * difference.value > 0 for difference in differences],
        math.comb(len(labels), 2),
    )
    pairs = [_make_pair(difference, p_value, sign) for difference, p_value in zip(differences, p_values, strict=True)]
    # A group without test seeds may look better on the seeds that chose it, by luck: that is no verdict.
    pairs = [
        replace(pair, verdict=NOISE)
        if pair.verdict == WORSE and (pair.first in tested) > (pair.second in tested)
        else pair
        for pair in pairs
    ]
    return GroupRanking(labels, estimates, pairs, MEAN if statistic is mean else INTERQUARTILE, contenders)


_UNMATCHED = "unmatched"  # never the key of a setting: those are tuples


class _Samples:
    """The groups' values, with their estimates, each computed only once."""

    def __init__(self, groups: Mapping[str, Strata], statistic: Statistic, seeds: SeedsOfGroups) -> None:
        self.groups = groups
        self.statistic = statistic
        self.runs = {
            label: dict(zip(own, values.tolist(), strict=True))
            for label, strata in groups.items()
            if len(strata) == 1
            and (own := seeds.get(label))
            and len({*own}) == len(values := next(iter(strata.values())))
        }
        self._estimates: dict[tuple[Hashable, ...], Estimate] = {}

    def value(self, label: str) -> float:
        """The statistic of a group, without an interval."""
        return float(self.statistic(np.concatenate(list(self.groups[label].values()))))

    def estimate(self, label: str, keys: Sequence[Hashable] | None = None) -> Estimate:
        """The estimate of a group's values within some of its settings, or within all of them if `keys` is None."""
        strata = self.groups[label]
        place = (label, *(strata if keys is None else keys))
        if place not in self._estimates:
            self._estimates[place] = estimate([strata[key] for key in place[1:]], statistic=self.statistic)
        return self._estimates[place]

    def estimate_unmatched(self, label: str) -> Estimate:
        """The estimate of all values of a group as if they had one setting, for groups with different settings."""
        if all(len(values) == 1 for values in self.groups[label].values()) or len(self.groups[label]) == 1:
            return self.estimate(label)  # the same
        place = (label, _UNMATCHED)
        if place not in self._estimates:
            pooled = np.concatenate(list(self.groups[label].values()))
            self._estimates[place] = estimate([pooled], statistic=self.statistic)
        return self._estimates[place]

    def find_shared(self, first: str, second: str) -> list[Hashable]:
        """The settings that both groups have; empty if they hold less than half of the runs of either group."""
        ours, theirs = self.groups[first], self.groups[second]
        keys = [key for key in ours if key in theirs]
        is_most = [
            2 * _count_runs(strata[key] for key in keys) >= _count_runs(strata.values()) for strata in (ours, theirs)
        ]
        return keys if all(is_most) else []


@dataclass(frozen=True)
class _Difference:
    """A difference of two groups, its standard error, its degrees of freedom (0: unknown), and the compared values."""

    names: tuple[str, str]
    design: str
    first: Sequence[Floats]
    second: Sequence[Floats]
    value: float
    error: float
    freedom: float

    @property
    def p_value(self) -> float:
        """Of the two-sided test of no difference; nan where the noise is unknown."""
        return p_value(self.value, self.error, self.freedom)


def _compare(
    samples: _Samples, first: str, second: str, noise: tuple[float, float], blocks: BlockNoise | None
) -> _Difference:
    names, keys = (first, second), samples.find_shared(first, second)
    if not keys:
        ours, theirs = ([np.concatenate(list(samples.groups[name].values()))] for name in names)
        unmatched = samples.estimate_unmatched(first), samples.estimate_unmatched(second)
        return _Difference(names, BY_RUN, ours, theirs, *_estimate_noise(*unmatched, noise))
    ours, theirs = ([samples.groups[name][key] for key in keys] for name in names)
    if len(keys) > 1 and all(len(values) == 1 for values in [*ours, *theirs]):
        differences = np.concatenate(ours) - np.concatenate(theirs)
        paired = estimate([differences], statistic=samples.statistic)
        size = max(float(np.abs(values).max()) for values in [*ours, *theirs])
        freedom = 0.0 if are_equal(differences, size) else paired.freedom
        return _Difference(names, BY_SETTING, ours, theirs, paired.value, paired.error, freedom)
    if keys and blocks is not None and {first, second} <= samples.runs.keys():
        blocked = compare_blocks(names, samples.runs[first], samples.runs[second], blocks, len(samples.groups))
        if blocked is not None:
            return _Difference(names, BY_SEED, ours, theirs, *blocked)
    matched = samples.estimate(first, keys), samples.estimate(second, keys)
    return _Difference(names, BY_STRATUM, ours, theirs, *_estimate_noise(*matched, noise))


def _estimate_noise(ours: Estimate, theirs: Estimate, noise: tuple[float, float]) -> tuple[float, float, float]:
    """The difference of two independent estimates, its standard error, and degrees of freedom (0: unknown)."""
    difference = ours.value - theirs.value
    if min(ours.num_runs, theirs.num_runs) < 2:
        return difference, math.nan, 0.0
    variance, freedom = noise
    pooled = variance * (1 / ours.num_runs + 1 / theirs.num_runs)
    own = ours.error**2 + theirs.error**2
    if own > pooled and ours.num_runs != theirs.num_runs:
        # The smaller group alone may be noisier; the other groups then say nothing about its noise.
        freedom = satterthwaite([ours.error**2, theirs.error**2], [ours.freedom, theirs.freedom])
    # Runs that are all equal do not show how much others would differ.
    error = math.sqrt(max(own, pooled))
    return difference, error, max(freedom, min(ours.freedom, theirs.freedom)) if error > 0 else 0.0


def _pool_noise(estimates: Iterable[Estimate]) -> tuple[float, float]:
    """The variance of a run, pooled over groups with repeated runs, and its degrees of freedom after Satterthwaite."""
    repeated = [estimate for estimate in estimates if estimate.freedom > 0]
    if not repeated:
        return 0.0, 0.0
    freedoms = [estimate.freedom for estimate in repeated]
    parts = [estimate.freedom / sum(freedoms) * estimate.num_runs * estimate.error**2 for estimate in repeated]
    return sum(parts), satterthwaite(parts, freedoms)


def _make_pair(difference: _Difference, p_value: float, sign: float) -> GroupPair:
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
    )


def _count_runs(strata: Iterable[Floats]) -> int:
    return sum(len(values) for values in strata)
