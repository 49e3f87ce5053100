"""Intervals against scipy's, by hand, and by how often they hold what they should."""

import math

import numpy as np
import pytest
from scipy import stats

from rlhf_sweeps.verdicts.intervals import Interval, Outcomes, estimate_mean, estimate_win_rate


def bounds(estimate: Interval) -> tuple[float, float]:
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.low, estimate.high


@pytest.mark.parametrize("num_wins", [0, 1, 17, 30, 59, 60])
def test_win_rates_of_one_seed_are_wilsons(num_wins: int) -> None:
    found = estimate_win_rate(np.array([[1.0] * num_wins + [0.0] * (60 - num_wins)]))
    expected = stats.binomtest(num_wins, 60).proportion_ci(method="wilson")
    assert found.mean == pytest.approx(num_wins / 60)
    assert bounds(found) == pytest.approx((expected.low, expected.high))


def test_no_rounding_takes_a_rate_beyond_0_and_1() -> None:
    """14 wins of 14, say, would come to 1.0000000000000002."""
    for num in range(2, 100):
        assert estimate_win_rate(np.ones((1, num))).high <= 1  # type: ignore[operator]
        assert estimate_win_rate(np.zeros((1, num))).low >= 0  # type: ignore[operator]


def test_means_of_one_seed_are_students() -> None:
    values = np.array([[0.3, -1.2, 2.5, 0.0, 0.7]])
    expected = stats.ttest_1samp(values[0], 0).confidence_interval()
    assert bounds(estimate_mean(values)) == pytest.approx((expected.low, expected.high))


def test_the_crossed_layout_by_hand() -> None:
    values = np.array([[1.0, 2.0, 3.0], [3.0, 4.0, 8.0]])
    # Mean squares: seeds 3 (1.5^2 + 1.5^2) / 1 = 13.5, prompts 2 (1.5^2 + 0.5^2 + 2^2) / 2 = 6.5, error 3 / 2 = 1.5.
    freedom = 18.5**2 / (13.5**2 / 1 + 6.5**2 / 2 + 1.5**2 / 2)
    margin = stats.t.ppf(0.975, freedom) * (18.5 / 6) ** 0.5
    assert bounds(estimate_mean(values)) == pytest.approx((3.5 - margin, 3.5 + margin))


def test_seeds_and_prompts_that_happen_to_agree_do_not_make_a_mean_certain() -> None:
    # Seeds 0, prompts 0, error 1; one degree of freedom; the variance of four independent values.
    margin = stats.t.ppf(0.975, 1) * 0.5
    assert bounds(estimate_mean(np.array([[0.0, 1.0], [1.0, 0.0]]))) == pytest.approx((0.5 - margin, 0.5 + margin))
    assert estimate_mean(np.full((3, 4), 2.0)) == Interval(2.0, None, None)


def test_win_rates_of_several_seeds_by_hand() -> None:
    # Prompts that all three seeds win, or all lose: three seeds are worth no more than one.
    wins = np.array([[1.0] * 40 + [0.0] * 20] * 3)
    prompts = 3 * (40 * (1 / 3) ** 2 + 20 * (2 / 3) ** 2) / 59
    size = (2 / 9) / (prompts / 180)
    assert size == pytest.approx(59)
    # The prompts' mean square alone: 59 degrees of freedom.
    excess = stats.t.ppf(0.975, 59) ** 2 / size
    centre, margin = 2 / 3 + excess / 2, (excess * (2 / 9 + excess / 4)) ** 0.5
    expected = (centre - margin) / (1 + excess), (centre + margin) / (1 + excess)
    assert bounds(estimate_win_rate(wins)) == pytest.approx(expected)


@pytest.mark.parametrize(("outcome", "num_wins"), [(1.0, 60), (0.0, 0)])
def test_seeds_that_win_or_lose_everything_count_once_for_each_prompt(outcome: float, num_wins: int) -> None:
    expected = stats.binomtest(num_wins, 60).proportion_ci(method="wilson")
    assert bounds(estimate_win_rate(np.full((3, 60), outcome))) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("num_seeds", [1, 3])
def test_ties_alone_are_not_certain_either(num_seeds: int) -> None:
    found = bounds(estimate_win_rate(np.full((num_seeds, 60), 0.5)))
    # Two of 62 prompts not tied: variance 0.25 * 2 / 62, that of 31 times as many wins and losses.
    expected = stats.binomtest(30 * 31, 60 * 31).proportion_ci(method="wilson")
    assert found == pytest.approx((expected.low, expected.high))
    # A single response that decides does not change what is known of all others.
    nearly = np.full((num_seeds, 60), 0.5)
    nearly[0, 0] = 1.0
    low, high = bounds(estimate_win_rate(nearly))
    assert 0.9 < (high - low) / (found[1] - found[0]) < 2


def test_one_prompt() -> None:
    assert estimate_mean(np.array([[2.0], [4.0]])) == Interval(3.0, None, None)
    expected = stats.binomtest(1, 1).proportion_ci(method="wilson")
    assert bounds(estimate_win_rate(np.array([[1.0], [1.0]]))) == pytest.approx((expected.low, expected.high))
    low, high = bounds(estimate_win_rate(np.array([[1.0], [0.0]])))
    assert low < 0.1
    assert high > 0.9


@pytest.mark.parametrize("num_seeds", [2, 3, 5])
def test_intervals_hold_the_expectation_over_seeds_and_prompts(num_seeds: int) -> None:
    """Prompts won with probability Beta(1.8, 1.2), mean 0.6; seeds that differ by 0.05."""
    random = np.random.default_rng(num_seeds)
    num_held = 0
    for _ in range(600):
        prompts = random.beta(1.8, 1.2, (1, 60))

        def drawn(prompts: Outcomes = prompts) -> Interval:
            chances = prompts + random.normal(0, 0.05, (num_seeds, 1))
            return estimate_win_rate((random.random((num_seeds, 60)) < chances).astype(float))

        low, high = bounds(drawn())
        num_held += low <= 0.6 <= high
    # Standard error of a share near 0.95: 0.009.
    assert 0.92 < num_held / 600 < 0.99


def test_the_degrees_of_freedom_are_no_fewer_than_the_smaller_side_has() -> None:
    """Two seeds, two prompts, one win: all three mean squares are 1/4, and Satterthwaite's sum alone would give 1/3."""
    found = estimate_mean(np.array([[1.0, 0.0], [0.0, 0.0]]))
    assert found.high == pytest.approx(0.25 + stats.t.ppf(0.975, 1) * math.sqrt(0.25 / 4))
