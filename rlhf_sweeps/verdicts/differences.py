"""The difference of two groups of runs, with its standard error, by the design that fits their runs.

Groups of one setting each that ran on the same seeds are compared seed by seed (see `blocks`). Elsewhere the noise of a
pair is estimated from its two groups or from all groups together, whichever is larger: otherwise a few runs of one pair
that happen to agree would count as certainty. Degrees of freedom are Satterthwaite's over all groups, or over the two
alone where these are of unequal sizes and have the larger noise. Where the runs have scores for the same held-out
prompts, `other_prompts` adds what these prompts do.
"""

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rlhf_sweeps.verdicts.blocks import BlockNoise, compare_blocks
from rlhf_sweeps.verdicts.estimates import Estimate, Statistic, Strata, are_equal, estimate
from rlhf_sweeps.verdicts.other_prompts import (
    PromptNoise,
    PromptTables,
    ScoresOfGroups,
    compare_on_prompts,
    tabulate_scores,
)
from rlhf_sweeps.verdicts.student import Floats, p_value, satterthwaite

# Label -> seeds in the order of the values; None where one is unknown.
SeedsOfGroups = Mapping[str, Sequence[Hashable] | None]
# How two groups were compared: setting by setting, with one run of each; seed by seed; run by run within the settings
# of both; or all runs together, since the groups have different settings. BY_PROMPT: see `crossed`.
BY_SETTING, BY_SEED, BY_STRATUM, BY_RUN = "paired by setting", "paired by seed", "within settings", "different settings"
BY_PROMPT = "paired by prompt"
_UNMATCHED = "unmatched"  # never the key of a setting: those are tuples


class GroupValues:
    """The groups' values, with their estimates, each computed only once."""

    def __init__(
        self, groups: Mapping[str, Strata], statistic: Statistic, seeds: SeedsOfGroups, scores: ScoresOfGroups
    ) -> None:
        self.groups = groups
        self.statistic = statistic
        self._scores = scores
        self._tables: Mapping[str, PromptTables] = {}
        self.runs = {
            label: dict(zip(own, values.tolist(), strict=True))
            for label, strata in groups.items()
            if len(strata) == 1
            and (own := seeds.get(label))
            and len({*own}) == len(values := next(iter(strata.values())))
        }
        self._estimates: dict[tuple[Hashable, ...], Estimate] = {}

    def read_scores(self, labels: Sequence[str]) -> None:
        """Read the scores by prompt of the groups that are compared; those of the others are left alone."""
        self._tables = tabulate_scores({label: self._scores[label] for label in labels if label in self._scores})

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

    def compare_prompts(self, first: str, second: str, keys: Sequence[Hashable], design: str) -> PromptNoise | None:
        """What prompts do to the difference of two groups; None if their runs have no scores for the same prompts."""
        ours, theirs = self._tables.get(first), self._tables.get(second)
        if ours is None or theirs is None:
            return None
        if design == BY_RUN:
            return compare_on_prompts(*([np.concatenate(list(tables.values()))] for tables in (ours, theirs)))
        own, other = ([tables[key] for key in keys] for tables in (ours, theirs))
        paired = None
        if design == BY_SETTING:
            paired = compare_on_prompts([np.concatenate(own) - np.concatenate(other)])
        elif design == BY_SEED:
            places, other_places = ({seed: n for n, seed in enumerate(self.runs[label])} for label in (first, second))
            seeds = [seed for seed in places if seed in other_places]
            rows, other_rows = own[0][[places[s] for s in seeds]], other[0][[other_places[s] for s in seeds]]
            paired = compare_on_prompts([rows - other_rows])
        # Where no run has scores beside its partner, the means of both groups show the noise.
        return paired or compare_on_prompts(own, other)


