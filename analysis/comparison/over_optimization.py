"""The law of over-optimization of Gao, Schulman and Hilton (2022, arXiv 2210.10760, equation 2) fitted to evaluations.

A policy that reinforcement learning took to a distance d = sqrt(KL) from where it began has gained
R(d) = d (alpha - beta log d): alpha is the gain of optimization at first, beta says how soon it ends. The law is
linear in both, so least squares has one solution. The gain is highest at d = exp(alpha / beta - 1).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.comparison.thresholds import LAW_RESAMPLES, MIN_LAW_POINTS
from analysis.records.runs import Floats
from rlhf_sweeps.verdicts.student import student_quantile


@dataclass(frozen=True)
class FittedLaw:
    """The fitted law with 95 % intervals.

    Attributes:
        alpha, alpha_low, alpha_high: gain a unit of sqrt(nats), at d = 1.
        beta, beta_low, beta_high: the fall of that gain when d grows e-fold.
        peak_kl, peak_low, peak_high: the KL in nats where the gain is highest; nan unless beta's interval is above 0,
            or beta is and its interval is unknown.
        largest_kl: of the points.
        num_points, num_runs: the numbers of points and runs fitted.
        deviation: the root mean squared distance of the points from the curve.
    """

    alpha: float
    alpha_low: float
    alpha_high: float
    beta: float
    beta_low: float
    beta_high: float
    peak_kl: float
    peak_low: float
    peak_high: float
    largest_kl: float
    num_points: int
    num_runs: int
    deviation: float

    @property
    def has_peak(self) -> bool:
        """Whether the gain has a highest point beyond doubt."""
        return not math.isnan(self.peak_kl)

    @property
    def is_peak_within_data(self) -> bool:
        """Whether the points reach as far as the peak; beyond, it is an extrapolation."""
        return self.has_peak and self.peak_kl <= self.largest_kl

    def predict_gain(self, distances: Floats) -> Floats:
        """R(d), of any shape."""
        return np.asarray(_make_columns(distances) @ np.array([self.alpha, self.beta]))


def fit_law(paths: Sequence[tuple[Floats, Floats]], seed: int = 0) -> FittedLaw | None:
    """Least squares over all points, with intervals from resampling whole runs.

    The points of one run depend on each other, so whole runs are resampled. Percentiles of few resampled runs
    cover too little (two runs: 60 %), so intervals are Student's with the bootstrap's standard error, and the peak's is
    Fieller's (1954) for the ratio alpha / beta with the bootstrap's covariance. It is bounded exactly where beta's
    interval leaves out 0. For a single run, covariances are those of least squares, as if its points were independent,
    and say nothing of how runs differ. Where runs are all alike, or one lies on the law itself, intervals are unknown.

    Args:
        paths: of each run distances sqrt(KL) and gains, (points,) each, all finite, distances 0 or more.

    Returns:
        None if fewer than MIN_LAW_POINTS points lie at different distances above 0.
    """
    runs = [path for path in paths if (path[0] > 0).any()]
    distances = np.concatenate([path[0] for path in runs]) if runs else np.empty(0)
    if len(np.unique(distances[distances > 0])) < MIN_LAW_POINTS:
        return None
    columns = [_make_columns(path[0]) for path in runs]
    gains = np.concatenate([path[1] for path in runs])
    squares = np.array([part.T @ part for part in columns])
    products = np.array([part.T @ path[1] for part, path in zip(columns, runs, strict=True)])
    solution = _solve(squares.sum(0)[None], products.sum(0)[None])
    if solution is None:
        return None
    alpha, beta = (float(value) for value in solution[0])
    residuals = np.concatenate(columns) @ solution[0] - gains
    if len(runs) > 1:
        quantile, covariance = student_quantile(len(runs) - 1), _resample_covariance(squares, products, seed)
    else:
        quantile, covariance = student_quantile(len(distances) - 2), _estimate_covariance_of_run(squares[0], residuals)
    covariance = _discard_rounding(covariance, max(abs(alpha), abs(beta)))
    alpha_margin, beta_margin = (quantile * np.sqrt(np.diag(covariance))).tolist()
    peak_kl, peak_low, peak_high = _locate_peak(alpha, beta, quantile**2 * covariance)
    return FittedLaw(
        alpha,
        alpha - alpha_margin,
        alpha + alpha_margin,
        beta,
        beta - beta_margin,
        beta + beta_margin,
        peak_kl,
        peak_low,
        peak_high,
        float(distances.max() ** 2),
        len(distances),
        len(runs),
        float(np.sqrt(np.mean(residuals**2))),
    )


def _make_columns(distances: Floats) -> Floats:
    """d and -d log d, (..., 2); both 0 at d = 0."""
    safe = np.where(distances > 0, distances, 1.0)
    return np.stack([distances, -distances * np.log(safe)], axis=-1)


def _solve(squares: Floats, products: Floats) -> Floats | None:
    """The solutions of many normal equations, (many, 2); those without one are left out, None if none is left."""
    traces = np.trace(squares, axis1=1, axis2=2)
    is_solvable = np.linalg.det(squares) > 1e-10 * traces**2
    if not is_solvable.any():
        return None
    return np.asarray(np.linalg.solve(squares[is_solvable], products[is_solvable][..., None])[..., 0])


def _resample_covariance(squares: Floats, products: Floats, seed: int) -> Floats:
    """Of alpha and beta from resampling, (2, 2), corrected for resamples scattering less than samples."""
    size = len(squares)
    counts = (
        np.random.default_rng(seed).multinomial(size, np.full(size, 1 / size), size=LAW_RESAMPLES).astype(np.float64)
    )
    drawn = _solve(np.einsum("bi,ijk->bjk", counts, squares), counts @ products)
    if drawn is None or len(drawn) < LAW_RESAMPLES / 2:
        return np.full((2, 2), np.inf)
    return np.cov(drawn.T) * size / (size - 1)


def _discard_rounding(covariance: Floats, size: float) -> Floats:
    """The covariance; nan if it is only rounding: equal runs do not show how much others would differ."""
    return covariance if np.sqrt(np.diag(covariance)).max() > 1e-9 * size else np.full((2, 2), np.nan)


def _estimate_covariance_of_run(squares: Floats, residuals: Floats) -> Floats:
    """The covariance of alpha and beta of one run by least squares, (2, 2)."""
    return np.asarray(np.linalg.inv(squares) * float((residuals**2).sum()) / (len(residuals) - 2))


def _locate_peak(alpha: float, beta: float, spread: Floats) -> tuple[float, float, float]:
    """The peak's KL and its interval, Fieller's for alpha / beta; nan where beta may be 0, or nothing is known.

    Args:
        spread: the covariance times the squared quantile, (2, 2).
    """
    if np.isnan(spread).any() and beta > 0:
        return math.exp(min(2 * (alpha / beta - 1), 700.0)), math.nan, math.nan
    # All ratios r with (alpha - r beta)^2 <= quantile^2 Var(alpha - r beta).
    square = beta**2 - spread[1, 1]
    if not (beta > 0 and np.isfinite(square) and square > 0):
        return math.nan, math.nan, math.nan
    middle = alpha * beta - spread[0, 1]
    root = math.sqrt(max(middle**2 - square * (alpha**2 - spread[0, 0]), 0.0))
    ratios = (alpha / beta, (middle - root) / square, (middle + root) / square)
    peak, low, high = (math.exp(min(2 * (ratio - 1), 700.0)) for ratio in ratios)
    return peak, low, high
