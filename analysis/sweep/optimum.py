"""How flat the optimum is: the part of each axis on which the objective stays within noise of the best.

Along an axis, the other keys have the values of the setting that is best by the fitted surface. A value is within noise
of the best if the surface there is at most the noise of one run below its highest point on the axis. Draws of surfaces
that the data allow give the probability of that.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.output.thinning import pick_evenly
from analysis.records.runs import Floats
from analysis.sweep.chance import compute_p_values
from analysis.sweep.settings import Setting, View
from analysis.sweep.surface import FittedSurface, fit_surface
from analysis.sweep.thresholds import (
    BAND,
    FLAT,
    FLOOR_DEPTH,
    LIKELY,
    MAX_SETTINGS,
    MIN_EXPLAINED,
    MIN_SETTINGS,
    MIN_SETTINGS_PER_AXIS,
    NUM_DRAWS,
    NUM_POINTS,
    POSSIBLE,
)
from rlhf_sweeps.record import Axis
from rlhf_sweeps.verdicts.error_rate import SIGNIFICANCE_LEVEL
from rlhf_sweeps.verdicts.estimates import are_equal
from rlhf_sweeps.verdicts.noise import Noise


@dataclass(frozen=True, eq=False)
class Profile:
    """The surface along one axis, through the best setting.

    Attributes:
        axis: the key.
        positions: where it was looked at, (points,).
        mean, low, high: the objective there as measured, and its 90 % band, (points,).
        within: probability of being within noise of the best, (points,).
        is_highest: probability of being the highest point, (points,).
        draws: surfaces that the data allow, more is better, (draws, points).
        p_value: probability that chance makes any key seem to matter as much as this one.
    """

    axis: Axis
    positions: Floats
    mean: Floats
    low: Floats
    high: Floats
    within: Floats
    is_highest: Floats
    draws: Floats
    p_value: float

    @property
    def is_clear(self) -> bool:
        """Whether the key matters beyond chance."""
        return self.p_value <= SIGNIFICANCE_LEVEL

    @property
    def is_flat(self) -> bool:
        """Whether all of the axis is within noise of the best."""
        return bool((self.within >= FLAT).all())

    @property
    def likely(self) -> Floats:
        """The positions that are more likely than not within noise of the best, those in one piece with the best."""
        return self._select_around(LIKELY)

    @property
    def possible(self) -> Floats:
        """The positions that the data do not rule out to be within noise of the best, with all between them."""
        places = np.flatnonzero(self.within >= POSSIBLE)
        return self.positions[places[0] : places[-1] + 1] if len(places) else self.positions

    @property
    def is_unknown(self) -> bool:
        """Whether the data rule out no part of the axis, without showing it to be flat."""
        return len(self.possible) == len(self.positions) and not self.is_flat and not self._rules_out_any

    @property
    def _rules_out_any(self) -> bool:
        return bool((self.within < POSSIBLE).any())

    def _select_around(self, level: float) -> Floats:
        best = int(self.within.argmax())
        if self.axis.choices:
            return self.positions[self.within >= level]
        first = last = best
        while first > 0 and self.within[first - 1] >= level:
            first -= 1
        while last + 1 < len(self.positions) and self.within[last + 1] >= level:
            last += 1
        return self.positions[first : last + 1]


@dataclass(frozen=True, eq=False)
class Optimum:
    """The fit around the best setting.

    Attributes:
        surface: fitted to the settings.
        anchor: the setting that is best by the surface; the profiles go through it.
        profiles: one for each axis.
        noise: of one run, by the scatter about the surface and by seeds; `within noise` means its deviation.
        explained: share of the variance between settings that the surface predicts, each setting left out in turn.
    """

    surface: FittedSurface
    anchor: Setting
    profiles: Sequence[Profile]
    noise: Noise
    explained: float


def explain_too_few(view: View, num_complete: int, num: int) -> str | None:
    """Why there are too few settings, or too few complete ones, to fit a surface; None if there are enough."""
    needed = MIN_SETTINGS + MIN_SETTINGS_PER_AXIS * len(view.axes)
    if num_complete < MIN_SETTINGS:
        return f"{num_complete} complete settings are too few; at least {MIN_SETTINGS} are needed"
    return (
        f"{num} settings are too few; at least {needed} are needed for {len(view.axes)} keys" if num < needed else None
    )


def find_optimum(view: View, objective: int = 0) -> Optimum | None:
    """The surface fitted to a view's settings, and its profiles through the best one.

    Returns:
        None where the settings are too few or all the same, none keeps the constraints, or nothing stands out from
        chance: a surface can be fitted to noise, too.
    """
    complete = [setting for setting in view.settings if setting.is_feasible]
    settings = [*complete, *view.pruned]
    sign = view.get_sign(objective)
    gains = sign * np.array([setting.objectives[objective] for setting in settings])
    if not view.axes or explain_too_few(view, len(complete), len(settings)) or are_equal(gains):
        return None
    # Evenly, not the best ones: those are the lucky ones, and would seem less noisy than they are.
    chosen = pick_evenly(len(gains), MAX_SETTINGS)
    settings, gains = [settings[i] for i in chosen], gains[chosen]
    points = view.compute_positions([setting.values for setting in settings])
    p_values = compute_p_values(view.axes, points, gains)
    seed_noise = view.estimate_noise(objective)
    num_runs = np.array([float(len(setting.by_run)) for setting in settings])
    deviations = np.array([setting.deviation for setting in settings])
    surface = fit_surface(
        view.axes, points, raise_to_floor(gains), num_runs, (seed_noise.deviation, seed_noise.repetitions), deviations
    )
    is_measured = np.array([not setting.is_estimate for setting in settings])
    explained = _measure_explained_share(surface, is_measured)
    if p_values.min() > SIGNIFICANCE_LEVEL and explained < MIN_EXPLAINED:
        return None
    # The highest point of the surface is less lucky than the highest measurement.
    best = int(np.where(is_measured, surface.predict_mean(points), -np.inf).argmax())
    profiles = [
        _make_profile(surface, points[best], index, sign, float(p_value)) for index, p_value in enumerate(p_values)
    ]
    noise = Noise(surface.noise, surface.freedom, seed_noise.repetitions, is_fitted=True)
    return Optimum(surface, settings[best], profiles, noise, explained)


def _measure_explained_share(surface: FittedSurface, is_measured: NDArray[np.bool_]) -> float:
    heights = surface.gains[is_measured]
    left = heights - surface.predict_left_out()[is_measured]
    return 1 - float((left**2).mean() / max(heights.var(), 1e-300))


def raise_to_floor(gains: Floats) -> Floats:
    """The gains, those far below the median raised to a floor.

    Past some learning rate a run is worth nothing. A surface smooth enough for the rest cannot follow such a cliff, and
    would sink near the optimum for its sake; how deep it goes is of no interest there.
    """
    middle = float(np.median(gains))
    return np.maximum(gains, middle - FLOOR_DEPTH * (float(gains.max()) - middle))


def _make_profile(surface: FittedSurface, anchor: Floats, index: int, sign: float, p_value: float) -> Profile:
    axis = surface.axes[index]
    positions = _make_grid(axis)
    points = np.tile(anchor, (len(positions), 1))
    points[:, index] = positions
    mean, covariance = surface.predict(points)
    margin = BAND * np.sqrt(np.clip(np.diag(covariance), 0, None))
    draws = surface.draw_surfaces(points, NUM_DRAWS)
    within = (draws >= draws.max(axis=1, keepdims=True) - surface.noise).mean(axis=0)
    highest = np.bincount(draws.argmax(axis=1), minlength=len(positions)) / len(draws)
    low, high = sorted((sign * (mean - margin), sign * (mean + margin)), key=lambda band: float(band.sum()))
    return Profile(axis, positions, sign * mean, low, high, within, highest, draws, p_value)


def _make_grid(axis: Axis) -> Floats:
    if axis.is_interval:
        return np.linspace(0, 1, NUM_POINTS)
    return np.array([axis.position(text) for text in axis.choices])
