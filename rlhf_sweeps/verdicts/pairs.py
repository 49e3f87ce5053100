"""Groups of runs ranked, and every two of them compared: which differ by more than noise?

The noise of a pair is taken from the two groups or from all groups together, whichever says more, so that the few runs
of one pair that happen to agree do not pass for certainty. Degrees of freedom are Satterthwaite's over all groups, or
over the two alone where these are of unequal sizes and say more; p values are adjusted for all pairs, after Holm. For
groups drawn from one distribution some pair is called better in at most 5 % of all comparisons:
test_pair_false_alarms.py measures that, and how often what differs is found.
"""

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations

import numpy as np

from rlhf_sweeps.verdicts.estimates import (
    Estimate,
    Probability,
    Statistic,
    Strata,
    are_equal,
    estimate,
    holm,
    mean,
    probability,
    statistic_of,
)
from rlhf_sweeps.verdicts.student import Floats, p_value, satterthwaite, student_quantile

BETTER, NOISE, UNKNOWN = "better", "within noise", "cannot tell"
WORSE = "worse in the settings that both have"  # although the better one over all of its settings
LEVEL = 0.05
MEAN, INTERQUARTILE = "mean", "interquartile mean"
MOST_GROUPS = 30  # the best ones, of which every two are compared
# How two groups were compared: setting by setting, with one run of each; run by run within settings that both have;
# or all runs as they are, since their settings are different ones. Where outcomes by prompt are there, see `crossed`.
BY_SETTING, BY_STRATUM, BY_RUN = "paired by setting", "within settings", "different settings"
BY_PROMPT = "paired by prompt"


@dataclass(frozen=True)
class Pair:
    """The better one of two groups against the other.

    Attributes:
        first, second: labels; the first goes before the second in the ranking.
        difference: of their means, first less second.
        low, high: 95 % interval of this difference alone; nan where the noise is unknown.
        probability: that a run of the first beats one of the second.
        p_value: adjusted for all pairs; nan where the noise is unknown.
        verdict: BETTER, NOISE, UNKNOWN or WORSE.
        design: BY_SETTING, BY_STRATUM, BY_RUN or BY_PROMPT.
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
class Ranking:
    """Groups, best first.

    Attributes:
        labels: of the groups.
        estimates: label -> its mean.
        pairs: of the best MOST_GROUPS groups, in the order of the ranking.
        statistic: which mean it is: MEAN or INTERQUARTILE.
    """

    labels: Sequence[str]
    estimates: Mapping[str, Estimate]
    pairs: Sequence[Pair]
    statistic: str

    @cached_property
    def _by_labels(self) -> dict[tuple[str, str], Pair]:
        return {(pair.first, pair.second): pair for pair in self.pairs}

    def against_best(self, label: str) -> Pair | None:
        """The best group against this one; None for the best itself and beyond MOST_GROUPS."""
        return self._by_labels.get((self.labels[0], label))

    @property
    def winner(self) -> str | None:
        """The group that is better than every other by more than noise."""
        others = [self.against_best(label) for label in self.labels[1:MOST_GROUPS]]
        is_sure = bool(others) and all(pair is not None and pair.verdict == BETTER for pair in others)
        return self.labels[0] if is_sure else None


def verdict_text(pair: Pair | None) -> str:
    """The verdict as the second group of a pair sees it; `-` for the best group, which has no such pair."""
    return "-" if pair is None else {BETTER: "beaten"}.get(pair.verdict, pair.verdict)


def rank(
    groups: Mapping[str, Strata], is_lower_better: bool = False, tested: Mapping[str, Strata] | None = None
) -> Ranking:
    """Sort groups by their means (see `statistic_of`) and compare every two.

    Groups that were run on test seeds go before all others, by what they are worth there, as `settings.rank_key` has
    it. Two of them are compared on these seeds, any other two on those that choose.

    Args:
        groups: label -> other settings -> values, finite and at least one for each group.
        is_lower_better: turns the order, and who beats whom, around.
        tested: the same on test seeds, of those groups that have such values.
    """
    sign, tested = -1.0 if is_lower_better else 1.0, tested or {}
    statistic = statistic_of([*groups.values(), *tested.values()])
    chosen, on_tests = _Samples(groups, statistic), _Samples(tested, statistic)
    estimates = {label: (on_tests if label in tested else chosen).estimate(label) for label in groups}
    by_worth = sorted(groups, key=lambda label: -sign * chosen.value(label))  # for those that are equal on test seeds
    labels = sorted(by_worth, key=lambda label: (label not in tested, -sign * estimates[label].value))
    told = [on_tests.estimate(label) for label in tested]
    if len(tested) < len(groups):
        told += [chosen.estimate(label) for label in groups]
    noise = _pooled_noise(told)
    names = list(combinations(labels[:MOST_GROUPS], 2))
    found = [_difference(on_tests if {*both} <= {*tested} else chosen, *both, noise) for both in names]
    num_pairs = len(labels) * (len(labels) - 1) // 2
    p_values = holm(np.array([one.p_value for one in found], dtype=np.float64), num_pairs)
    pairs = [_pair(one, p_value, sign) for one, p_value in zip(found, p_values, strict=True)]
    # What was not run on test seeds may look better on those that choose, which is luck or not: nobody knows.
    pairs = [
        replace(pair, verdict=NOISE)
        if pair.verdict == WORSE and (pair.first in tested) > (pair.second in tested)
        else pair
        for pair in pairs
    ]
    return Ranking(labels, estimates, pairs, MEAN if statistic is mean else INTERQUARTILE)


_UNMATCHED = "unmatched"  # no setting: those are tuples


class _Samples:
    """The groups' values, each part of them resampled once only."""

    def __init__(self, groups: Mapping[str, Strata], statistic: Statistic) -> None:
        self.groups = groups
        self.statistic = statistic
        self._known: dict[tuple[Hashable, ...], Estimate] = {}

    def value(self, label: str) -> float:
        """What a group is worth, without its noise."""
        return float(self.statistic(np.concatenate(list(self.groups[label].values()))))

    def estimate(self, label: str, keys: Sequence[Hashable] | None = None) -> Estimate:
        """Of a group's values within some of its settings, in all of them if None is given."""
        strata = self.groups[label]
        place = (label, *(strata if keys is None else keys))
        if place not in self._known:
            self._known[place] = estimate([strata[key] for key in place[1:]], statistic=self.statistic)
        return self._known[place]

    def estimate_unmatched(self, label: str) -> Estimate:
        """Of all of its values as if they were of one setting, where other groups have other settings."""
        if all(len(values) == 1 for values in self.groups[label].values()) or len(self.groups[label]) == 1:
            return self.estimate(label)  # the same
        place = (label, _UNMATCHED)
        if place not in self._known:
            pooled = np.concatenate(list(self.groups[label].values()))
            self._known[place] = estimate([pooled], statistic=self.statistic)
        return self._known[place]

    def shared(self, first: str, second: str) -> list[Hashable]:
        """The settings that both groups have; none if these are less than half of either group's runs."""
        ours, theirs = self.groups[first], self.groups[second]
        keys = [key for key in ours if key in theirs]
        is_most = all(2 * _size(each[key] for key in keys) >= _size(each.values()) for each in (ours, theirs))
        return keys if is_most else []


