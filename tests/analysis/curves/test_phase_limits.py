"""What is told from noise, and what is not, right at the limits: statistics by hand and by scipy."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kendalltau, t

from analysis.curves.phase import FALLS, LEVEL, RISES, Phase
from analysis.curves.phases import (
    _choose_kind_by_ranks,
    _end_at_crossing,
    _make_line_classifier,
    _make_sum_classifier,
    find_phases,
)
from analysis.curves.segmentation import Segmentation
from analysis.curves.spikes import remove_spikes

NUM = 40


def level_line(memory: float = 0.0, num: int = NUM, first: float = 0.0) -> Segmentation:
    """One level piece, one unit above and below which the points lie in turn."""
    x, y = first + np.arange(float(num)), np.tile([1.0, -1.0], num // 2)
    return Segmentation(x, y, (0, num), np.zeros(num), 1.0, memory, ())


def phase(change: float, start: float = 0.0, end: float = NUM - 1.0) -> Phase:
    return Phase(LEVEL, start, end, 5.0, 5.0 + change, 1.0, 0.0, (start, start))


@pytest.mark.parametrize(("memory", "factor"), [(0.0, 1.0), (0.5, 3.0), (0.99, None)])
def test_a_line_rises_where_its_ends_differ_by_more_than_noise_makes_them(memory: float, factor: float | None) -> None:
    """A line's ends differ with a variance of 12 / n, times (1 + m) / (1 - m) of noise with a memory; two-sided 0.5 %.

    A random walk of n steps, fitted by a line, has 1.2 n times the variance of one of its steps.
    """
    noise = np.sqrt(NUM / (NUM - 2))
    spread = np.sqrt(12 / NUM * factor) if factor else np.sqrt(1.2 * NUM * (1 - memory**2))
    limit = t.ppf(0.9975, NUM - 2) * noise * spread
    judge = _make_line_classifier(level_line(memory))
    assert [judge(phase(sign * 0.999 * limit)) for sign in (1, -1)] == [LEVEL, LEVEL]
    assert [judge(phase(sign * 1.001 * limit)) for sign in (1, -1)] == [RISES, FALLS]


@pytest.mark.parametrize(
    ("start", "end", "share"),
    [
        # A fifth of the updates: 0.07 of the mean slope there is 0.014 of the whole.
        (60.0, 80.0, 0.014),
        (20.0, 110.0, 0.05),
    ],
)
def test_a_sum_is_level_where_its_steps_make_up_little_of_it(start: float, end: float, share: float) -> None:
    updates = np.arange(10.0, 111.0)
    found = level_line(num=100, first=10.0)
    found = Segmentation(found.x, 1e-9 * found.y, found.cuts, found.fitted, 1e-9, 0.0, ())
    judge = _make_sum_classifier(found, updates, np.ones(100), 200.0)
    assert judge(phase(0.99 * share * 200, start, end)) == LEVEL
    assert judge(phase(1.01 * share * 200, start, end)) == RISES


@pytest.mark.parametrize(("lengths", "uneven"), [([1.0, 1.0], 1.0), ([1.0, 7.0], 5.0)])
def test_a_sum_rises_where_its_steps_add_up_to_more_than_their_noise_does(lengths: list[float], uneven: float) -> None:
    """A sum of n steps has the variance of n of them; all of a curve of 40. Across gaps of 7 one stands for 7, so that
    their noise adds up to the root of the mean of 1 and 49 times as much."""
    noise, all_lengths = np.sqrt(NUM / (NUM - 2)), np.tile(lengths, NUM // 2)
    updates = np.cumsum([0.0, *all_lengths])
    found = replace(level_line(), x=updates[:-1])
    judge = _make_sum_classifier(found, updates, all_lengths, 1.0)
    limit = t.ppf(0.9975, NUM - 1) * noise * np.sqrt(NUM) * uneven
    assert judge(phase(0.999 * limit, 0.0, updates[-1])) == LEVEL
    assert judge(phase(1.001 * limit, 0.0, updates[-1])) == RISES


@pytest.mark.parametrize(("memory", "least"), [(0.0, 31), (0.6, 33)])
def test_ranks_rise_by_manns_test(memory: float, least: int) -> None:
    """Ten ranks: a deviation of the root of 10 x 9 x 25 / 18, and a limit of 2.576 of them and one.

    That is 29.8; noise with a memory of 0.6, a sixth of which counts for ten points, makes it 32.8.
    """
    for num_turned in range(10):
        ranks = np.arange(10.0)
        ranks[: num_turned + 1] = np.roll(ranks[: num_turned + 1], 1)  # so many pairs the wrong way round
        concordance = 45 - 2 * num_turned
        assert kendalltau(np.arange(10), ranks).statistic == pytest.approx(concordance / 45)
        assert _choose_kind_by_ranks(ranks, memory) == (RISES if concordance >= least else LEVEL)
        assert _choose_kind_by_ranks(-ranks, memory) == (FALLS if concordance >= least else LEVEL)


@pytest.mark.parametrize(
    ("begins", "end", "last"),
    [
        ((11.0, 12.0), 11.5, 11.5),  # where the lines cross
        ((11.6, 12.0), 12.0, 10.5),  # they cross where the cut cannot be
    ],
)
def test_two_lines_meet_where_they_cross_if_the_cut_may_be_there(
    begins: tuple[float, float], end: float, last: float
) -> None:
    """Up by 1 an update from 0 at 0 to 10 at 10, and down from 11 at 12."""
    up = Phase(RISES, 0.0, 10.0, 0.0, 10.0, 1.0, 0.0, (0.0, 0.0))
    down = Phase(FALLS, 12.0, 22.0, 11.0, 1.0, 1.0, 0.0, begins)
    met = _end_at_crossing(up, down)
    assert (met.start, met.end, met.first, met.last) == (0.0, end, 0.0, pytest.approx(last))


def test_what_is_constant_is_level_at_that_value() -> None:
    (found,) = find_phases(np.arange(5.0, 35.0), np.full(30, 0.3))
    assert (found.kind, found.start, found.end, found.noise) == (LEVEL, 5.0, 34.0, 0.0)
    assert (found.first, found.last) == pytest.approx((0.3, 0.3))


@pytest.mark.parametrize(("sixth", "first"), [(1.0, 0.0), (40.0, 20.0)])
def test_an_end_is_a_spike_by_the_five_steps_beside_it(sixth: float, first: float) -> None:
    """A step of 20 to steps of one is one; the step after these five does not matter, one among them does."""
    values = np.array([20.0, 0, 1, 0, 1, 0, 1, *[41.0] * 33])
    assert remove_spikes(values)[0] == 0.0
    values[5] = sixth
    assert remove_spikes(values)[0] == first
