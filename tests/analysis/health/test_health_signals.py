"""What the rules of health look at, by hand: levels, noise, where a state lasts, and how sure a gain is."""

import math

import numpy as np
import pytest

from analysis.health.signals import read_series, read_together
from analysis.records.runs import RunRecord
from rlhf_sweeps.verdicts.series import Change, Series, measure_gain, rolling_mean


def of(values: list[float]) -> Series:
    """At updates 10, 20, ..."""
    return Series(10.0 * np.arange(1, len(values) + 1), np.array(values))


@pytest.mark.parametrize(("num", "window"), [(2, 3), (39, 3), (40, 4), (499, 49), (500, 50), (5000, 50)])
def test_a_level_is_of_a_tenth_of_all_updates(num: int, window: int) -> None:
    values = of([*[1.0] * (num - 1), 2.0])
    assert values.window == window
    assert (values.start, values.end) == (1.5 if num == 2 else 1.0, 1.5 if num == 2 else 1.0)


def test_start_and_end_are_medians_of_the_first_and_last_windows() -> None:
    values = of([5.0, 1.0, 2.0, *[100.0] * 20, 7.0, 9.0, 8.0])
    assert (values.window, values.start, values.end) == (3, 2.0, 8.0)
    assert math.isnan(of([]).start)
    assert math.isnan(of([]).end)


def test_noise_is_that_of_steps() -> None:
    """Of 1 to and fro: a value's is 1 / root 2, half of a normal one's lies within 0.6745; a fifth more for 20."""
    assert of([0.0, 1.0] * 10).noise == pytest.approx(1 / math.sqrt(2) / 0.6745 * 1.2)
    assert of([3.0 * n for n in range(20)]).noise == pytest.approx(3 / math.sqrt(2) / 0.6745 * 1.2)
    # Where most steps are 0 their mean tells: two of 20 are 10.
    assert of([*[0.0] * 10, 10.0, *[0.0] * 10]).noise == pytest.approx(0.6 * 1 / math.sqrt(2) * (1 + 4 / 21))
    assert of([1.0, 2.0]).noise == math.inf
    assert of([1.0, 1.0, 1.0]).noise == 0.0


@pytest.mark.parametrize(
    ("num", "mean", "deviation", "count"),
    [(20, 18.0, math.sqrt(2.5), 5), (14, 12.5, math.sqrt(5 / 3), 4), (6, 5.5, math.sqrt(0.5), 2), (1, 1.0, 0.0, 1)],
)
def test_an_end_is_the_mean_of_the_last_five_or_of_the_last_third(
    num: int, mean: float, deviation: float, count: int
) -> None:
    ending = of([float(n) for n in range(1, num + 1)]).ending
    assert (ending.mean, ending.count) == (mean, count)
    assert ending.deviation == pytest.approx(deviation)


def flagged(num: int, *stretches: range) -> list[bool]:
    return [any(index in one for one in stretches) for index in range(num)]


@pytest.mark.parametrize(
    ("flags", "begin"),
    [
        # Of 100 the window is 10: six of ten in a row are enough, five are not.
        (flagged(100), None),
        (flagged(100, range(94, 100)), 94),
        (flagged(100, range(95, 100)), None),
        # It lasts to the end, or for a quarter of all.
        (flagged(100, range(40, 65)), 40),
        (flagged(100, range(40, 64)), None),
        (flagged(100, range(40, 50), range(80, 100)), 40),
        # What is less than half as long as the longest stretch of windows was soon over: 21 and 9, 21 and 11 of them.
        (flagged(100, range(10, 14), range(60, 100)), 60),
        (flagged(100, range(10, 22), range(60, 82)), 10),
        (flagged(2, range(2)), None),
        (flagged(3, range(3)), 0),
    ],
)
def test_where_a_state_begins_that_lasts(flags: list[bool], begin: int | None) -> None:
    found = of([0.0] * len(flags)).where(np.array(flags))
    assert found == (None if begin is None else 10 * (begin + 1))


def test_a_state_may_have_to_hold_in_more_of_a_window() -> None:
    values, flags = of([0.0] * 100), np.tile([True] * 7 + [False] * 3, 10)
    assert values.where(flags) == 10
    assert values.where(flags, 0.7) == 10
    assert values.where(flags, 0.8) is None


def test_a_gain_is_from_the_first_fifth_to_the_last() -> None:
    """Of 20 values four make a fifth: 1.5 to 17.5. Each mean has a variance of a quarter of a value's."""
    found = measure_gain(of([float(n) for n in range(20)]))
    noise = 1 / math.sqrt(2) / 0.6745 * 1.2
    assert (found.size, found.error) == (16.0, pytest.approx(noise * math.sqrt(2 / 4)))
    assert measure_gain(of([0.0, 0.0, 0.0, 1.0, 1.0, 4.0])).size == 2.0
    few = measure_gain(of([0.0, 0.0, 0.0, 1.0, 1.0]))
    assert (few.size, few.deviations) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("size", "error", "deviations"), [(3.0, 2.0, 1.5), (3.0, 0.0, math.inf), (-3.0, 0.0, -math.inf), (0.0, 0.0, 0.0)]
)
def test_a_change_in_standard_errors(size: float, error: float, deviations: float) -> None:
    assert Change(size, error).deviations == deviations


@pytest.mark.parametrize("width", [1, 3, 7])
def test_means_of_windows_are_numpys(width: int) -> None:
    values = np.random.default_rng(7).normal(size=7)
    np.testing.assert_allclose(rolling_mean(values, width), np.convolve(values, np.full(width, 1 / width), "valid"))
    assert len(rolling_mean(values, 8)) == 0


def test_a_metric_is_the_first_that_has_a_number_and_pairs_are_where_both_have_one() -> None:
    nan = math.nan
    metrics = {"none": [nan] * 4, "a": [1.0, nan, 3.0, 1e300], "b": [nan, 2.0, 4.0, 5.0], "c": [9.0] * 4}
    columns = {name: np.array(values) for name, values in metrics.items()}
    run = RunRecord("0", {"update": np.array([2.0, 4.0, 6.0, 8.0]), **columns})
    found = read_series(run, "missing", "none", "a", "c")
    assert (found.updates.tolist(), found.values.tolist()) == ([2.0, 6.0], [1.0, 3.0])
    assert len(read_series(run, "missing", "none")) == 0
    updates, (first, second) = read_together(run, "a", "b")
    assert (updates.tolist(), first.tolist(), second.tolist()) == ([6.0], [3.0], [4.0])
    updates, (first, second) = read_together(run, "a", "missing")
    assert (len(updates), len(first), len(second)) == (0, 0, 0)
