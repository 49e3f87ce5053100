"""The next point of a pruned grid: the middle first, then by a Gaussian process that numpy alone can check."""

import itertools
import math

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from rlhf_sweeps.sweep.search import grid_order
from rlhf_sweeps.sweep.search.grid_order import choose_most_promising
from rlhf_sweeps.sweep.search.search_space import SearchSpace


def space(*overrides: str) -> SearchSpace:
    return SearchSpace.parse(list(overrides), {}, {}, [])


LINE = space("a=1,10,100,1000,10000")


def test_the_first_point_is_the_middle() -> None:
    assert LINE.grid()[choose_most_promising(LINE.parameters, LINE.grid(), [])] == {"a": 100}
    square = space("a=1,2,3", "b=5,6,7")
    assert square.grid()[choose_most_promising(square.parameters, square.grid(), [])] == {"a": 2, "b": 6}


def test_neighbours_of_good_points_come_before_neighbours_of_bad_ones() -> None:
    left = [{"a": 1}, {"a": 10000}]
    assert left[choose_most_promising(LINE.parameters, left, [({"a": 10}, 1.0), ({"a": 1000}, 0.0)])] == {"a": 1}
    assert left[choose_most_promising(LINE.parameters, left, [({"a": 10}, 0.0), ({"a": 1000}, 1.0)])] == {"a": 10000}


def test_a_point_that_runs_already_sends_the_next_worker_elsewhere() -> None:
    left = [{"a": 1}, {"a": 10}, {"a": 10000}]
    assert left[choose_most_promising(LINE.parameters, left, [({"a": 100}, None)])] == {"a": 1}
    # Of two as good as each other the one that lies further from the point that runs.
    found = choose_most_promising(LINE.parameters, left[:1] + left[2:], [({"a": 100}, 1.0), ({"a": 1000}, None)])
    assert (left[:1] + left[2:])[found] == {"a": 1}


def test_upper_confidence_bounds_agree_with_the_textbook() -> None:
    """Equations 2.25 and 2.26 of Rasmussen and Williams, written out with an inverse, for 40 draws."""
    grid = space("a=1,2,3,4", "b=x,y", "c=0.1,0.2,0.4")
    points = grid.grid()
    generator = np.random.default_rng(0)
    for _ in range(40):
        order = generator.permutation(len(points))
        tried = [(points[i], float(generator.normal())) for i in order[:6]]
        left = [points[i] for i in order[6:]]

        def distance(one: dict[str, object], other: dict[str, object]) -> float:
            numbers = {"a": [1, 2, 3, 4], "c": [0.1, 0.2, 0.4]}
            steps = [(ns.index(one[k]) - ns.index(other[k])) / (len(ns) - 1) for k, ns in numbers.items()]  # type: ignore[arg-type]
            return math.hypot(*steps, float(one["b"] != other["b"]))

        def k(one: dict[str, object], other: dict[str, object]) -> float:
            return math.exp(-(distance(one, other) ** 2) / (2 * grid_order.LENGTH_SCALE**2))

        values = np.array([value for _, value in tried])
        scaled = (values - values.mean()) / values.std()
        gram = np.array([[k(a, b) for (b, _) in tried] for (a, _) in tried]) + grid_order.NOISE_VARIANCE * np.eye(6)
        inverse = np.linalg.inv(gram)
        bounds = []
        for point in left:
            cross = np.array([k(point, other) for other, _ in tried])
            bounds.append(
                cross @ inverse @ scaled + grid_order.CONFIDENCE_FACTOR * math.sqrt(1 - cross @ inverse @ cross)
            )
        assert choose_most_promising(grid.parameters, left, tried) == int(np.argmax(bounds))


def test_every_point_of_a_grid_is_reached_also_where_parameters_depend_on_others() -> None:
    grid = SearchSpace.parse(["a=x,y", "b=1,2,3"], {}, {"b": {"a": "y"}}, [])
    left, tried = grid.grid(), []
    for number in itertools.count():
        if not left:
            break
        point = left.pop(choose_most_promising(grid.parameters, left, tried))
        tried.append((point, float(number)))
    assert sorted(map(str, (point for point, _ in tried))) == sorted(map(str, grid.grid()))


def test_words_lie_as_far_apart_as_the_ends_of_an_axis_of_numbers() -> None:
    places = [grid_order._place_choices(parameter) for parameter in space("a=1,2,3", "b=x,y,z").parameters]
    assert [places[0][number] for number in (1, 2, 3)] == [(0.0,), (0.5,), (1.0,)]
    for one, other in itertools.combinations("xyz", 2):
        assert math.dist(places[1][one], places[1][other]) == pytest.approx(1.0)


def test_points_that_run_count_as_what_they_promised() -> None:
    """With scipy's covariances: first the mean at those that run, then the bound given that as well, for 30 draws."""
    line = space("a=1,2,3,4,5,6,7,8,9")
    points, generator = line.grid(), np.random.default_rng(7)

    def covariance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        found: np.ndarray = np.exp(-cdist(one, other, "sqeuclidean") / (2 * grid_order.LENGTH_SCALE**2))
        return found

    def posterior(known: np.ndarray, values: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        inverse = np.linalg.inv(covariance(known, known) + grid_order.NOISE_VARIANCE * np.eye(len(known)))
        cross = covariance(at, known)
        return cross @ inverse @ values, np.sqrt(1 - np.diag(cross @ inverse @ cross.T))

    for _ in range(30):
        order = generator.permutation(9)
        known, pending, left = (np.array([[i / 8] for i in part]) for part in (order[:3], order[3:5], order[5:]))
        values = generator.normal(size=3)
        scaled = (values - values.mean()) / values.std()
        believed, _ = posterior(known, scaled, pending)
        mean, deviation = posterior(np.vstack([known, pending]), np.concatenate([scaled, believed]), left)
        tried = [(points[i], float(value)) for i, value in zip(order[:3], values, strict=True)]
        tried += [(points[i], None) for i in order[3:5]]
        chosen = choose_most_promising(line.parameters, [points[i] for i in order[5:]], tried)
        assert chosen == int(np.argmax(mean + grid_order.CONFIDENCE_FACTOR * deviation))
