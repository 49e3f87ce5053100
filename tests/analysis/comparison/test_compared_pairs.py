"""Which of two groups is better, and by which runs: differences and intervals by hand."""

import numpy as np
import pytest
from scipy.stats import t as student
from scipy.stats import ttest_ind as welch

from rlhf_sweeps.verdicts.pairs import BETTER, BY_RUN, BY_SETTING, BY_STRATUM, NOISE, UNKNOWN, WORSE, rank


def test_the_same_shift_in_every_setting_is_no_noise_at_all() -> None:
    # 0.1 more each, up to rounding in the last digit.
    first = {level: np.array([level + 0.1]) for level in (0.1, 0.2, 0.7, 1.1)}
    second = {level: np.array([level]) for level in first}
    pair = rank({"a": first, "b": second}).pairs[0]
    assert (pair.design, pair.verdict) == (BY_SETTING, UNKNOWN)
    assert np.isnan([pair.low, pair.high, pair.p_value]).all()


def test_large_values_are_rounded_more_and_their_differences_with_them() -> None:
    # 0.1 more each, of values whose last digit is 1e-11.
    second = {level: np.array([1e5 * level]) for level in (1.1, 2.3, 3.7, 4.9)}
    first = {level: values + 0.1 for level, values in second.items()}
    shifts = np.concatenate([first[level] - second[level] for level in first])
    assert 1e-12 < np.ptp(shifts) < 1e-10
    assert rank({"a": first, "b": second}).pairs[0].verdict == UNKNOWN


def test_noise_of_a_pair_by_hand() -> None:
    groups = {"a": {(): np.array([9.0, 11.0])}, "b": {(): np.array([4.9, 5.1])}, "c": {(): np.array([-0.1, 0.1])}}
    found = {(pair.first, pair.second): pair for pair in rank(groups).pairs}
    # Squared standard errors 1, 0.01, 0.01, so variances of a run 2, 0.02, 0.02: pooled 0.68, with Satterthwaite's
    # 0.68^2 / ((2 / 3)^2 + 2 (0.02 / 3)^2) = 1.0402 degrees of freedom.
    quantile = student.ppf(0.975, 1.0402)
    assert found["b", "c"].high - 5 == pytest.approx(quantile * 0.68**0.5, rel=0.03)  # more than their own 0.02
    assert found["a", "b"].high - 5 == pytest.approx(quantile * 1.01**0.5, rel=0.03)  # their own
    p_values = {
        names: 2 * student.sf(abs(pair.difference) / ((pair.high - pair.difference) / quantile), 1.0402)
        for names, pair in found.items()
    }
    # By Holm's method, and divided by the share of 0.4 that pairs have of all claims.
    assert found["a", "c"].p_value == pytest.approx(3 * p_values["a", "c"] / 0.4, rel=0.01)  # the smallest of three
    largest = max(2 * p_values["b", "c"], 3 * p_values["a", "c"])
    assert found["b", "c"].p_value == pytest.approx(largest / 0.4, rel=0.01)


def test_settings_that_hardly_any_run_shares_are_not_compared_within() -> None:
    first = {index: np.array([1.0 * index, 1.0 * index + 1]) for index in range(3)}
    second = {index: np.array([1.0 * index, 1.0 * index + 1]) for index in range(2, 5)}
    assert rank({"a": first, "b": second}).pairs[0].design == BY_RUN
    assert rank({"a": first, "b": first | {9: np.array([1.0, 2.0])}}).pairs[0].design == BY_STRATUM


def test_settings_that_both_have_are_compared_within() -> None:
    groups = {
        "a": {"x": np.array([1.0, 1.1, 1.2]), "y": np.array([11.0, 11.1, 11.2])},
        "b": {"x": np.array([0.0, 0.1, 0.2]), "y": np.array([10.0, 10.1, 10.2])},
    }
    pair = rank(groups).pairs[0]
    assert (pair.design, pair.verdict, pair.probability.value) == (BY_STRATUM, BETTER, 1.0)
    mixed = {label: {label: np.concatenate(list(strata.values()))} for label, strata in groups.items()}
    pair = rank(mixed).pairs[0]
    assert (pair.design, pair.verdict) == (BY_RUN, NOISE)
    assert pair.probability.value == 0.75  # of nine pairs in each of four settings, all but those of low with high


