"""The best of n answers: by hand, and against every subset, counted one by one."""

import math
from itertools import combinations

import numpy as np
import pytest

from rlhf_sweeps.verdicts.best_of_n import bound_kl, estimate_scores, estimate_win_rates, list_sizes, weigh_choices
from rlhf_sweeps.verdicts.student import Floats

TIED = np.array([[3.0, 1.0, 3.0, 2.0, 1.0], [0.0, 0.0, 0.0, 0.0, 0.0], [5.0, 4.0, 3.0, 2.0, 1.0]])


def choose(own: Floats, subset: tuple[int, ...]) -> dict[int, float]:
    """Answer -> the probability that it is chosen from the subset: the best, or one of the best by lot."""
    best = [answer for answer in subset if own[answer] == max(own[list(subset)])]
    return dict.fromkeys(best, 1 / len(best))


def count_choices(own: Floats, n: int) -> Floats:
    """The probability of each answer to be chosen, over all subsets."""
    subsets = list(combinations(range(len(own)), n))
    shares = np.zeros(len(own))
    for subset in subsets:
        for answer, share in choose(own, subset).items():
            shares[answer] += share / len(subsets)
    return shares


def count_wins(own: Floats, judge: Floats, n: int) -> float:
    """How often a choice of n beats an answer that is not among the n, over all subsets and all such answers."""
    wins = []
    for subset in combinations(range(len(own)), n):
        for other in set(range(len(own))) - {*subset}:
            wins.append(
                sum(
                    share * {1: 1.0, 0: 0.5, -1: 0.0}[int(np.sign(judge[answer] - judge[other]))]
                    for answer, share in choose(own, subset).items()
                )
            )
    return float(np.mean(wins))


def test_three_answers_by_hand() -> None:
    """Of three pairs the best answer is in two, the second best wins the third; a tie of two shares both of its."""
    assert weigh_choices(np.array([[10.0, 30.0, 20.0]]), 2).tolist() == [
        [0, pytest.approx(2 / 3), pytest.approx(1 / 3)]
    ]
    assert weigh_choices(np.array([[30.0, 10.0, 30.0]]), 2).tolist() == [[0.5, 0, 0.5]]
    assert weigh_choices(np.array([[10.0, 30.0, 20.0]]), 3).tolist() == [[0, 1, 0]]


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_choices_are_those_of_every_subset(n: int) -> None:
    counted = [count_choices(own, n) for own in TIED]
    assert weigh_choices(TIED, n) == pytest.approx(np.array(counted))


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_scores_and_win_rates_are_those_of_every_subset(n: int) -> None:
    other = np.array([[1.0, 2.0, 2.0, 4.0, 0.0], [3.0, 1.0, 3.0, 2.0, 2.0], [1.0, 1.0, 1.0, 7.0, 7.0]])
    scores = np.array([TIED, other])
    rates = estimate_win_rates(scores, n)
    assert rates.shape == (2, 2, 3)
    for chooser in range(2):
        for judge in range(2):
            counted = [count_wins(scores[chooser, prompt], scores[judge, prompt], n) for prompt in range(3)]
            assert rates[chooser, judge] == pytest.approx(np.array(counted))
    counted = [np.mean([count_choices(own, n) @ by_judge for own, by_judge in zip(TIED, other, strict=True)])]
    assert estimate_scores(scores, n)[0, 1] == pytest.approx(counted[0])


def test_the_own_judge_prefers_the_best_of_n_as_often_as_theory_says() -> None:
    """Without ties the best of n + 1 answers is among n of them with probability n / (n + 1)."""
    scores = np.random.default_rng(5).normal(size=(1, 4, 9))
    for n in (1, 2, 5, 8):
        assert estimate_win_rates(scores, n)[0, 0] == pytest.approx(np.full(4, n / (n + 1)))


def test_the_bound_of_the_kl() -> None:
    assert bound_kl(1) == 0
    assert bound_kl(2) == pytest.approx(0.6931472 - 0.5)
    assert bound_kl(64) == pytest.approx(6 * math.log(2) - 63 / 64)


@pytest.mark.parametrize(
    ("largest", "sizes"), [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (4, [1, 2, 4]), (48, [1, 2, 4, 8, 16, 32, 48])]
)
def test_sizes_double_up_to_the_largest(largest: int, sizes: list[int]) -> None:
    assert list_sizes(largest) == sizes
