"""Means of runs and probabilities of improvement over seeds, with 95 % intervals that hold for few seeds.

Runs of one setting count by their plain mean over seeds, as everywhere; runs of several settings by the interquartile
mean over settings and seeds (see `statistic_of`).

The point estimates and the percentile interval are those of Agarwal et al., "Deep Reinforcement Learning at the Edge of
the Statistical Precipice" (2021, arXiv 2108.13264), section 4, on scipy's bootstrap. The percentile interval of two,
three or five runs covers about 50, 75 and 90 % instead of 95 %, since it never leaves the range of the values. So `low`
and `high` are Student's interval around the same mean, from the same resamples' standard error;
test_statistics.py measures what both cover.
"""

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from rlhf_sweeps.verdicts.student import CONFIDENCE, Floats, satterthwaite, student_quantile, wilson

FEW_RUNS = 5  # below, an interval rests mostly on the assumption that runs scatter as a normal distribution does
RESAMPLES = 5000  # fewer for many runs, down to a quarter, since their percentiles are close together
_EQUAL = 1e-12  # share of their size that values differ by which are the same
_LARGEST = 400_000  # values that are resampled at once

# Other swept settings -> the values of the runs that differ in their seeds only.
Strata = Mapping[Hashable, Floats]
# What runs are worth together: of values and an axis.
Statistic = Callable[..., Floats]


@dataclass(frozen=True)
class Estimate:
    """A mean of runs, plain or interquartile, and what is known about it.

    Attributes:
        value: the mean of all runs, or of the middle half of them; of fewer than four, these are the same.
        low, high: 95 % interval, Student's with the bootstrap's standard error; nan for one run, and where runs that
            differ in their seeds only are all alike, which does not show how much others would differ.
        percentile_low, percentile_high: the plain percentile bootstrap interval, as rliable gives it; nan likewise.
        error: the standard error, nan for one run, 0 for runs that are all alike.
        freedom: degrees of freedom of the standard error; 0 for one run.
        num_runs: how many values there are.
    """

    value: float
    low: float
    high: float
    percentile_low: float
    percentile_high: float
    error: float
    freedom: float
    num_runs: int


def interquartile_mean(values: Floats, axis: int = -1) -> Floats:
    """The mean without the lowest and the highest quarter, whose sizes are rounded down."""
    from scipy.stats import trim_mean

    return np.asarray(trim_mean(values, 0.25, axis=axis))


def mean(values: Floats, axis: int = -1) -> Floats:
    """The mean over seeds; of one setting without the rounding of a sum, as `mean_over_seeds` has it."""
    return np.asarray(fmean(values) if values.ndim == 1 else np.mean(values, axis=axis))


def statistic_of(groups: Iterable[Strata]) -> Statistic:
    """The mean where every group is one setting, whose runs differ in their seeds only; else the interquartile mean."""
    return mean if all(len(strata) < 2 for strata in groups) else interquartile_mean