def test_one_run_for_each_setting_is_paired() -> None:
    shifts = [1.0, 1.1, 0.9, 1.05, 0.95]
    groups = {
        "a": {index: np.array([10.0 * index + shift]) for index, shift in enumerate(shifts)},
        "b": {index: np.array([10.0 * index]) for index in range(5)},
    }
    pair = rank(groups).pairs[0]
    assert (pair.design, pair.verdict) == (BY_SETTING, BETTER)
    # Student's interval of the shifts' interquartile mean, by their deviation 0.08 and 4 degrees of freedom.
    assert pair.difference == pytest.approx(1.0)
    assert 0.8 < pair.low < 0.95 < 1.05 < pair.high < 1.2


def test_a_better_mean_from_other_settings_is_seen_through() -> None:
    groups = {
        "a": {"x": np.array([1.0, 1.1]), "y": np.array([1.0, 1.1]), "z": np.array([90.0, 91.0])},
        "b": {"x": np.array([5.0, 5.1]), "y": np.array([5.0, 5.1])},
        "c": {"x": np.array([0.0, 0.1]), "y": np.array([0.0, 0.1])},
    }
    groups["a"]["w"] = np.array([92.0, 93.0])
    assert rank(groups).against_best("b").verdict == WORSE


def test_a_small_noisy_group_among_quiet_ones_by_hand() -> None:
    """Welch's interval: the degrees of freedom of the quiet runs say nothing about the two noisy ones."""
    quiet, noisy = np.array([-1.0, 0.0, 1.0]), np.array([6.0, 16.0])
    ranking = rank({"noisy": {(): noisy}} | {f"quiet {index}": {(): quiet + index / 10} for index in range(4)})
    expected = welch(noisy, quiet, equal_var=False).confidence_interval()
    assert ranking.against_best("quiet 0").low == pytest.approx(expected.low, rel=0.03)


def test_the_winner_must_beat_every_other_group() -> None:
    noise = np.array([-0.1, 0.0, 0.1])
    near = rank({"a": {(): noise + 1}, "b": {(): noise + 0.95}, "c": {(): noise}})
    assert near.winner is None
    assert [near.against_best(label).verdict for label in "bc"] == [NOISE, BETTER]
    assert rank({"a": {(): noise + 2}, "b": {(): noise + 1}, "c": {(): noise}}).winner == "a"


def test_settings_that_few_runs_of_one_group_have_are_no_ground_to_compare_on() -> None:
    """All runs of the first group are of setting 1, of the second only two of six: less than half."""
    groups = {
        "a": {1: np.array([1.0, 2.0])},
        "b": {1: np.array([1.5, 2.5]), 2: np.array([3.0, 4.0]), 3: np.array([5.0, 6.0])},
    }
    (pair,) = rank(groups).pairs
    assert pair.design == BY_RUN
    (pair,) = rank({"a": groups["a"], "b": {key: groups["b"][key] for key in (1, 2)}}).pairs
    assert pair.design == BY_STRATUM


def test_two_settings_have_one_degree_of_freedom_and_an_interval() -> None:
    """Differences of 1 and 2: mean 1.5, standard error 0.5, Student's quantile 12.706."""
    groups = {"a": {1: np.array([3.0]), 2: np.array([5.0])}, "b": {1: np.array([2.0]), 2: np.array([3.0])}}
    (pair,) = rank(groups).pairs
    assert (pair.low, pair.high) == pytest.approx((1.5 - 12.7062 * 0.5, 1.5 + 12.7062 * 0.5), rel=0.03)