@dataclass(frozen=True)
class _Difference:
    """Of two groups: with its standard error and degrees of freedom (0: unknown), and the values that it is of."""

    names: tuple[str, str]
    design: str
    first: Sequence[Floats]
    second: Sequence[Floats]
    value: float
    error: float
    freedom: float

    @property
    def p_value(self) -> float:
        """Of no difference, both sides; nan where the noise is unknown."""
        return p_value(self.value, self.error, self.freedom)


def _difference(samples: _Samples, first: str, second: str, noise: tuple[float, float]) -> _Difference:
    names, keys = (first, second), samples.shared(first, second)
    if not keys:
        ours, theirs = ([np.concatenate(list(samples.groups[name].values()))] for name in names)
        unmatched = samples.estimate_unmatched(first), samples.estimate_unmatched(second)
        return _Difference(names, BY_RUN, ours, theirs, *_noise_of(*unmatched, noise))
    ours, theirs = ([samples.groups[name][key] for key in keys] for name in names)
    if len(keys) > 1 and all(len(values) == 1 for values in [*ours, *theirs]):
        differences = np.concatenate(ours) - np.concatenate(theirs)
        paired = estimate([differences], statistic=samples.statistic)
        size = max(float(np.abs(values).max()) for values in [*ours, *theirs])
        freedom = 0.0 if are_equal(differences, size) else paired.freedom
        return _Difference(names, BY_SETTING, ours, theirs, paired.value, paired.error, freedom)
    matched = samples.estimate(first, keys), samples.estimate(second, keys)
    return _Difference(names, BY_STRATUM, ours, theirs, *_noise_of(*matched, noise))


def _noise_of(ours: Estimate, theirs: Estimate, noise: tuple[float, float]) -> tuple[float, float, float]:
    """The difference of two independent estimates, its standard error, and degrees of freedom (0: unknown)."""
    difference = ours.value - theirs.value
    if min(ours.num_runs, theirs.num_runs) < 2:
        return difference, math.nan, 0.0
    variance, freedom = noise
    pooled = variance * (1 / ours.num_runs + 1 / theirs.num_runs)
    own = ours.error**2 + theirs.error**2
    if own > pooled and ours.num_runs != theirs.num_runs:
        # Their noise may lie in the smaller group alone, where the runs of the others tell nothing about it.
        freedom = satterthwaite([ours.error**2, theirs.error**2], [ours.freedom, theirs.freedom])
    # Runs that are all alike do not show how much others would differ.
    error = math.sqrt(max(own, pooled))
    return difference, error, max(freedom, min(ours.freedom, theirs.freedom)) if error > 0 else 0.0


def _pooled_noise(estimates: Iterable[Estimate]) -> tuple[float, float]:
    """The variance of a run over all groups that show one, and its degrees of freedom after Satterthwaite."""
    known = [one for one in estimates if one.freedom > 0]
    if not known:
        return 0.0, 0.0
    freedoms = [one.freedom for one in known]
    parts = [one.freedom / sum(freedoms) * one.num_runs * one.error**2 for one in known]
    return sum(parts), satterthwaite(parts, freedoms)


def _pair(found: _Difference, p_value: float, sign: float) -> Pair:
    margin = student_quantile(found.freedom) * found.error if found.freedom > 0 else math.nan
    verdict = UNKNOWN if math.isnan(p_value) else NOISE
    if p_value <= LEVEL:
        verdict = BETTER if sign * found.value > 0 else WORSE
    return Pair(
        *found.names,
        found.value,
        found.value - margin,
        found.value + margin,
        probability([sign * values for values in found.first], [sign * values for values in found.second]),
        float(p_value),
        verdict,
        found.design,
    )


def _size(strata: Iterable[Floats]) -> int:
    return sum(len(values) for values in strata)
