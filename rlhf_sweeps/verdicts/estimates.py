"""Means of runs and probabilities of improvement over seeds, with 95 % intervals that hold for few seeds.

Runs of one setting are summarised by their plain mean over seeds, as in a sweep. Runs of several settings are
summarised by the interquartile mean over settings and seeds (see `choose_statistic`).

The point estimates and the percentile interval are those of Agarwal et al., "Deep Reinforcement Learning at the Edge of
the Statistical Precipice" (2021, arXiv 2108.13264), section 4, on scipy's bootstrap. The percentile interval of two,
three or five runs covers the true mean in about 50, 75 and 90 % of all cases instead of 95 %, since it never leaves the
range of the values. So `low` and `high` are Student's interval around the same mean, with the standard error of the
same resamples. test_statistics.py measures the coverage of both.
"""

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from rlhf_sweeps.verdicts.student import CONFIDENCE, Floats, satterthwaite, student_quantile, wilson

FEW_RUNS = 5  # below this, an interval relies mostly on the assumption that runs are normally distributed
RESAMPLES = 5000  # many runs get fewer, at least a quarter of these, since their percentiles vary little
_RELATIVE_TOLERANCE = 1e-12  # values that differ by less than this share of their size are equal
_RESAMPLED_VALUES = 400_000  # at most so many values are drawn at once, to limit memory

# Other swept settings -> the values of the runs that differ in their seeds only.
Strata = Mapping[Hashable, Floats]
# A summary of the objectives of several runs: takes values and an axis.
Statistic = Callable[..., Floats]


@dataclass(frozen=True)
class Estimate:
    """A mean of runs, plain or interquartile, with its intervals.

    Attributes:
        value: the mean of all runs, or of the middle half of them; both are the same for fewer than four runs.
        low, high: 95 % confidence interval, Student's with the bootstrap's standard error; nan for one run, and where
            all runs that differ only in their seeds are equal, since these do not show how much other seeds would
            differ.
        percentile_low, percentile_high: the percentile bootstrap interval, as rliable computes it; nan in the same
            cases.
        error: the standard error, nan for one run, 0 for runs that are all equal.
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
    """The mean without the lowest and the highest quarter of the values; the size of a quarter is rounded down."""
    from scipy.stats import trim_mean

    return np.asarray(trim_mean(values, 0.25, axis=axis))


def mean(values: Floats, axis: int = -1) -> Floats:
    """The mean over seeds; for one setting it is summed exactly, as in `mean_over_seeds`."""
    return np.asarray(fmean(values) if values.ndim == 1 else np.mean(values, axis=axis))


def choose_statistic(groups: Iterable[Strata]) -> Statistic:
    """The plain mean if every group is one setting, run on one or more seeds; else the interquartile mean."""
    return mean if all(len(strata) < 2 for strata in groups) else interquartile_mean


def estimate(strata: Iterable[Floats], seed: int = 0, statistic: Statistic = interquartile_mean) -> Estimate:
    """A mean of all runs, with intervals from resampling the runs of each stratum on their own.

    The variance of resamples is too small by the factor (runs - strata) / runs; the standard error is corrected for it.
    Degrees of freedom are Satterthwaite's (1946), since strata may differ in their noise, but never fewer than those of
    the smallest stratum.

    Args:
        strata: values of runs that differ only in their seeds, (runs,) each, finite. A single run cannot be resampled
            alone: see `join_single_strata`.
        seed: of the random numbers that draw the resamples.
        statistic: `mean` or `interquartile_mean`.

    Raises:
        ValueError: if there is no value.
    """
    from scipy.stats import bootstrap

    samples = join_single_strata(strata)
    pooled = np.concatenate(samples)
    value, nan = float(statistic(pooled)), float("nan")
    if len(pooled) == 1:
        return Estimate(value, nan, nan, nan, nan, nan, 0.0, 1)
    if all(are_equal(values) for values in samples):
        value = float(pooled[0]) if are_equal(pooled) else value  # without the rounding of a mean
        return Estimate(value, nan, nan, nan, nan, 0.0, _pool_freedom(samples), len(pooled))
    bootstrapped = bootstrap(
        samples,
        lambda *drawn, axis: statistic(np.concatenate(drawn, axis=axis), axis=axis),
        n_resamples=min(RESAMPLES, max(_RESAMPLED_VALUES // len(pooled), RESAMPLES // 4)),
        batch=max(1, _RESAMPLED_VALUES // len(pooled)),
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    error = float(bootstrapped.standard_error) * float(np.sqrt(len(pooled) / (len(pooled) - len(samples))))
    freedom = _pool_freedom(samples)
    margin = student_quantile(freedom) * error
    percentiles = bootstrapped.confidence_interval
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
    """Whether all values are equal except for rounding; True for an empty array.

    Args:
        size: the scale that rounding is measured by: for differences, the size of the values that were subtracted; by
            default the largest of `values`.
    """
    if len(values) == 0:
        return True
    scale = np.abs(values).max() if size is None else size
    return bool(np.ptp(values) <= _RELATIVE_TOLERANCE * scale)


def bound_as_rate(estimated: Estimate, num_prompts: int | None = None) -> Estimate:
    """Replace the interval by that of a rate: within 0 and 1, and never of width 0 because seeds happen to agree.

    A rate is a share of prompts, so its interval is at least as wide as Wilson's for that many prompts. All seeds
    answer the same prompts, which therefore count once. Where their number is unknown and all runs are equal, each run
    counts as one prompt: no variable within 0 and 1 has a larger variance about its mean than one that is either 0 or 1
    (Bhatia and Davis 2000, The American Mathematical Monthly 107, 353-357). A single run has no interval, since it does
    not show how much seeds differ.

    In simulations, 2, 3 and 5 seeds answered the same 60 or 128 prompts, with win probabilities that differ between
    prompts and between seeds. The interval contained the expectation over both in 98 to 100 % of the cases.

    A value outside of 0 and 1 is no rate; its estimate is returned unchanged.
    """
    if estimated.num_runs < 2 or not 0 <= estimated.value <= 1:
        return estimated
    size = num_prompts or (estimated.num_runs if math.isnan(estimated.low) else None)
    bounds = [] if math.isnan(estimated.low) else [(max(estimated.low, 0.0), min(estimated.high, 1.0))]
    if size is not None:
        bounds.append(wilson(estimated.value, size))
    return replace(estimated, low=min(low for low, _ in bounds), high=max(high for _, high in bounds))


def join_single_strata(strata: Iterable[Floats]) -> list[Floats]:
    """Join strata of one run, so that each has at least two, as in survey sampling (Cochran 1977, 5A.12).

    Joined strata make intervals wider rather than narrower, since their settings differ, too. If there is only one
    stratum of one run, it joins the smallest of the others. If all strata are joined into one, the interval is about
    other settings and other seeds.
    """
    arrays = [np.asarray(values, dtype=np.float64) for values in strata if len(values)]
    if not arrays:
        raise ValueError("no values")
    repeated = [values for values in arrays if len(values) > 1]
    single = [values for values in arrays if len(values) == 1]
    if not single:
        return repeated
    joined = np.concatenate(single)
    if len(joined) == 1 and repeated:
        smallest = min(range(len(repeated)), key=lambda index: len(repeated[index]))
        repeated[smallest] = np.concatenate([repeated[smallest], joined])
        return repeated
    return [*repeated, joined]


def _pool_freedom(samples: Sequence[Floats]) -> float:
    """Satterthwaite's degrees of freedom of a mean over strata, but not fewer than those of the smallest stratum."""
    fewest = min(map(len, samples)) - 1
    weights = [len(values) * float(values.var(ddof=1)) for values in samples]
    return max(float(fewest), satterthwaite(weights, [len(values) - 1 for values in samples]))


