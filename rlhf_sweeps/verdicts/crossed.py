"""Which of several groups are better, where each has answered the same prompts with several seeds.

Two means differ by more than noise if they would again on other seeds *and* other prompts. So both are random, and the
two groups are paired by prompt: what makes a prompt easy for both is no noise of their difference, what makes it easy
for one of them is. Runs' means alone, which `pairs` compares where there are no outcomes by prompt, tell nothing of
other prompts; intervals that do not overlap ask for twice as much as the difference needs.

Of groups that do not differ some pair is called better in 1 to 5 % of all comparisons: test_crossed.py measures
that, with prompts, and answers to a prompt, that differ as they do in the reviews of this project.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from rlhf_sweeps.verdicts.estimates import holm
from rlhf_sweeps.verdicts.intervals import Outcomes
from rlhf_sweeps.verdicts.pairs import BETTER, LEVEL, NOISE, UNKNOWN
from rlhf_sweeps.verdicts.student import p_value, student_quantile


@dataclass(frozen=True)
class Difference:
    """The better one of two groups against the other.

    Attributes:
        first, second: labels; the first has the higher mean.
        value: first less second.
        low, high: 95 % interval of this difference alone, for other seeds and prompts; None for a single prompt.
        p_value: adjusted for all pairs, after Holm; None for a single prompt. With one seed this and the interval are
            as if seeds did not differ.
        verdict: BETTER, NOISE, or, where only another seed could tell, UNKNOWN.
    """

    first: str
    second: str
    value: float
    low: float | None
    high: float | None
    p_value: float | None
    verdict: str


def differences(groups: Mapping[str, Outcomes]) -> list[Difference]:
    """Every two groups, in the order of their means, highest first.

    Args:
        groups: label -> outcomes, (seeds, prompts); all have the same prompts in the same order.
    """
    labels = sorted(groups, key=lambda label: -float(groups[label].mean()))
    pairs = list(combinations(labels, 2))
    pooled = _pooled(groups)
    noises = [_noise(groups[first], groups[second], pooled) for first, second in pairs]
    values = [float(groups[first].mean() - groups[second].mean()) for first, second in pairs]
    p_values = holm(np.array([p_value(value, *noise) for value, noise in zip(values, noises, strict=True)]))
    found = []
    for (first, second), value, (error, freedom), p in zip(pairs, values, noises, p_values.tolist(), strict=True):
        if not freedom:
            found.append(Difference(first, second, value, None, None, None, UNKNOWN))
            continue
        margin = student_quantile(freedom) * error
        has_seeds = min(len(groups[first]), len(groups[second])) > 1
        verdict = NOISE if p > LEVEL else BETTER if has_seeds else UNKNOWN
        found.append(Difference(first, second, value, value - margin, value + margin, p, verdict))
    return found


@dataclass(frozen=True)
class _Parts:
    """Of one group: the variance of a seed's mean and that of an answer, each with its degrees of freedom."""

    seeds: float
    freedom: int
    error: float
    error_freedom: int


def _parts(outcomes: Outcomes) -> _Parts:
    num_seeds, num_prompts = outcomes.shape
    freedom, error_freedom = num_seeds - 1, (num_seeds - 1) * (num_prompts - 1)
    if not error_freedom:
        return _Parts(0.0, 0, 0.0, 0)
    rows = outcomes.mean(1, keepdims=True)
    residual = outcomes - rows - outcomes.mean(0, keepdims=True) + outcomes.mean()
    return _Parts(float(rows.var(ddof=1)), freedom, float((residual**2).sum()) / error_freedom, error_freedom)


def _noise(first: Outcomes, second: Outcomes, pooled: tuple[float, int]) -> tuple[float, float]:
    """The standard error of the difference of two means, and its degrees of freedom; 0 with a single prompt.

    It is prompts + seeds - error, each over the values that its mean is of, but never less than any of the three: seeds
    may be alike by luck. The degrees of freedom are Satterthwaite's over all of them. How seeds differ is taken from
    the two groups or from all, whichever says more, so that the few seeds of one pair that happen to agree do not pass
    for certainty.

    Args:
        pooled: the variance of a seed's mean over all groups, and its degrees of freedom.
    """
    num_prompts = first.shape[1]
    if num_prompts == 1:
        return math.nan, 0.0
    prompts = float((first.mean(0) - second.mean(0)).var(ddof=1)) / num_prompts
    known = [(len(outcomes), one) for outcomes in (first, second) if (one := _parts(outcomes)).freedom]
    errors = [one.error / size / num_prompts for size, one in known]
    own = [one.seeds / size for size, one in known]
    everyones = [pooled[0] / size for size, _ in known]
    seeds, freedoms = own, [one.freedom for _, one in known]
    if sum(everyones) > sum(own):
        seeds, freedoms = [sum(everyones)], [pooled[1]]
    variance = max(prompts, sum(seeds), sum(errors), prompts + sum(seeds) - sum(errors))
    fewest = min([num_prompts - 1, *(one.freedom for _, one in known)])
    if variance <= 0:
        return math.sqrt(_least(first, second)), float(fewest)
    parts = [(prompts, num_prompts - 1), *zip(seeds, freedoms, strict=True)]
    parts += [(error, one.error_freedom) for error, (_, one) in zip(errors, known, strict=True)]
    uncertainty = sum(part**2 / freedom for part, freedom in parts)
    return math.sqrt(variance), max(variance**2 / uncertainty, float(fewest))


def _pooled(groups: Mapping[str, Outcomes]) -> tuple[float, int]:
    """The variance of a seed's mean over all groups, and its degrees of freedom."""
    parts = [one for outcomes in groups.values() if (one := _parts(outcomes)).freedom]
    freedom = sum(one.freedom for one in parts)
    return (sum(one.seeds * one.freedom for one in parts) / freedom if freedom else 0.0), freedom


def _least(first: Outcomes, second: Outcomes) -> float:
    """The variance of a difference of rates that show none: as if each had won and lost a prompt more (Agresti, Caffo).

    Every prompt counts once, since outcomes that are all alike tell nothing of how seeds differ.
    """
    size = first.shape[1] + 2
    rates = [(float(outcomes.mean()) * first.shape[1] + 1) / size for outcomes in (first, second)]
    return float(sum(rate * (1 - rate) for rate in rates) / size)
