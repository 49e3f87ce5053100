"""Means and win rates with 95 % confidence intervals, of outcomes that share seeds and prompts.

Outcomes are given as (seeds, prompts): every seed has answered the same prompts. Seeds and prompts are both random
effects, so the intervals are about other seeds on other prompts. A single seed does not show how much seeds differ: its
intervals are about other prompts only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rlhf_sweeps.verdicts.student import CONFIDENCE, Floats, satterthwaite, student_quantile, wilson
from rlhf_sweeps.verdicts.two_way import measure_squares

Outcomes = Floats


@dataclass(frozen=True)
class Interval:
    """A mean and its interval; the bounds are None where the outcomes do not show how much others would differ."""

    mean: float
    low: float | None
    high: float | None


def estimate_mean(values: Outcomes, num_means: int = 1, widening: float = 1.0) -> Interval:
    """The mean with Student's interval, which has no bounds for a single prompt or for outcomes that are all equal.

    Args:
        values: (seeds, prompts), in any unit.
        num_means: the number of means that this one was chosen from; all of their intervals hold at once with 95 %
            confidence (Bonferroni).
        widening: the standard error is multiplied by it if there is a single seed, since it knows no dependence between
            prompts; several seeds show theirs.
    """
    mean = float(values.mean())
    if values.shape[1] == 1 or np.ptp(values) == 0:
        return Interval(mean, None, None)
    variance, freedom = _variance_of_mean(values)
    error = float(np.sqrt(variance)) * (widening if len(values) == 1 else 1.0)
    margin = student_quantile(freedom, 1 - (1 - CONFIDENCE) / num_means) * error
    return Interval(mean, mean - margin, mean + margin)


def bound_mean(values: Sequence[float]) -> float:
    """The upper end of the one-sided 95 % interval (Student's) of the mean of which `values` are a sample.

    The value itself if there is only one.
    """
    sample = np.asarray(values, dtype=np.float64)
    if len(sample) == 1:
        return float(sample[0])
    # A two-sided interval of 90 % leaves 5 % above its upper end.
    quantile = student_quantile(len(sample) - 1, 2 * CONFIDENCE - 1)
    return float(sample.mean() + quantile * sample.std(ddof=1) / np.sqrt(len(sample)))


def estimate_win_rate(wins: Outcomes, num_means: int = 1, pooled: tuple[float, int] = (0.0, 0)) -> Interval:
    """The mean with Wilson's interval at the effective sample size, after Korn and Graubard (1998); within 0 and 1.

    The effective sample size is the number of independent wins and losses whose mean has the same variance: ties make
    it larger, seeds and prompts that differ make it smaller. Outcomes that are all equal do not show how much seeds
    differ and count once for each prompt. For one seed without ties the result is Wilson's interval itself.

    Args:
        wins: 1 for a win, 0 for a loss, 1/2 for a tie, or means of these, (seeds, prompts).
        num_means: see `estimate_mean`.
        pooled: the variance of a seed's mean over many groups, and its degrees of freedom; it counts where the own one
            is smaller, since a few seeds may agree by luck.
    """
    confidence = 1 - (1 - CONFIDENCE) / num_means
    num_seeds, num_prompts = wins.shape
    rate = float(wins.mean())
    binary = rate * (1 - rate)
    if binary == 0:
        return _wilson(rate, num_prompts, student_quantile(np.inf, confidence))
    # Two prompts without a tie are added: otherwise a few wins among many ties would count as certain.
    independent = binary - float((wins * (1 - wins)).mean()) * num_prompts / (num_prompts + 2)
    if num_seeds == 1 or num_prompts == 1 or np.ptp(wins) == 0:
        return _wilson(rate, binary / independent * num_prompts, student_quantile(np.inf, confidence))
    variance, freedom = _variance_of_mean(wins, pooled)
    variance = max(variance, independent / wins.size)
    return _wilson(rate, binary / variance, student_quantile(freedom, confidence))


def _variance_of_mean(values: Outcomes, pooled: tuple[float, int] = (0.0, 0)) -> tuple[float, float]:
    """The variance of the mean, and its degrees of freedom after Satterthwaite; `pooled`: see `estimate_win_rate`.

    With several seeds the variance is (seeds + prompts - error) / size, in mean squares of the crossed layout, but
    never less than any of the three mean squares alone gives. The degrees of freedom count all three even then, since
    two seeds may agree by luck.
    """
    num_seeds, num_prompts = values.shape
    if num_seeds == 1:
        return float(values.var(ddof=1)) / num_prompts, num_prompts - 1
    squares = measure_squares(values)
    seeds, seed_freedom = max((squares.rows, num_seeds - 1), (num_prompts * pooled[0], pooled[1]))
    prompts, error = squares.columns, squares.residual
    total = max(seeds, prompts, error, seeds + prompts - error)
    freedoms = [seed_freedom, squares.column_freedom, squares.residual_freedom]
    fewest = min(num_seeds, num_prompts) - 1
    return total / values.size, max(satterthwaite([seeds, prompts, error], freedoms, total), fewest)


def _wilson(rate: float, size: float, quantile: float) -> Interval:
    return Interval(rate, *wilson(rate, size, quantile))