def estimate(strata: Iterable[Floats], seed: int = 0, statistic: Statistic = interquartile_mean) -> Estimate:
    """A mean of all runs, with intervals from resampling the runs of each stratum on their own.

    Resamples scatter less than samples do, by (runs - strata) / runs in their variance, for which the standard error is
    corrected. Degrees of freedom are Satterthwaite's (1946), since strata may differ in their noise, but never fewer
    than the smallest stratum has.

    Args:
        strata: values of runs that differ in nothing but their seeds, (runs,) each, finite. Of one run alone nothing
            can be resampled: see `resampled`.
        seed: of the resampling.
        statistic: `mean` or `interquartile_mean`.

    Raises:
        ValueError: if there is no value.
    """
    from scipy.stats import bootstrap

    samples = resampled(strata)
    pooled = np.concatenate(samples)
    value, nan = float(statistic(pooled)), float("nan")
    if len(pooled) == 1:
        return Estimate(value, nan, nan, nan, nan, nan, 0.0, 1)
    if all(are_equal(values) for values in samples):
        value = float(pooled[0]) if are_equal(pooled) else value  # without the rounding of a mean
        return Estimate(value, nan, nan, nan, nan, 0.0, _freedom(samples), len(pooled))
    found = bootstrap(
        samples,
        lambda *drawn, axis: statistic(np.concatenate(drawn, axis=axis), axis=axis),
        n_resamples=min(RESAMPLES, max(_LARGEST // len(pooled), RESAMPLES // 4)),
        batch=max(1, _LARGEST // len(pooled)),
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    error = float(found.standard_error) * float(np.sqrt(len(pooled) / (len(pooled) - len(samples))))
    freedom = _freedom(samples)
    margin = student_quantile(freedom) * error
    percentiles = found.confidence_interval
    return Estimate(
        value,
        value - margin,
        value + margin,
        float(percentiles.low),
        float(percentiles.high),
        error,
        freedom,
        len(pooled),
    )


def are_equal(values: Floats, size: float | None = None) -> bool:
    """Whether values are the same but for rounding, true of none; of differences, `size` is that of what differs."""
    return len(values) == 0 or bool(np.ptp(values) <= _EQUAL * (np.abs(values).max() if size is None else size))


def of_rate(found: Estimate, num_prompts: int | None = None) -> Estimate:
    """With the interval of a rate: within 0 and 1, and never of no width because seeds happen to agree.

    A rate is a share of prompts, so its interval is at least Wilson's for that many. All seeds answer the same prompts,
    which therefore count once. Where their number is unknown and the runs are all alike, each run counts as one prompt:
    nothing within 0 and 1 varies more about its mean than what is either 0 or 1 (Bhatia and Davis 2000, The American
    Mathematical Monthly 107, 353-357). One run alone has no interval, since nothing tells how seeds differ.

    In simulations of 2, 3 and 5 seeds that answer the same 60 or 128 prompts, which they win with probabilities that
    differ between prompts and between seeds, it held the expectation over both in 98 to 100 % of the cases.

    What is not within 0 and 1 is no rate, and stays as it is.
    """
    if found.num_runs < 2 or not 0 <= found.value <= 1:
        return found
    size = num_prompts or (found.num_runs if math.isnan(found.low) else None)
    bounds = [] if math.isnan(found.low) else [(max(found.low, 0.0), min(found.high, 1.0))]
    if size is not None:
        bounds.append(wilson(found.value, size))
    return replace(found, low=min(low for low, _ in bounds), high=max(high for _, high in bounds))


def resampled(strata: Iterable[Floats]) -> list[Floats]:
    """Strata of at least two runs each: those of one run are joined, as survey samplers do (Cochran 1977, 5A.12).

    Joined strata make intervals wider rather than narrower, since the settings differ, too. A single one that is left
    over joins the smallest of the others. All of them in one: the interval is then about other settings and seeds.
    """
    arrays = [np.asarray(values, dtype=np.float64) for values in strata if len(values)]
    if not arrays:
        raise ValueError("no values")
    kept = [values for values in arrays if len(values) > 1]
    single = [values for values in arrays if len(values) == 1]
    if not single:
        return kept
    joined = np.concatenate(single)
    if len(joined) == 1 and kept:
        smallest = min(range(len(kept)), key=lambda index: len(kept[index]))
        kept[smallest] = np.concatenate([kept[smallest], joined])
        return kept
    return [*kept, joined]


def _freedom(samples: Sequence[Floats]) -> float:
    """Of the variance of a mean over strata: Satterthwaite's, but not below that of the smallest stratum."""
    fewest = min(map(len, samples)) - 1
    weights = [len(values) * float(values.var(ddof=1)) for values in samples]
    return max(float(fewest), satterthwaite(weights, [len(values) - 1 for values in samples]))


@dataclass(frozen=True)
class Probability:
    """That a run of one group beats one of another; ties count half.

    Attributes:
        value: the share of all pairs of runs within a stratum, averaged over strata; nan without any.
        low, high: 95 % interval.
    """

    value: float
    low: float
    high: float

    @property
    def reversed(self) -> "Probability":
        """That a run of the other group beats one of this."""
        return Probability(1 - self.value, 1 - self.high, 1 - self.low)


def probability(first: Sequence[Floats], second: Sequence[Floats]) -> Probability:
    """P(X > Y) + P(X = Y) / 2 as in rliable: over strata that both groups have, each weighing the same.

    The interval is the score interval of Newcombe (2006, Statistics in Medicine 25, 559-573, method 5) with Student's
    quantile in place of the normal one, and with the variances of the strata added up. Unlike a bootstrap's it does not
    shrink to a point where all runs of one group beat all of the other. Strata with one run of each are pairs of one
    sample: n of them have n - 1 degrees of freedom, as in Student's test of their differences (`pairs.rank`). That test
    looks at how large the differences are, this at how often they are above 0, so few pairs may be enough for the one
    and not for the other.

    Args:
        first, second: the values of the same strata in the same order, (runs,) each.
    """
    shares, sizes = [], []
    for ours, theirs in zip(first, second, strict=True):
        shares.append(float((np.sign(ours[:, None] - theirs[None, :]).mean() + 1) / 2))
        sizes.append((len(ours), len(theirs)))
    if not shares:
        return Probability(float("nan"), float("nan"), float("nan"))
    value = float(np.mean(shares))
    guesses = np.linspace(0, 1, 2001)
    variance = np.zeros_like(guesses)
    for num_ours, num_theirs in sizes:
        others = (num_ours + num_theirs) / 2 - 1
        spread = 1 + others * ((1 - guesses) / (2 - guesses) + guesses / (1 + guesses))
        variance += guesses * (1 - guesses) * spread / (num_ours * num_theirs)
    num_single = sizes.count((1, 1))
    freedom = max(sum(map(sum, sizes)) - 2 * len(sizes) + max(num_single - 1, 0), 1)
    margin = student_quantile(freedom) * np.sqrt(variance) / len(sizes)
    inside = guesses[np.abs(guesses - value) <= margin]
    low, high = (inside[0], inside[-1]) if len(inside) else (value, value)
    return Probability(value, float(min(low, value)), float(max(high, value)))


def holm(p_values: Floats, num_tests: int | None = None) -> Floats:
    """Adjusted for being many, after Holm (1979): rejecting those below 5 % errs in 5 % of all families at most.

    Args:
        p_values: (pairs,); nan where there is none, which stays.
        num_tests: how many there are in all, where only some are given.
    """
    adjusted = np.full(len(p_values), np.nan)
    known = np.flatnonzero(np.isfinite(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    factors = (num_tests or len(order)) - np.arange(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(p_values[order] * factors), 1.0)
    return adjusted
