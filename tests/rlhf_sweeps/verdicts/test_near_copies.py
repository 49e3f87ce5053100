"""Near-copies: rank correlations by hand and by scipy, and which reward models form a group."""

import numpy as np
import pytest
from conftest import ROOT
from scipy import stats

from rlhf_sweeps.verdicts.near_copies import NEAR_COPY, correlate_ranks, find_clusters


def test_ranks_by_hand() -> None:
    """Of 1, 2, 3, 4 and 1, 2, 4, 3 two ranks differ by 1: 1 - 6 * 2 / (4 * 15) = 0.8; a monotone change leaves all."""
    first = np.array([[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0]])
    second = np.array([[1.0, 2.0, 4.0, 3.0], [10.0, 20.0, 300.0, 4000.0]])
    assert correlate_ranks(np.array([first, second])) == pytest.approx(np.array([[1, 0.9], [0.9, 1]]))


def test_ties_share_their_ranks_and_prompts_without_differences_do_not_count() -> None:
    random = np.random.default_rng(3)
    first, second = random.integers(0, 4, (2, 6, 12)).astype(float)
    expected = np.mean([stats.spearmanr(a, b).statistic for a, b in zip(first, second, strict=True)])
    assert correlate_ranks(np.array([first, second]))[0, 1] == pytest.approx(expected)
    silent = np.concatenate([second, np.ones((3, 12))])
    more = np.concatenate([first, random.normal(size=(3, 12))])
    assert correlate_ranks(np.array([more, silent]))[0, 1] == pytest.approx(expected)
    assert np.isnan(correlate_ranks(np.array([first, np.zeros((6, 12))]))[0, 1])


def test_a_chain_of_likenesses_is_no_group() -> None:
    """The second is near both others, but they are far from each other: joined, (0.95 + 0.5) / 2 is too little."""
    chain = np.array([[1, 0.95, 0.5], [0.95, 1, 0.94], [0.5, 0.94, 1]])
    assert find_clusters(chain) == [[0, 1], [2]]


def test_a_group_begins_at_the_threshold() -> None:
    assert find_clusters(np.array([[1, NEAR_COPY], [NEAR_COPY, 1]])) == [[0, 1]]
    assert find_clusters(np.array([[1, NEAR_COPY - 0.001], [NEAR_COPY - 0.001, 1]])) == [[0], [1]]
    assert find_clusters(np.ones((1, 1))) == [[0]]


def test_the_page_of_the_screen_has_the_threshold() -> None:
    page = (ROOT / "rlhf_sweeps" / "reward_screen" / "README.md").read_text(encoding="utf-8")
    assert f"correlate by {NEAR_COPY} or more" in " ".join(page.split())


def test_three_noisy_copies_and_two_others() -> None:
    random = np.random.default_rng(11)
    truth = random.normal(size=(30, 16))
    copies = [truth + 0.2 * random.normal(size=truth.shape) for _ in range(3)]
    others = [random.normal(size=truth.shape) for _ in range(2)]
    scores = np.array([others[0], copies[0], copies[1], others[1], copies[2]])
    assert find_clusters(correlate_ranks(scores)) == [[0], [1, 2, 4], [3]]
