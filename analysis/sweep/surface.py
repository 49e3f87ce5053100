"""The objective as a smooth surface over a sweep's axes, with its uncertainty: Gaussian process regression.

Rasmussen and Williams, "Gaussian Processes for Machine Learning" (2006): prediction is algorithm 2.1, the likelihood
equation 5.8, its gradient 5.9, the Matern 5/2 kernel 4.17. The hyperparameters are those of highest posterior
probability, under priors that say: objectives change over a fair part of an axis, and most of what they do is no noise.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from analysis.records.runs import Floats
from analysis.sweep.thresholds import (
    JITTER,
    LENGTH_SCALE_PRIOR,
    MEAN_VARIANCE,
    MISSING_POSITION,
    NOISE_PRIOR,
    SIGNAL_PRIOR,
    THETA_STEP,
)
from rlhf_sweeps.record import Axis


@dataclass(frozen=True, eq=False)
class FittedSurface:
    """A fitted surface.

    Attributes:
        axes: whose positions are its coordinates.
        points: what it was fitted to, (points, axes).
        gains: the objectives there, more is better, (points,).
        noise: deviation of a single measurement about the surface, in the objective's unit.
        freedom: degrees of freedom of that noise.
        theta: the logarithms of length scales, signal variance and noise variance of the standardized objective.
        share: of the noise variance that each point has: 1 over its number of runs, (points,).
        extra: variance of each point on top of that, standardized, (points,).
        center, scale: what the objective was standardized with.
    """

    axes: Sequence[Axis]
    points: Floats
    gains: Floats
    noise: float
    freedom: float
    theta: Floats
    share: Floats
    extra: Floats
    center: float
    scale: float

    @cached_property
    def _solved(self) -> tuple[Floats, Floats]:
        from scipy.linalg import cho_solve

        standard = (self.gains - self.center) / self.scale
        kernel = _compute_kernel(_measure_squares(self.axes, self.points, self.points), self.theta)[0]
        kernel[np.diag_indices(len(standard))] += np.exp(self.theta[-1]) * self.share + self.extra + JITTER
        factor = np.asarray(np.linalg.cholesky(kernel), dtype=np.float64)
        return factor, np.asarray(cho_solve((factor, True), standard), dtype=np.float64)

    def predict(self, points: Floats) -> tuple[Floats, Floats]:
        """The surface's mean, (points,), and covariance, (points, points), in the objective's unit and its square."""
        from scipy.linalg import solve_triangular

        factor, weights = self._solved
        cross = _compute_kernel(_measure_squares(self.axes, points, self.points), self.theta)[0]
        prior = _compute_kernel(_measure_squares(self.axes, points, points), self.theta)[0]
        half = solve_triangular(factor, cross.T, lower=True)
        covariance = prior - half.T @ half
        return self.center + self.scale * (cross @ weights), self.scale**2 * covariance

    def predict_mean(self, points: Floats) -> Floats:
        """The surface's mean at many points, without their covariance, (points,)."""
        cross = _compute_kernel(_measure_squares(self.axes, points, self.points), self.theta)[0]
        return np.asarray(self.center + self.scale * (cross @ self._solved[1]), dtype=np.float64)

    def draw_surfaces(self, points: Floats, num: int, seed: int = 0) -> Floats:
        """Surfaces that the data allow, at some points, (num, points); equal arguments, equal draws."""
        mean, covariance = self.predict(points)
        # Of a covariance that rounding may have left indefinite, the root by eigenvalues is safe.
        values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
        root = vectors * np.sqrt(np.clip(values, 0.0, None))
        normal = np.random.default_rng(seed).standard_normal((num, len(mean)))
        return np.asarray(mean + normal @ root.T, dtype=np.float64)

    def predict_left_out(self) -> Floats:
        """The surface's prediction of each point from all others (equations 5.12), (points,)."""
        from scipy.linalg import cho_solve

        factor, weights = self._solved
        inverse = cho_solve((factor, True), np.eye(len(weights)))
        return np.asarray(self.gains - self.scale * weights / np.diag(inverse), dtype=np.float64)


def fit_surface(
    axes: Sequence[Axis],
    points: Floats,
    gains: Floats,
    num_runs: Floats,
    known_noise: tuple[float, int] = (np.nan, 0),
    extra: Floats | None = None,
) -> FittedSurface:
    """The surface through some measurements.

    Args:
        points: positions, nan where a key is not active, (points, axes).
        gains: what was measured there, more is better, (points,).
        num_runs: over how many runs each of them is a mean, (points,).
        known_noise: deviation of a single run from seed to seed, and its degrees of freedom; 0: not known.
        extra: deviation that a point has on top, in the objective's unit, (points,).
    """
    from scipy.optimize import minimize

    center, scale = float(gains.mean()), float(gains.std()) or 1.0
    standard = (gains - center) / scale
    squares = _measure_squares(axes, points, points)
    share = 1 / num_runs
    more = np.zeros(len(gains)) if extra is None else (extra / scale) ** 2
    prior = _make_noise_prior(known_noise, scale)
    num_axes = len(axes)
    means = np.array([*[LENGTH_SCALE_PRIOR[0]] * num_axes, SIGNAL_PRIOR[0], prior[0]])
    deviations = np.array([*[LENGTH_SCALE_PRIOR[1]] * num_axes, SIGNAL_PRIOR[1], prior[1]])

    def penalize_loss(theta: Floats) -> tuple[float, Floats]:
        value, gradient = _compute_loss(theta, squares, standard, share, more)
        away = (theta - means) / deviations
        return value + 0.5 * float(away @ away), gradient + away / deviations

    starts = [means, means + np.array([*[1.0] * num_axes, 0.0, 1.0])]
    limits = list(zip(means - 4 * deviations, means + 4 * deviations, strict=True))
    solutions = [minimize(penalize_loss, start, jac=True, method="L-BFGS-B", bounds=limits) for start in starts]
    best = min(solutions, key=lambda solution: float(solution.fun))
    theta = np.asarray(best.x, dtype=np.float64)
    noise = scale * float(np.exp(theta[-1] / 2))
    freedom = _estimate_freedom(theta, lambda place: penalize_loss(place)[1])
    return FittedSurface(axes, points, gains, noise, freedom, theta, share, more, center, scale)


