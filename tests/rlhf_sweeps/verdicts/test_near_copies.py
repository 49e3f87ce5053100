"""Near-copies: rank correlations by hand and by scipy, and which reward models form a group."""

import numpy as np
import pytest
from conftest import ROOT
from scipy import stats

from rlhf_sweeps.verdicts.near_copies import (
    NEAR_COPY,
    correlate_beyond_policies,
    correlate_ranks,
    describe_near_copies,
    find_clusters,
)


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


def test_beyond_policies_by_hand() -> None:
    """Of two policies the first is better on prompts 1 and 2 under one judge, on prompt 1 alone under the other.

    Its ranks less their means are 1/2, 1/2, -1/2, -1/2 and 3/4, -1/4, -1/4, -1/4, the other policy's the opposite: the
    products sum to 2 * 1/2, the squares to 2 and 3/2, and 1 / sqrt(3) is left.
    """
    first = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    second = np.array([[9.0, 3.0], [3.0, 9.0], [3.0, 9.0], [3.0, 9.0]])
    assert correlate_beyond_policies(first, second) == pytest.approx(1 / 3**0.5)
    assert correlate_beyond_policies(first, 2 + 5 * first) == pytest.approx(1)
    assert correlate_beyond_policies(first, -first) == pytest.approx(-1)


def test_answers_that_show_nothing_make_no_near_copies() -> None:
    """A policy that is better on every prompt says nothing of the judges; equal scores say that they are equal."""
    always = np.array([[1.0, 0.0], [2.0, 1.0], [3.0, 0.5]])
    assert np.isnan(correlate_beyond_policies(always, always + 1))
    assert np.isnan(correlate_beyond_policies(always, np.zeros((3, 2))))
    assert correlate_beyond_policies(always, always) == 1


def test_judges_that_agree_on_the_policies_alone_are_no_near_copies() -> None:
    """Four policies, each far better than the one before it; the judges agree on nothing else."""
    random = np.random.default_rng(5)
    levels = 2.5 * np.arange(4)
    first, second = (levels + random.normal(size=(120, 4)) for _ in range(2))
    assert correlate_ranks(np.array([first, second]))[0, 1] > NEAR_COPY
    # Ranks that differ by chance alone: of 120 prompts the correlation is within 0.2, about two standard errors.
    assert abs(correlate_beyond_policies(first, second)) < 0.2


def test_of_few_answers_a_noisy_copy_is_less_like() -> None:
    """Noise of a third of the deviation: r = 1 / sqrt(1 + 1 / 9) is 0.949, Kendall's 2 / pi * asin(r) is 0.795.

    Of n answers Spearman's is 3 / (n + 1) * (0.795 + (n - 2) / 3 * 6 / pi * asin(r / 2)): 0.85 of 4, 0.94 of 65.
    """
    random = np.random.default_rng(5)
    for num_answers, expected in ((4, 0.854), (65, 0.937)):
        answers = random.normal(size=(120, num_answers))
        noisy = answers + random.normal(size=answers.shape) / 3
        assert correlate_beyond_policies(answers, noisy) == pytest.approx(expected, abs=0.04)


def test_the_sentence_has_names_correlation_and_threshold() -> None:
    sentence = (
        "a, b and c are near-copies (rank correlation within prompts 0.957, from 0.8 on): together they have one vote, "
        "and none is an independent judge of another"
    )
    assert describe_near_copies(["a", "b", "c"], 0.95678, 0.8) == sentence
    assert describe_near_copies(["a", "b"], 1.0).startswith(
        "a and b are near-copies (rank correlation within prompts 1,"
    )


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
