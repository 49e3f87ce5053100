"""Which point of a grid comes next where bad points are pruned: one that promises most, by those before it.

A Gaussian process on the grid (Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, section 2.2), and
of the points that are left the one with the highest upper confidence bound (Srinivas et al., 2010). Neighbours on an
axis of numbers are alike, and lie equally far apart whatever the numbers; what is no number is only equal or not.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import CategoricalDistribution

from rlhf_sweeps.sweep.search.search_space import Parameter

LENGTH = 0.3  # of an axis, over which values are alike
NOISE = 0.1  # variance of a value, where that of all values is 1
BOLDNESS = 1.0  # standard deviations that an unknown point is given


def most_promising(
    parameters: Sequence[Parameter],
    points: Sequence[Mapping[str, Any]],
    tried: Sequence[tuple[Mapping[str, Any], float | None]],
) -> int:
    """The index of the point to try next; the first is the one in the middle of the grid.

    Args:
        points: those that are left.
        tried: those before, each with its newest value (higher is better), or None where there is none yet.
    """
    place = {parameter.name: _places(parameter) for parameter in parameters}
    left = np.array([_coordinates(place, point) for point in points])
    known = np.array([_coordinates(place, point) for point, value in tried if value is not None])
    pending = np.array([_coordinates(place, point) for point, value in tried if value is None])
    values = np.array([value for _, value in tried if value is not None])
    if len(tried) == 0:
        return int(np.argmin(np.linalg.norm(left - left.mean(axis=0), axis=1)))
    scaled = (values - values.mean()) / (values.std() or 1.0) if len(values) else values
    # A point that runs counts as if it were as good as it promised, so that the next worker goes elsewhere.
    if len(known) and len(pending):
        believed, _ = _predict(known, scaled, pending)
    else:
        believed = np.zeros(len(pending))
    seen = np.concatenate([part for part in (known, pending) if len(part)])
    mean, deviation = _predict(seen, np.concatenate([scaled, believed]), left)
    return int(np.argmax(mean + BOLDNESS * deviation))


def _predict(known: np.ndarray, values: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the Gaussian process at `points` (points, axes), given values at `known`."""
    gram = _kernel(known, known) + NOISE * np.eye(len(known))
    cross = _kernel(points, known)
    weights = np.linalg.solve(gram, cross.T)
    variance = 1.0 - np.einsum("ij,ji->i", cross, weights)
    return weights.T @ values, np.sqrt(np.maximum(variance, 0.0))


def _kernel(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    squares = ((one[:, None, :] - other[None, :, :]) ** 2).sum(axis=-1)
    similarity: np.ndarray = np.exp(-squares / (2 * LENGTH**2))
    return similarity


def _places(parameter: Parameter) -> dict[Any, tuple[float, ...]]:
    """Where a parameter's choices lie: numbers from 0 to 1 on one axis, others one apart on axes of their own."""
    assert isinstance(parameter.distribution, CategoricalDistribution)
    choices = parameter.distribution.choices
    if all(isinstance(choice, (int, float)) and not isinstance(choice, bool) for choice in choices):
        ranked = sorted(choices, key=lambda choice: float(choice or 0))
        return {choice: (ranked.index(choice) / max(1, len(choices) - 1),) for choice in choices}
    return {choice: tuple(np.eye(len(choices))[i] / np.sqrt(2)) for i, choice in enumerate(choices)}


def _coordinates(place: Mapping[str, Mapping[Any, tuple[float, ...]]], point: Mapping[str, Any]) -> list[float]:
    """All axes in turn; a parameter that is inactive at this point lies in the middle."""
    middles = {name: np.mean(list(where.values()), axis=0) for name, where in place.items() if name not in point}
    return [x for name, where in place.items() for x in (where[point[name]] if name in point else middles[name])]
