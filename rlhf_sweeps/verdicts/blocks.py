"""The noise between settings that ran on the same seeds: a two-way model, setting + seed.

A seed that is good for all settings adds no noise to their differences. So each seed is a block (Fisher 1935, The
Design of Experiments): what remains after the means of settings and seeds are subtracted is the noise, pooled over the
settings. Settings are not equally noisy: a learning rate that is too high gives any result. So settings that are much
noisier than the rest are left out of the pool, one after the other, and of two settings whose own difference varies
more than the pooled noise allows, the own variance counts. test_blocks.py measures how often equal settings are told
apart. The noise of prompts comes in addition: see `other_prompts`.
"""

import math
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from rlhf_sweeps.verdicts.estimates import are_equal
from rlhf_sweeps.verdicts.two_way import sum_residual_squares

# Seed -> the value of the run on it.
Runs = Mapping[Hashable, float]
# The share of families with equal noise in which some pair with the best looks noisier than the pool, and that in which
# some setting does. Chosen: of 16 settings on 3 seeds, one better by 2 standard deviations of which seeds share half
# the variance, that is decided in 58 of 100 sweeps. Equal settings are told apart in 5 to 7 % of 800 families where the
# noise of settings differs by a factor of 2.2 (one standard deviation), and in 5 % where one of 8 is 5 times as noisy.
_NOISIER_PAIR, _NOISIER_SETTING = 0.2, 0.05
_FEWEST = 3  # settings that a pool keeps, since fewer do not show which of them is the noisy one


@dataclass(frozen=True)
class BlockNoise:
    """The variance of a run about the sum of its setting's and its seed's effect.

    Attributes:
        freedom: degrees of freedom of the variance.
        labels: the settings that it is pooled over.
        noisy: those that were left out, since they are much noisier.
    """

    variance: float
    freedom: int
    labels: frozenset[str]
    noisy: frozenset[str] = frozenset()


def pool_blocks(families: Iterable[Mapping[str, Runs]]) -> BlockNoise | None:
    """The noise of all families together; None where nothing shows it.

    Args:
        families: label -> runs, for each family of settings. Of a family, the settings count that have the most
            frequent set of seeds.
    """
    squares, freedom, labels, noisy = 0.0, 0, set[str](), set[str]()
    for family in families:
        table = _select_table(family)
        if not table or len(next(iter(table.values()))) < 2:
            continue
        whole, table = table, _leave_out_noisy(table)
        noisy |= whole.keys() - table.keys()
        values = np.array(list(table.values()))
        own = sum_residual_squares(values)
        if len(values) < 2 or are_equal(np.array([0.0, math.sqrt(own)]), float(np.abs(values).max())):
            continue
        squares += own
        freedom += (values.shape[0] - 1) * (values.shape[1] - 1)
        labels |= table.keys()
    return BlockNoise(squares / freedom, freedom, frozenset(labels), frozenset(noisy)) if freedom else None


def compare_blocks(
    names: tuple[str, str], first: Runs, second: Runs, noise: BlockNoise, num_settings: int
) -> tuple[float, float, float] | None:
    """The mean difference of two settings on their common seeds, its standard error and its degrees of freedom.

    Args:
        num_settings: the number of settings that are compared.

    Returns:
        None if they have fewer than two seeds in common.
    """
    from scipy.stats import f

    seeds = [seed for seed in first if seed in second]
    if len(seeds) < 2:
        return None
    differences = np.array([first[seed] - second[seed] for seed in seeds])
    variance, freedom = 2 * noise.variance, float(noise.freedom)
    own, own_freedom = float(differences.var(ddof=1)), len(seeds) - 1
    others = noise.freedom - (own_freedom if noise.labels.issuperset(names) else 0)
    usual = 1 - _NOISIER_PAIR / max(num_settings - 1, 1)
    is_noisy = not noise.noisy.isdisjoint(names)
    if is_noisy or (others > 0 and own > variance * float(f.ppf(usual, own_freedom, others))):
        variance, freedom = own, float(own_freedom)
    return float(differences.mean()), math.sqrt(variance / len(seeds)), freedom


def _select_table(family: Mapping[str, Runs]) -> dict[str, list[float]]:
    """Label -> values in the same order of seeds, of the settings with the most frequent set of seeds."""
    by_seeds: dict[frozenset[Hashable], list[str]] = {}
    for label, runs in family.items():
        by_seeds.setdefault(frozenset(runs), []).append(label)
    if not by_seeds:
        return {}
    _, labels = max(by_seeds.items(), key=lambda item: (len(item[0]) > 1, len(item[1]), len(item[0])))
    return {label: [family[label][seed] for seed in family[labels[0]]] for label in labels}


def _leave_out_noisy(table: dict[str, list[float]]) -> dict[str, list[float]]:
    """The settings without those that are noisier than the rest, the noisiest first, by an F test of each."""
    from scipy.stats import f

    while len(table) > _FEWEST:
        num_seeds = len(next(iter(table.values())))
        total = sum_residual_squares(np.array(list(table.values())))
        without = {label: {name: row for name, row in table.items() if name != label} for label in table}
        left = {label: sum_residual_squares(np.array(list(rest.values()))) for label, rest in without.items()}
        noisiest = min(left, key=lambda label: left[label])
        freedoms = num_seeds - 1, (len(table) - 2) * (num_seeds - 1)
        usual = float(f.ppf(1 - _NOISIER_SETTING / len(table), *freedoms))
        if (total - left[noisiest]) / freedoms[0] <= usual * left[noisiest] / freedoms[1]:
            break
        table = without[noisiest]
    return table
