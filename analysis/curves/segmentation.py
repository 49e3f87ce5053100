"""Where a noisy curve changes its course: straight pieces, as many as the data can carry.

Every number of pieces up to `MAX_PIECES` gets its best cuts by dynamic programming (Bellman, "On the approximation of
curves by line segments using dynamic programming", CACM 1961). Which number is right is decided by the Bayesian
information criterion for residuals with autocorrelation: an AR(1) process, as in Chakar et al., "A robust approach for
estimating change-points in the mean of an AR(1) process", Bernoulli 2017. Noise that remembers its last value makes
waves that are no phases; with AR(1) residuals one piece explains such waves as well as ten do.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.curves.thresholds import (
    AUTOCORRELATION_POINTS,
    CHANCE_LOCAL_NOISE,
    CHI_SQUARED,
    MAX_CUT_POINTS,
    MAX_LOCAL_NOISE,
    MAX_PIECES,
    MIN_PIECE_POINTS,
    MIN_PIECE_SHARE,
    PENALTY,
)
from analysis.records.runs import Floats

Places = NDArray[np.int64]


@dataclass(frozen=True)
class Segmentation:
    """Straight pieces of a curve.

    Attributes:
        x, y: the points that were cut, averaged down if they were many, (n,) each.
        cuts: index where each piece begins, and n at the end, (pieces + 1,).
        fitted: the pieces' values, (n,).
        noise: standard deviation of the residuals.
        autocorrelation: of the residuals, from one point to the next, 0 to below 1.
        cut_intervals: 95 % confidence interval of each inner cut, in x.
    """

    x: Floats
    y: Floats
    cuts: tuple[int, ...]
    fitted: Floats
    noise: float
    autocorrelation: float
    cut_intervals: tuple[tuple[float, float], ...]


def segment_curve(x: Floats, y: Floats, degree: int = 1, max_autocorrelation: float = 1.0) -> Segmentation:
    """Cut a curve into pieces.

    Args:
        x, y: at least one point, x ascending, (n,) each.
        degree: 1: the pieces are lines; 0: they are constants.
        max_autocorrelation: an upper bound on the autocorrelation of the noise.
    """
    x, y = average_down(x, y)
    sums = _Sums(x, y, degree)
    shortest = max(MIN_PIECE_POINTS, int(np.ceil(MIN_PIECE_SHARE * len(x))))
    options = _find_best_cuts(sums.compute_costs(), shortest)
    fits = [_fit_pieces(sums, cuts, max_autocorrelation) for cuts in options]
    best = min(range(len(fits)), key=lambda index: fits[index][0])
    _, fitted, noise, autocorrelation = fits[best]
    return Segmentation(
        x,
        y,
        options[best],
        fitted,
        noise,
        autocorrelation,
        _find_cut_intervals(x, sums, options[best], noise, autocorrelation),
    )


def average_down(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Means over consecutive points, so that at most `MAX_CUT_POINTS` are left."""
    if len(x) <= MAX_CUT_POINTS:
        return x, y
    starts = np.linspace(0, len(x), MAX_CUT_POINTS + 1).astype(int)[:-1]
    sizes = np.diff(np.append(starts, len(x)))
    return np.add.reduceat(x, starts) / sizes, np.add.reduceat(y, starts) / sizes


def measure_gap_gain(pieces: Segmentation, index: int) -> float:
    """How much better two pieces fit with a gap at cut `index` than as lines that meet, in variances of the noise.

    The best place to meet is searched for; with noise alone the gain is about chi-squared with one degree of freedom.
    """
    low, middle, high = pieces.cuts[index - 1 : index + 2]
    x, y = pieces.x[low:high], pieces.y[low:high]
    with_gap = float(np.sum((y - pieces.fitted[low:high]) ** 2))
    tried = np.unique(np.linspace(low + 1, high - 2, 40).astype(int))
    meeting = min(_fit_bent_line(x, y, float(pieces.x[place])) for place in (*tried, middle))
    variance = pieces.noise**2 * (1 + pieces.autocorrelation) / (1 - pieces.autocorrelation)
    return (meeting - with_gap) / variance


def _fit_bent_line(x: Floats, y: Floats, at: float) -> float:
    """Squared residuals of the best line with a bend at a place."""
    columns = np.stack([np.ones(len(x)), x - at, np.maximum(x - at, 0)], axis=1)
    solution = np.linalg.lstsq(columns, y, rcond=None)[0]
    return float(np.sum((y - columns @ solution) ** 2))


class _Sums:
    """Running sums from which the best line over any stretch of points follows at once."""

    def __init__(self, x: Floats, y: Floats, degree: int) -> None:
        self.degree, self.size = degree, len(x)
        # Centred and scaled, since differences of large running sums lose digits.
        self.x = (x - x.mean()) / (np.ptp(x) or 1.0)
        self.center, self.scale = float(y.mean()), float(np.ptp(y)) or 1.0
        self.y = (y - self.center) / self.scale
        self.weights = _measure_local_noise(self.y) ** -2.0
        powers = np.stack([np.ones(self.size), self.x, self.x**2, self.y, self.x * self.y, self.y**2])
        columns = powers * self.weights
        self.sums = np.concatenate([np.zeros((6, 1)), np.cumsum(columns, axis=1)], axis=1)

    def fit_lines(self, start: Places, end: Places) -> tuple[Floats, Floats, Floats]:
        """Intercepts, slopes and weighted squared residuals over points start to end - 1."""
        count, x, xx, y, xy, yy = self.sums[:, end] - self.sums[:, start]
        spread = xx - x * x / count
        slope = np.where((self.degree > 0) & (spread > 1e-14), (xy - x * y / count) / np.maximum(spread, 1e-14), 0.0)
        intercept = (y - slope * x) / count
        residual = yy - y * y / count - slope * (xy - x * y / count)
        return intercept, slope, np.maximum(residual, 0.0)

    def compute_costs(self) -> Floats:
        """Squared residuals of every stretch, (start, end), infinite where it has no point."""
        start, end = np.triu_indices(self.size + 1, 1)
        costs = np.full((self.size + 1, self.size + 1), np.inf)
        costs[start, end] = self.fit_lines(start, end)[2]
        return costs


