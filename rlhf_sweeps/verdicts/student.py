"""Student's and Wilson's margins, and Satterthwaite's degrees of freedom."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95  # of every interval that a user sees

Floats = NDArray[np.float64]


def student_quantile(freedom: float, confidence: float = CONFIDENCE) -> float:
    """Half the width of a confidence interval, in standard errors; normal for infinite degrees of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + confidence) / 2))


def p_value(difference: float, error: float, freedom: float) -> float:
    """The p value of Student's two-sided test of no difference; nan where the noise is unknown.

    Args:
        freedom: degrees of freedom of the standard error `error`; 0 where the error is unknown.
    """
    from scipy.special import stdtr

    return float(2 * stdtr(freedom, -abs(difference) / error)) if freedom > 0 else math.nan


def satterthwaite(variances: Sequence[float], freedoms: Sequence[float], total: float | None = None) -> float:
    """Degrees of freedom of a sum of independent variances (Satterthwaite 1946); 0 where all of them are 0.

    Args:
        variances, freedoms: each variance with its degrees of freedom.
        total: the combined variance, where some of them are subtracted in it or left out; by default their sum.
    """
    squares = sum(variance**2 / freedom for variance, freedom in zip(variances, freedoms, strict=True))
    return (sum(variances) if total is None else total) ** 2 / squares if squares > 0 else 0.0


def mean_and_margin(values: Floats) -> tuple[float, float]:
    """The mean, and half the width of its 95 % confidence interval (Student's), which is nan for a single value."""
    if len(values) < 2:
        return float(values.mean()), math.nan
    error = float(values.std(ddof=1)) / math.sqrt(len(values))
    return float(values.mean()), error * student_quantile(len(values) - 1)


def wilson(rate: float, size: float, quantile: float | None = None) -> tuple[float, float]:
    """The ends of Wilson's score interval (1927) of a rate within 0 and 1.

    Args:
        size: the number of wins and losses; an effective sample size need not be whole.
        quantile: the normal distribution's by default.
    """
    excess = (student_quantile(math.inf) if quantile is None else quantile) ** 2 / size
    centre = (rate + excess / 2) / (1 + excess)
    margin = math.sqrt(excess * (rate * (1 - rate) + excess / 4)) / (1 + excess)
    return max(centre - margin, 0.0), min(centre + margin, 1.0)
