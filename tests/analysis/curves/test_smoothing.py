"""."""

import numpy as np
import pytest
from scipy.signal import savgol_filter

from analysis.curves.smoothing import choose_window, smooth_curve


@pytest.mark.parametrize("window", [3, 9, 21])
def test_on_an_even_grid_it_is_scipys_filter_of_degree_1(window: int) -> None:
    values = np.random.default_rng(0).normal(size=50)
    expected = savgol_filter(values, window, polyorder=1, mode="interp")
    np.testing.assert_allclose(smooth_curve(np.arange(50.0), values, window), expected, atol=1e-12)


def test_inside_it_is_the_moving_average_by_hand() -> None:
    found = smooth_curve(np.arange(5.0), np.array([0.0, 3.0, 6.0, 0.0, 9.0]), 3)
    np.testing.assert_allclose(found[1:4], [3.0, 3.0, 5.0])


def test_a_line_stays_a_line_on_any_grid_and_at_the_ends() -> None:
    updates = np.sort(np.random.default_rng(1).uniform(0, 100, 40))
    np.testing.assert_allclose(smooth_curve(updates, 3 - 0.2 * updates, 15), 3 - 0.2 * updates, atol=1e-9)


def test_a_large_offset_loses_no_digits() -> None:
    values = np.random.default_rng(2).normal(size=60)
    found = smooth_curve(np.arange(60.0), values + 1e9, 7) - 1e9
    np.testing.assert_allclose(found, smooth_curve(np.arange(60.0), values, 7), atol=1e-5)


def test_values_further_apart_than_the_window_stay_as_they_are() -> None:
    values = np.array([1.0, 5.0, 2.0, 7.0])
    np.testing.assert_allclose(smooth_curve(np.array([5.0, 10.0, 15.0, 20.0]), values, 3), values)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_short_curves_come_back(count: int) -> None:
    found = smooth_curve(np.arange(float(count)), np.arange(float(count)), 9)
    np.testing.assert_allclose(found, np.arange(float(count)), atol=1e-12)


def test_three_values_are_smoothed() -> None:
    """The best line through 0, 3, 0 is level."""
    np.testing.assert_allclose(smooth_curve(np.arange(3.0), np.array([0.0, 3.0, 0.0]), 3), [1.0, 1.0, 1.0])


def test_a_window_of_1_changes_nothing() -> None:
    values = np.array([1.0, 5.0, 2.0, 7.0])
    np.testing.assert_array_equal(smooth_curve(np.arange(4.0), values, 1), values)


@pytest.mark.parametrize(
    ("length", "smooth", "window"),
    [
        (89, None, 9),
        (2, None, 1),
        (0, None, 1),
        (100, 0.2, 21),
        (100, 7, 7),
        (100, 10, 11),
        (100, 1, 1),
        (100, 0, 1),
        (100, -3, 1),
        (100, float("nan"), 1),
    ],
)
def test_window(length: float, smooth: float | None, window: int) -> None:
    assert choose_window(length, smooth) == window