def _measure_local_noise(y: Floats) -> Floats:
    """The noise around each point of a curve, as a multiple of the curve's usual noise, (n,).

    It is the median of the absolute second differences in a window. A straight stretch adds nothing to these, and a
    single jump does not move their median.
    """
    window = max(len(y) // 4, 15) | 1
    if len(y) < 2 * window:
        return np.ones(len(y))
    turns = np.pad(np.abs(np.diff(y, 2)), (window // 2 + 1,), mode="reflect")
    local = np.median(np.lib.stride_tricks.sliding_window_view(turns, window), axis=1)
    usual = float(np.median(local))
    if usual <= 0:
        return np.ones(len(y))
    ratio: Floats = np.clip(local / usual, 1 / MAX_LOCAL_NOISE, MAX_LOCAL_NOISE)
    # Medians over so few values differ by chance; only what is beyond that counts.
    ratio[(ratio < CHANCE_LOCAL_NOISE) & (ratio > 1 / CHANCE_LOCAL_NOISE)] = 1.0
    return ratio


def _find_best_cuts(costs: Floats, shortest: int) -> list[tuple[int, ...]]:
    """The best cuts for 1, 2, ... pieces."""
    size = len(costs) - 1
    start, end = np.ogrid[: size + 1, : size + 1]
    allowed = np.where(end - start >= shortest, costs, np.inf)
    best, back = costs[0].copy(), list[Places]()
    options: list[tuple[int, ...]] = [(0, size)]
    best[1:shortest] = np.inf
    for pieces in range(2, min(MAX_PIECES, size // shortest) + 1):
        totals = best[:, None] + allowed
        back.append(np.argmin(totals, axis=0))
        best = np.min(totals, axis=0)
        cuts = [size]
        for step in reversed(back[: pieces - 1]):
            cuts.append(int(step[cuts[-1]]))
        options.append((0, *reversed(cuts)))
    return options


def _fit_pieces(sums: _Sums, cuts: tuple[int, ...], max_autocorrelation: float) -> tuple[float, Floats, float, float]:
    """BIC, fitted values, standard deviation and autocorrelation of the residuals of the pieces between cuts."""
    starts, ends = np.array(cuts[:-1]), np.array(cuts[1:])
    intercept, slope, _ = sums.fit_lines(starts, ends)
    piece = np.repeat(np.arange(len(starts)), ends - starts)
    fitted = intercept[piece] + slope[piece] * sums.x
    residual = (sums.y - fitted) * np.sqrt(sums.weights)
    size, num_lines = sums.size, (sums.degree + 1) * len(starts)
    free = max(size - num_lines, 1)
    variance = max(float(residual @ residual) / free, 1e-6)  # of a range of 1: what is below is no phase, but rounding
    autocorrelation = min(_measure_autocorrelation(residual, num_lines), max_autocorrelation)
    innovation = variance * (1 - autocorrelation**2)
    count = num_lines + len(starts) - 1
    penalty = PENALTY * count * np.log(size) * size / max(size - count, 1)  # the last factor for short curves
    score = size * np.log(innovation) + penalty
    return score, fitted * sums.scale + sums.center, np.sqrt(variance) * sums.scale, autocorrelation


def _measure_autocorrelation(residual: Floats, num_lines: int) -> float:
    """The residuals' autocorrelation from point to point, corrected for the bias that fitting lines brings."""
    energy = float(residual @ residual)
    if energy <= 0 or len(residual) < 4:
        return 0.0
    raw = float(residual[1:] @ residual[:-1]) / energy
    return float(
        np.clip(
            raw + num_lines / len(residual) * (1 + raw), 0.0, len(residual) / (len(residual) + AUTOCORRELATION_POINTS)
        )
    )


def _find_cut_intervals(
    x: Floats, sums: _Sums, cuts: tuple[int, ...], noise: float, autocorrelation: float
) -> tuple[tuple[float, float], ...]:
    """95 % confidence interval of each cut: outside of it the fit is worse by more than chance."""
    intervals = []
    variance = (noise / sums.scale) ** 2 * (1 + autocorrelation) / (1 - autocorrelation)
    for low, high in zip(cuts[:-2], cuts[2:], strict=True):
        places = np.arange(low + 2, high - 1)  # no shorter pieces: a line through one point fits it always
        worse = (
            sums.fit_lines(np.full_like(places, low), places)[2] + sums.fit_lines(places, np.full_like(places, high))[2]
        )
        likely = places[worse <= worse.min() + CHI_SQUARED * variance]
        intervals.append((float(x[likely[0]]), float(x[likely[-1]])))
    return tuple(intervals)
