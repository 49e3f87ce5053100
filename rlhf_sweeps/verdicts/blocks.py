"""The noise between settings that ran on the same seeds: a two-way model, setting + seed.

A seed that is good for all settings adds no noise to their differences. So each seed is a block (Fisher 1935, The
Design of Experiments): what remains after the means of settings and seeds are subtracted is the noise, pooled over all
settings. Of two settings whose own difference varies more than the pooled noise allows, the own variance counts, since
some settings are noisier than others. test_blocks.py measures how often equal settings are told apart.
"""

import math
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from rlhf_sweeps.verdicts.estimates import are_equal
from rlhf_sweeps.verdicts.student import student_quantile

# Seed -> the value of the run on it.
Runs = Mapping[Hashable, float]
# The share of families with equal noise in which some pair with the best looks noisier than the others. Chosen: of 16
# settings on 3 seeds, one better by 2 standard deviations of which seeds share half the variance, that is decided in 57
# of 100 sweeps, and in 42 if each pair alone has a chance of 0.1. Where noise differs by a factor of 2.2 (one standard
# deviation), equal settings are told apart in 6 to 7 % instead of 7.4 %.
_NOISIER_BY_CHANCE = 0.2


@dataclass(frozen=True)
class BlockNoise:
    """The variance of a run about the sum of its setting's and its seed's effect, with degrees of freedom."""

    variance: float
    freedom: int

    def smallest_lead(self, num_seeds: int) -> float:
        """The lead over one setting that is decided at 95 % with so many seeds; half of such leads are decided."""
        return student_quantile(self.freedom) * math.sqrt(2 * self.variance / num_seeds)


def pool_blocks(families: Iterable[Mapping[str, Runs]]) -> BlockNoise | None:
    """The noise of all families together; None where nothing shows it.

    Args:
        families: label -> runs, for each family of settings. Settings with other seeds than most are left out.
    """
    squares, freedom = 0.0, 0
    for family in families:
        table = _make_table(family)
        num_settings, num_seeds = table.shape
        if num_settings < 2 or num_seeds < 2:
            continue
        residuals = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
        if are_equal(residuals, float(np.abs(table).max())):
            continue
        squares += float((residuals**2).sum())
        freedom += (num_settings - 1) * (num_seeds - 1)
    return BlockNoise(squares / freedom, freedom) if freedom else None


def compare_blocks(
    first: Runs, second: Runs, noise: BlockNoise, num_settings: int
) -> tuple[float, float, float] | None:
    """The mean difference of two settings, its standard error and its degrees of freedom.

    Args:
        num_settings: the number of settings that are compared.

    Returns:
        None if the settings have different seeds.
    """
    if first.keys() != second.keys() or len(first) < 2:
        return None
    from scipy.stats import f

    differences = np.array([first[seed] - second[seed] for seed in first])
    own, pooled = float(differences.var(ddof=1)), 2 * noise.variance
    others = noise.freedom - (len(first) - 1)
    usual = 1 - _NOISIER_BY_CHANCE / max(num_settings - 1, 1)
    is_noisier = others > 0 and own > pooled * float(f.ppf(usual, len(first) - 1, others))
    variance = own if is_noisier else pooled
    return float(differences.mean()), math.sqrt(variance / len(first)), float(noise.freedom)


def _make_table(family: Mapping[str, Runs]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """The values of the settings that have the most frequent set of seeds, (settings, seeds)."""
    by_seeds: dict[frozenset[Hashable], list[Runs]] = {}
    for runs in family.values():
        by_seeds.setdefault(frozenset(runs), []).append(runs)
    if not by_seeds:
        return np.empty((0, 0))
    seeds, members = max(by_seeds.items(), key=lambda item: (len(item[0]) > 1, len(item[1]), len(item[0])))
    order = [seed for seed in members[0] if seed in seeds]
    return np.array([[runs[seed] for seed in order] for runs in members])
