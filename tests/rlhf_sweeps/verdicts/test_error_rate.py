"""P values of the claims about a sweep, against hand arithmetic."""

import math

import numpy as np
import pytest

from rlhf_sweeps.verdicts.error_rate import adjust_pairs, share_p_values


def test_a_claim_with_half_of_the_rate_has_twice_the_p_value() -> None:
    assert share_p_values(np.array([0.01, 0.6, math.nan]), 0.5).tolist() == pytest.approx(
        [0.02, 1.0, math.nan], nan_ok=True
    )


# Pairs of settings a, b and c in the order ab, ac, bc.
OF_BEST = [True, True, False]


def test_a_winner_has_one_p_value_the_largest_of_its_pairs() -> None:
    p_values = adjust_pairs(np.array([0.04, 0.001, 0.5]), OF_BEST, [True, True, True], 3)
    # By Holm: 3 x 0.001, then 2 x 0.04, then 0.5; divided by 0.4. The claim is 0.04; a against c has less on its own.
    assert p_values.tolist() == pytest.approx([0.04, 0.003 / 0.4, 1.0])


@pytest.mark.parametrize(
    ("p_values", "are_ahead"),
    [
        ([0.06, 0.001, 0.5], [True, True, True]),  # not better than b
        ([0.04, 0.001, 0.5], [False, True, True]),  # behind b in this test
        ([math.nan, 0.001, 0.5], [True, True, True]),  # b is not known well enough
    ],
)
def test_without_a_winner_all_pairs_are_adjusted(p_values: list[float], are_ahead: list[bool]) -> None:
    adjusted = adjust_pairs(np.array(p_values), OF_BEST, are_ahead, 3)
    assert adjusted[1] == pytest.approx(0.003 / 0.4)
    assert adjusted[0] == pytest.approx(min(2 * p_values[0] / 0.4, 1.0), nan_ok=True)


def test_a_single_pair_needs_no_adjustment() -> None:
    assert adjust_pairs(np.array([0.04]), [True], [True], 1).tolist() == [0.04]