@dataclass(frozen=True)
class RunDifference:
    """A difference of two groups, with the compared values.

    Attributes:
        names: labels of the groups.
        design: BY_SETTING, BY_SEED, BY_STRATUM or BY_RUN.
        first, second: the values of each group that are compared, by setting.
        value: the first mean minus the second.
        error, freedom: the standard error and its degrees of freedom; 0 degrees: the noise is unknown.
        prompt_share: the share of the variance that other prompts add; None where scores by prompt are unknown.
    """

    names: tuple[str, str]
    design: str
    first: Sequence[Floats]
    second: Sequence[Floats]
    value: float
    error: float
    freedom: float
    prompt_share: float | None = None

    @property
    def p_value(self) -> float:
        """Of the two-sided test of no difference; nan where the noise is unknown."""
        return p_value(self.value, self.error, self.freedom)


def measure_difference(
    samples: GroupValues, names: tuple[str, str], noise: tuple[float, float], blocks: BlockNoise | None
) -> RunDifference:
    """The difference of two groups, over other seeds, and over other prompts where scores by prompt are known.

    Args:
        samples: the values of all groups.
        names: labels of the two groups.
        noise: the variance of a run over all groups, and its degrees of freedom: see `pool_runs`.
        blocks: the noise of settings on the same seeds; None if nothing shows it.
    """
    keys = samples.find_shared(*names)
    difference = _compare_runs(samples, names, keys, noise, blocks)
    prompts = samples.compare_prompts(*names, keys, difference.design) if difference.freedom > 0 else None
    if prompts is None:
        return difference
    error, freedom = prompts.widen(difference.error, difference.freedom)
    share = prompts.variance / error**2 if error > 0 else 0.0
    return replace(difference, error=error, freedom=freedom, prompt_share=share)


def _compare_runs(
    samples: GroupValues,
    names: tuple[str, str],
    keys: Sequence[Hashable],
    noise: tuple[float, float],
    blocks: BlockNoise | None,
) -> RunDifference:
    """The difference over other seeds on the same prompts; `keys`: the settings that both groups have."""
    first, second = names
    if not keys:
        ours, theirs = ([np.concatenate(list(samples.groups[name].values()))] for name in names)
        unmatched = samples.estimate_unmatched(first), samples.estimate_unmatched(second)
        return RunDifference(names, BY_RUN, ours, theirs, *_estimate_noise(*unmatched, noise))
    ours, theirs = ([samples.groups[name][key] for key in keys] for name in names)
    if len(keys) > 1 and all(len(values) == 1 for values in [*ours, *theirs]):
        differences = np.concatenate(ours) - np.concatenate(theirs)
        paired = estimate([differences], statistic=samples.statistic)
        size = max(float(np.abs(values).max()) for values in [*ours, *theirs])
        freedom = 0.0 if are_equal(differences, size) else paired.freedom
        return RunDifference(names, BY_SETTING, ours, theirs, paired.value, paired.error, freedom)
    if blocks is not None and {first, second} <= samples.runs.keys():
        blocked = compare_blocks(names, samples.runs[first], samples.runs[second], blocks, len(samples.groups))
        if blocked is not None:
            return RunDifference(names, BY_SEED, ours, theirs, *blocked)
    matched = samples.estimate(first, keys), samples.estimate(second, keys)
    return RunDifference(names, BY_STRATUM, ours, theirs, *_estimate_noise(*matched, noise))


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


def pool_runs(estimates: Iterable[Estimate]) -> tuple[float, float]:
    """The variance of a run, pooled over groups with repeated runs, and its degrees of freedom after Satterthwaite."""
    repeated = [estimate for estimate in estimates if estimate.freedom > 0]
    if not repeated:
        return 0.0, 0.0
    freedoms = [estimate.freedom for estimate in repeated]
    parts = [estimate.freedom / sum(freedoms) * estimate.num_runs * estimate.error**2 for estimate in repeated]
    return sum(parts), satterthwaite(parts, freedoms)


def _count_runs(strata: Iterable[Floats]) -> int:
    return sum(len(values) for values in strata)
