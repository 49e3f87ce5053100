"""What a reward model can teach, by hand."""

import numpy as np
import pytest

from rlhf_sweeps.verdicts.teaching import measure_teaching


def test_variances_and_ties_by_hand() -> None:
    """Prompts with 0, 2 and 5, 5: variances 2 and 0; means 1 and 5 have variance 8, of which answers add 1 / 2."""
    teaching = measure_teaching(np.array([[0.0, 2.0], [5.0, 5.0]]))
    assert (teaching.within, teaching.between) == (1.0, 7.5)
    assert (teaching.tie_share, teaching.silent_share) == (0.5, 0.5)
    assert teaching.within_share == pytest.approx(1 / 8.5)


def test_pairs_of_three_answers() -> None:
    """Of the three pairs of 1, 1, 2 one is tied, and of those of 4, 4, 4 all are."""
    assert measure_teaching(np.array([[1.0, 1.0, 2.0], [4.0, 4.0, 4.0]])).tie_share == pytest.approx(4 / 6)


def test_scores_that_are_all_the_same_have_no_variance_by_rounding() -> None:
    teaching = measure_teaching(np.full((3, 7), 0.1))
    assert (teaching.within, teaching.tie_share, teaching.silent_share) == (0.0, 1.0, 1.0)


def test_between_prompts_is_never_negative() -> None:
    """Equal means: the answers explain all of their variance, and more."""
    teaching = measure_teaching(np.array([[0.0, 2.0], [2.0, 0.0]]))
    assert (teaching.between, teaching.within_share) == (0.0, 1.0)
    assert measure_teaching(np.zeros((2, 2))).within_share is None
