"""Which of several groups are better, where each has answered the same prompts with several seeds.

Two means differ by more than noise if they would differ again on other seeds *and* other prompts. So seeds and prompts
are both random effects. The two groups are paired by prompt: a prompt that is easy for both groups adds no noise to
their difference; a prompt that is easy for only one of them does. Where no outcomes by prompt are recorded, `pairs`
compares the means of runs, which say nothing about other prompts. Intervals that do not overlap would be a stricter
test: they ask for about twice the difference that is needed.

Where groups do not differ, some pair is called better in 1 to 5 % of all comparisons. test_crossed.py measures this,
with prompts and answers that vary as they do in the reviews of this project.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from rlhf_sweeps.verdicts.error_rate import SIGNIFICANCE_LEVEL, adjust_pairs
from rlhf_sweeps.verdicts.intervals import Outcomes
from rlhf_sweeps.verdicts.other_prompts import measure_prompt_noise
from rlhf_sweeps.verdicts.pairs import BETTER, NOISE, UNKNOWN
from rlhf_sweeps.verdicts.student import p_value, satterthwaite, student_quantile
from rlhf_sweeps.verdicts.two_way import measure_squares


@dataclass(frozen=True)
class Difference:
    """The better of two groups compared with the other.

    Attributes:
        first, second: labels; the first has the higher mean.
        value: the mean of the first minus the mean of the second.
        low, high: 95 % confidence interval of this difference alone, over other seeds and prompts; None for a single
            prompt.
        p_value: adjusted for all pairs, or of the winner's claim (see `error_rate.adjust_pairs`); None for a single
            prompt. With one seed, the p value and the interval assume that seeds do not differ.
        verdict: BETTER or NOISE, or UNKNOWN where only another seed could decide.
    """

    first: str
    second: str
    value: float
    low: float | None
    high: float | None
    p_value: float | None
    verdict: str


def compare_by_prompt(groups: Mapping[str, Outcomes]) -> list[Difference]:
    """Compare every two groups, in the order of their means, highest first.

    Args:
        groups: label -> outcomes, (seeds, prompts); all have the same prompts in the same order.
    """
    labels = sorted(groups, key=lambda label: -float(groups[label].mean()))
    pairs = list(combinations(labels, 2))
    pooled = pool_seed_variance(groups.values())
    noises = [_estimate_noise(groups[first], groups[second], pooled) for first, second in pairs]
    values = [float(groups[first].mean() - groups[second].mean()) for first, second in pairs]
    p_values = adjust_pairs(
        np.array([p_value(value, *noise) for value, noise in zip(values, noises, strict=True)]),
        [first == labels[0] for first, _ in pairs],
        [value > 0 for value in values],
        len(pairs),
    )
    compared = []
    for (first, second), value, (error, freedom), p in zip(pairs, values, noises, p_values.tolist(), strict=True):
        if not freedom:
            compared.append(Difference(first, second, value, None, None, None, UNKNOWN))
            continue
        margin = student_quantile(freedom) * error
        has_seeds = min(len(groups[first]), len(groups[second])) > 1
        verdict = NOISE if p > SIGNIFICANCE_LEVEL else BETTER if has_seeds else UNKNOWN
        compared.append(Difference(first, second, value, value - margin, value + margin, p, verdict))
    return compared


def _measure_seeds(outcomes: Outcomes) -> tuple[float, int]:
    """The variance of a seed's mean in one group, and its degrees of freedom; (0, 0) where they are unknown."""
    squares = measure_squares(outcomes)
    return (squares.rows / outcomes.shape[1], squares.row_freedom) if squares.residual_freedom else (0.0, 0)


def _estimate_noise(first: Outcomes, second: Outcomes, pooled: tuple[float, int]) -> tuple[float, float]:
    """The standard error of the difference of two means, and its degrees of freedom; 0 with a single prompt.

    The variance is prompts + seeds - error, each divided by its number of values, but never less than any of the three,
    since seeds may agree by luck. The degrees of freedom are Satterthwaite's over all terms. The variance between seeds
    is taken from the two groups or from all groups, whichever is larger: otherwise a few seeds of one pair that happen
    to agree would count as certainty.

    Args:
        pooled: the variance of a seed's mean over all groups, and its degrees of freedom.
    """
    num_prompts = first.shape[1]
    if num_prompts == 1:
        return math.nan, 0.0
    noise = measure_prompt_noise([first], [second])
    prompts, errors = noise.whole, [error for error, _ in noise.residuals]
    repeated = [(len(outcomes), *parts) for outcomes in (first, second) if (parts := _measure_seeds(outcomes))[1]]
    own, freedoms = [variance / size for size, variance, _ in repeated], [freedom for *_, freedom in repeated]
    overall = [pooled[0] / size for size, *_ in repeated]
    seeds, own_freedoms = own, freedoms
    if sum(overall) > sum(own):
        seeds, freedoms = [sum(overall)], [pooled[1]]
    variance = max(prompts, sum(seeds), sum(errors), prompts + sum(seeds) - sum(errors))
    fewest = min([noise.freedom, *own_freedoms])
    if variance <= 0:
        return math.sqrt(_least_variance(first, second)), float(fewest)
    terms = [(prompts, noise.freedom), *zip(seeds, freedoms, strict=True), *noise.residuals]
    variances, all_freedoms = [term for term, _ in terms], [freedom for _, freedom in terms]
    return math.sqrt(variance), max(satterthwaite(variances, all_freedoms, variance), float(fewest))


def pool_seed_variance(groups: Iterable[Outcomes]) -> tuple[float, int]:
    """The variance of a seed's mean over all groups, and its degrees of freedom; (0, 0) without repeated seeds."""
    repeated = [parts for outcomes in groups if (parts := _measure_seeds(outcomes))[1]]
    freedom = sum(own for _, own in repeated)
    return (sum(variance * own for variance, own in repeated) / freedom if freedom else 0.0), freedom


def _least_variance(first: Outcomes, second: Outcomes) -> float:
    """The variance of a difference of two rates without observed variance: each group gets a win and a loss more.

    This is the correction of Agresti and Caffo. Every prompt counts once, since outcomes that are all equal do not show
    how much seeds differ.
    """
    size = first.shape[1] + 2
    rates = [(float(outcomes.mean()) * first.shape[1] + 1) / size for outcomes in (first, second)]
    return float(sum(rate * (1 - rate) for rate in rates) / size)
