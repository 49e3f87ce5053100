"""Reward models head to head: by hand, how often equal ones are told apart, and that a group votes once."""

from itertools import combinations, product

import numpy as np
import pytest

from rlhf_sweeps.verdicts.head_to_head import Duel, find_winner, hold_duels, leave_out, rank_by_duels, vote
from rlhf_sweeps.verdicts.over_optimized import find_first_loss
from rlhf_sweeps.verdicts.pairs import BETTER, NOISE
from rlhf_sweeps.verdicts.student import Floats


def test_votes_are_of_groups() -> None:
    """Two near-copies say 1, another says 0: one vote each."""
    outcomes = np.array([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    assert vote(outcomes, [[0, 1], [2]]).tolist() == [0.5, 0.25]
    assert leave_out([[0, 1], [2], [3, 4]], 1, 3) == [[2]]


def test_a_duel_is_over_all_subsets_of_both() -> None:
    """Counted one by one: two of three answers for each of the two, and the third reward model compares."""
    scores = np.array([[[1.0, 2.0, 3.0]], [[3.0, 1.0, 2.0]], [[5.0, 9.0, 7.0]]])
    subsets = list(combinations(range(3), 2))

    def choose(own: Floats, subset: tuple[int, ...]) -> int:
        return max(subset, key=lambda answer: own[answer])

    wins = [
        (np.sign(scores[2, 0, choose(scores[0, 0], ours)] - scores[2, 0, choose(scores[1, 0], theirs)]) + 1) / 2
        for ours, theirs in product(subsets, repeat=2)
    ]
    duels = hold_duels(scores, [[0], [1], [2]], 2)
    (duel,) = [duel for duel in duels if {duel.first, duel.second} == {0, 1}]
    assert duel.judges == [2]
    expected = float(np.mean(wins))
    assert duel.outcomes.tolist() == [pytest.approx(max(expected, 1 - expected))]
    assert (duel.first, expected > 0.5) in ((0, True), (1, False))


def make_scores(seed: int, num_copies: int) -> Floats:
    """A good reward model, one that is a third as good, a judge, and noisy copies of one that scores at random."""
    random = np.random.default_rng(seed)
    truth = random.normal(size=(40, 9))
    good, poor, judge = (truth + noise * random.normal(size=truth.shape) for noise in (0.3, 3.0, 0.5))
    odd = random.normal(size=truth.shape)
    copies = [odd + 1e-6 * random.normal(size=truth.shape) for _ in range(num_copies)]
    return np.array([good, poor, judge, *copies])


def test_a_reward_model_does_not_count_more_often_because_it_is_entered_more_often() -> None:
    once = hold_duels(make_scores(2, 1), [[0], [1], [2], [3]], 8)
    thrice = hold_duels(make_scores(2, 3), [[0], [1], [2], [3, 4, 5]], 8)
    of_good_and_poor = [next(duel for duel in duels if {duel.first, duel.second} == {0, 1}) for duels in (once, thrice)]
    assert of_good_and_poor[0].win_rate.mean == pytest.approx(of_good_and_poor[1].win_rate.mean, abs=1e-6)
    assert of_good_and_poor[1].judges == [2, 3, 4, 5]
    # Near-copies are not compared with each other: 3 pairs of the first three, and 3 times 3 with the copies.
    assert len(thrice) == 3 + 9
    first, third = (rank_by_duels(duels, clusters) for duels, clusters in (
        (once, [[0], [1], [2], [3]]), (thrice, [[0], [1], [2], [3, 4, 5]])
    ))  # fmt: skip
    rates = [{standing.number: standing.win_rate.mean for standing in ranking} for ranking in (first, third)]
    assert {number: rates[1][number] for number in range(4)} == pytest.approx(rates[0], abs=1e-6)


def test_a_better_reward_model_is_found() -> None:
    clusters = [[0], [1], [2], [3]]
    duels = hold_duels(make_scores(4, 1), clusters, 8)
    ranking = rank_by_duels(duels, clusters)
    verdicts = {(duel.first, duel.second): duel.verdict for duel in duels}
    assert verdicts[0, 1] == BETTER
    # The judge knows nearly the same as the good one does.
    assert [standing.number for standing in ranking][:2] in ([0, 2], [2, 0])
    assert ranking[1].within_noise_of == [ranking[0].number]
    assert find_winner(duels, ranking) is None


def make_duel(first: int, second: int, verdict: str) -> Duel:
    from rlhf_sweeps.verdicts.intervals import Interval

    rate = 0.9 if verdict == BETTER else 0.55
    return Duel(first, second, [], np.array([rate]), Interval(rate, None, None), verdict)


def test_the_winner_beats_all_that_are_no_near_copies_of_it() -> None:
    duels = [make_duel(0, 1, BETTER), make_duel(0, 2, BETTER), make_duel(1, 2, NOISE)]
    clusters = [[0], [1], [2]]
    ranking = rank_by_duels(duels, clusters)
    assert [standing.number for standing in ranking] == [0, 1, 2]
    assert ranking[2].within_noise_of == [1]
    assert find_winner(duels, ranking) == 0
    assert find_winner([*duels[:1], make_duel(0, 2, NOISE), duels[2]], ranking) is None
    assert find_winner([*duels[:1], make_duel(2, 0, BETTER), duels[2]], ranking) is None
    copies = [[0, 3], [1], [2]]
    both = [*duels, make_duel(3, 1, BETTER), make_duel(3, 2, BETTER)]
    ranking = rank_by_duels(both, copies)
    assert {standing.number: standing.near_copies for standing in ranking} == {0: [], 3: [0], 1: [], 2: []}
    assert find_winner(both, ranking) == 0


def test_without_an_independent_judge_nothing_is_ranked() -> None:
    scores = make_scores(1, 3)[3:]
    assert hold_duels(scores, [[0, 1, 2]], 4) == []
    assert hold_duels(scores, [[0, 1], [2]], 4) == []
    assert rank_by_duels([], [[0, 1], [2]]) == []
    assert find_winner([], []) is None


def test_equal_reward_models_are_told_apart_in_at_most_one_family_of_twenty() -> None:
    """Four that score at random: 200 families, of which 5 % are 10; 16 is the 97.5 % point of the binomial."""
    random = np.random.default_rng(8)
    clusters = [[0], [1], [2], [3]]
    wrong = 0
    for _ in range(200):
        duels = hold_duels(random.normal(size=(4, 12, 5)), clusters, 4)
        wrong += any(duel.verdict == BETTER for duel in duels)
    assert wrong <= 16


def test_a_loss_lasts_up_to_the_largest_n() -> None:
    won, lost, even = np.full(40, 0.9), np.full(40, 0.1), np.tile([0.2, 0.8], 20)
    own = {1: even, 2: won, 4: won, 8: won}
    assert find_first_loss(own, {1: even, 2: lost, 4: lost, 8: lost}, 4) == 2
    assert find_first_loss(own, {1: even, 2: lost, 4: even, 8: lost}, 4) == 8
    assert find_first_loss(own, {1: even, 2: lost, 4: lost, 8: even}, 4) is None
    assert find_first_loss({**own, 8: even}, {1: even, 2: lost, 4: lost, 8: lost}, 4) is None


def test_a_loss_is_sure_among_all_that_are_looked_for() -> None:
    """24 losses of 34 are sure alone (Wilson's interval ends at 0.46), but not among 1000."""
    near = np.repeat([0.0, 1.0], [24, 10])
    won = np.full(34, 0.99)
    assert find_first_loss({8: won}, {8: near}, 1) == 8
    assert find_first_loss({8: won}, {8: near}, 1000) is None