def _make_noise_prior(seed_noise: tuple[float, int], scale: float) -> tuple[float, float]:
    """Mean and standard deviation of the prior of the noise variance's logarithm.

    The logarithm of a variance estimated from repetitions is biased downwards, the more so the fewer there are
    (Bartlett and Kendall 1946). It is corrected and weighted by its precision.
    """
    from scipy.special import digamma, polygamma

    deviation, freedom = seed_noise
    if not freedom or deviation <= 0:
        return NOISE_PRIOR
    log_variance = 2 * float(np.log(deviation / scale)) - float(digamma(freedom / 2)) + float(np.log(freedom / 2))
    precisions = np.array([NOISE_PRIOR[1] ** -2, 1 / float(polygamma(1, freedom / 2))])
    mean = float(np.average([NOISE_PRIOR[0], log_variance], weights=precisions))
    return mean, max(float(precisions.sum() ** -0.5), 0.05)


def _estimate_freedom(theta: Floats, gradient: Callable[[Floats], Floats]) -> float:
    """Degrees of freedom of the noise: 2 over the variance of its logarithm (Laplace's approximation), at least 1.

    The curvature is that of all hyperparameters together, since a rougher surface could stand for part of the noise.
    Of a variance with few degrees of freedom this is one too few, which makes up for Laplace's approximation: Student's
    margin for the difference of two runs covers 92 to 98 of 100 (see test_optimum.py).
    """
    steps = THETA_STEP * np.eye(len(theta))
    curvature = np.array([(gradient(theta + step) - gradient(theta - step)) / (2 * THETA_STEP) for step in steps])
    variance = float(np.linalg.pinv((curvature + curvature.T) / 2, hermitian=True)[-1, -1])
    return max(2 / variance, 1.0) if variance > 0 else 1.0


def _fill_missing(points: Floats) -> Floats:
    return np.where(np.isnan(points), MISSING_POSITION, points)


def _measure_squares(axes: Sequence[Axis], first: Floats, second: Floats) -> Floats:
    """Squared distances along each axis, (axes, first, second).

    Two choices without order are 1 apart. Where a key is not active a setting lies beside the axis, at a distance of 1
    from its middle.
    """
    apart = _fill_missing(first).T[:, :, None] - _fill_missing(second).T[:, None, :]
    beside = np.isnan(first).T[:, :, None] != np.isnan(second).T[:, None, :]
    for index, axis in enumerate(axes):
        if not axis.is_numeric:
            apart[index] = (np.abs(apart[index]) > 1e-9) & ~beside[index]
    return np.asarray(apart**2 + beside, dtype=np.float64)


def _compute_kernel(squares: Floats, theta: Floats) -> tuple[Floats, Floats]:
    """Covariances, and their derivative by the squared scaled distance, (first, second) each."""
    scaled = np.tensordot(np.exp(-2 * theta[:-2]), squares, axes=1)
    signal = np.exp(theta[-2])
    root = np.sqrt(5 * scaled)
    decay = signal * np.exp(-root)
    return decay * (1 + root + 5 / 3 * scaled) + MEAN_VARIANCE, -5 / 6 * decay * (1 + root)


def _compute_loss(
    theta: Floats, squares: Floats, standard: Floats, share: Floats, extra: Floats
) -> tuple[float, Floats]:
    """The negative log likelihood and its gradient by theta."""
    from scipy.linalg import cho_solve

    kernel, slope = _compute_kernel(squares, theta)
    noise = np.exp(theta[-1]) * share
    full = kernel.copy()
    full[np.diag_indices(len(standard))] += noise + extra + JITTER
    try:
        factor = np.linalg.cholesky(full)
    except np.linalg.LinAlgError:
        return 1e10, np.zeros_like(theta)
    inverse = cho_solve((factor, True), np.eye(len(standard)))
    weights = inverse @ standard
    value = 0.5 * float(standard @ weights) + float(np.log(np.diag(factor)).sum())
    inner = 0.5 * (inverse - np.outer(weights, weights))
    scales = -2 * np.exp(-2 * theta[:-2])
    by_length = [float((inner * slope * square).sum()) * by for square, by in zip(squares, scales, strict=True)]
    by_signal = float((inner * (kernel - MEAN_VARIANCE)).sum())
    by_noise = float((np.diag(inner) * noise).sum())
    return value, np.array([*by_length, by_signal, by_noise])
