"""The order of a grid's points if trials are pruned: the most promising point is next, predicted from earlier points.

A Gaussian process on the grid (Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, section 2.2)
predicts all points; the next one has the highest upper confidence bound (Srinivas et al., 2010). Neighbours on an axis
of numbers have similar values, and equal distances whatever the numbers; other choices are only equal or different.

The constants below were chosen; nothing measured them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import CategoricalDistribution

from rlhf_sweeps.sweep.search.search_space import Parameter

LENGTH_SCALE = 0.3  # length scale of the kernel, as a share of an axis
NOISE_VARIANCE = 0.1  # variance of the noise of a value; the variance of all values is 1
CONFIDENCE_FACTOR = 1.0  # standard deviations in the upper confidence bound


def choose_most_promising(
    parameters: Sequence[Parameter],
    points: Sequence[Mapping[str, Any]],
    tried: Sequence[tuple[Mapping[str, Any], float | None]],
) -> int:
    """The index of the point to try next; the first is in the middle of the grid.

    Args:
        points: the points that are left.
        tried: the earlier points, each with its newest value (higher is better), or None if it has no value yet.
    """
    axes = {parameter.name: _place_choices(parameter) for parameter in parameters}
    left = np.array([_list_coordinates(axes, point) for point in points])
    measured = np.array([_list_coordinates(axes, point) for point, value in tried if value is not None])
    pending = np.array([_list_coordinates(axes, point) for point, value in tried if value is None])
    values = np.array([value for _, value in tried if value is not None])
    if len(tried) == 0:
        return int(np.argmin(np.linalg.norm(left - left.mean(axis=0), axis=1)))
    scaled = (values - values.mean()) / (values.std() or 1.0) if len(values) else values
    # A running point counts with its predicted value, so that the next worker tries another region.
    if len(measured) and len(pending):
        predicted, _ = _predict(measured, scaled, pending)
    else:
        predicted = np.zeros(len(pending))
    seen = np.concatenate([part for part in (measured, pending) if len(part)])
    mean, deviation = _predict(seen, np.concatenate([scaled, predicted]), left)
    return int(np.argmax(mean + CONFIDENCE_FACTOR * deviation))


def _predict(measured: np.ndarray, values: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the Gaussian process at `points` (points, axes), given `values` at `measured`."""
    gram = _compute_kernel(measured, measured) + NOISE_VARIANCE * np.eye(len(measured))
    cross = _compute_kernel(points, measured)
    weights = np.linalg.solve(gram, cross.T)
    variance = 1.0 - np.einsum("ij,ji->i", cross, weights)
    return weights.T @ values, np.sqrt(np.maximum(variance, 0.0))


def _compute_kernel(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    squares = ((first[:, None, :] - second[None, :, :]) ** 2).sum(axis=-1)
    similarity: np.ndarray = np.exp(-squares / (2 * LENGTH_SCALE**2))
    return similarity


def _place_choices(parameter: Parameter) -> dict[Any, tuple[float, ...]]:
    """The coordinates of a parameter's choices: numbers from 0 to 1 on an axis, others at distance 1 on own axes."""
    assert isinstance(parameter.distribution, CategoricalDistribution)
    choices = parameter.distribution.choices
    if all(isinstance(choice, (int, float)) and not isinstance(choice, bool) for choice in choices):
        ranked = sorted(choices, key=lambda choice: float(choice or 0))
        return {choice: (ranked.index(choice) / max(1, len(choices) - 1),) for choice in choices}
    return {choice: tuple(np.eye(len(choices))[i] / np.sqrt(2)) for i, choice in enumerate(choices)}


def _list_coordinates(place: Mapping[str, Mapping[Any, tuple[float, ...]]], point: Mapping[str, Any]) -> list[float]:
    """The coordinates of a point on all axes; an inactive parameter is in the middle of its axes."""
    middles = {name: np.mean(list(where.values()), axis=0) for name, where in place.items() if name not in point}
    return [x for name, where in place.items() for x in (where[point[name]] if name in point else middles[name])]