@dataclass(frozen=True)
class Probability:
    """The probability that a run of one group beats a run of another; ties count half.

    Attributes:
        value: the share of all pairs of runs within a stratum, averaged over strata; nan without a stratum.
        low, high: 95 % confidence interval.
    """

    value: float
    low: float
    high: float

    @property
    def reversed(self) -> "Probability":
        """The probability that a run of the second group beats a run of the first."""
        return Probability(1 - self.value, 1 - self.high, 1 - self.low)


def estimate_probability(first: Sequence[Floats], second: Sequence[Floats]) -> Probability:
    """P(X > Y) + P(X = Y) / 2 as in rliable, averaged over the strata that both groups have.

    The interval is the score interval of Newcombe (2006, Statistics in Medicine 25, 559-573, method 5) with Student's
    quantile in place of the normal one, and with the variances of the strata added up. Unlike a bootstrap interval it
    does not shrink to a point where all runs of one group beat all runs of the other. Strata with one run of each group
    form one sample of pairs: n of them have n - 1 degrees of freedom, as in Student's test of their differences
    (`pairs.rank`). That test uses the size of the differences, this one how often they are above 0; so a few pairs may
    be enough for one test and not for the other.

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


def adjust_by_holm(p_values: Floats, num_tests: int | None = None) -> Floats:
    """P values adjusted for their number (Holm 1979): rejecting below 5 % errs in at most 5 % of all families of tests.

    Args:
        p_values: (pairs,); nan where a pair has none, which stays nan.
        num_tests: the number of tests in the family, where only some of its p values are given.
    """
    adjusted = np.full(len(p_values), np.nan)
    given = np.flatnonzero(np.isfinite(p_values))
    order = given[np.argsort(p_values[given], kind="stable")]
    factors = (num_tests or len(order)) - np.arange(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(p_values[order] * factors), 1.0)
    return adjusted
