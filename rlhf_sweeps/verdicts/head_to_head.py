"""Reward models head to head: the choices of one against those of another, judged by reward models that are neither.

A judge is independent of two reward models if it is no near-copy of either. Each group of near-copies has one vote, so
a reward model does not win because it was entered several times. Near-copies are not compared with each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, combinations, product

import numpy as np

from rlhf_sweeps.verdicts.best_of_n import compare_answers, weigh_choices
from rlhf_sweeps.verdicts.intervals import Interval, estimate_win_rate
from rlhf_sweeps.verdicts.pairs import BETTER, NOISE
from rlhf_sweeps.verdicts.student import Floats

INDEPENDENT = "independent judges"  # in the place of a judge: all that are no near-copies, each group with one vote
FEWEST_CLUSTERS = 3  # of near-copies: two that are compared, and one that judges them

# The numbers of the reward models in each group of near-copies.
Clusters = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Duel:
    """Two reward models head to head.

    Attributes:
        first, second: their numbers; the first wins more often.
        judges: the numbers of the independent judges.
        outcomes: the probability that the first one's choice beats the second one's, (prompts,).
        win_rate: their mean; the intervals of all duels hold at once with 95 % confidence.
        verdict: BETTER if the first one's interval lies above a half, else NOISE.
    """

    first: int
    second: int
    judges: Sequence[int]
    outcomes: Floats
    win_rate: Interval
    verdict: str


@dataclass(frozen=True)
class Standing:
    """A reward model in the ranking.

    Attributes:
        number: of the reward model.
        win_rate: against the choices of all others that are no near-copies of it, each group counted once.
        within_noise_of: those before it in the ranking that are not distinguished from it.
        near_copies: those before it in the ranking that are near-copies of it.
    """

    number: int
    win_rate: Interval
    within_noise_of: Sequence[int]
    near_copies: Sequence[int]


def vote(outcomes: Floats, clusters: Clusters) -> Floats:
    """The mean over groups of near-copies, each of which has one vote.

    Args:
        outcomes: of each reward model as a judge, (judges, prompts) or (judges, seeds, prompts).
        clusters: those that vote, at least one.

    Returns:
        (prompts,) or (seeds, prompts).
    """
    return np.asarray(np.mean([outcomes[list(cluster)].mean(0) for cluster in clusters], axis=0))


def leave_out(clusters: Clusters, *numbers: int) -> Clusters:
    """The groups of near-copies without those of the given reward models."""
    return [cluster for cluster in clusters if not set(cluster) & set(numbers)]


def hold_duels(scores: Floats, clusters: Clusters, n: int) -> list[Duel]:
    """Compare every two reward models that are no near-copies of each other.

    Each of the two chooses from n answers of its own, drawn from the same answers of the base policy.

    Args:
        scores: (reward models, prompts, answers).
        clusters: groups of near-copies; reward models in none of them take no part.

    Returns:
        Empty where there are fewer than FEWEST_CLUSTERS groups, since there is no independent judge.
    """
    if len(clusters) < FEWEST_CLUSTERS:
        return []
    results = _judge_choices(scores, n)
    pairs = [pair for groups in combinations(clusters, 2) for pair in product(*groups)]
    return [_hold_duel(results, pair, clusters, len(pairs)) for pair in pairs]


def _hold_duel(results: Floats, pair: tuple[int, ...], clusters: Clusters, num_pairs: int) -> Duel:
    first, second = pair
    judges = leave_out(clusters, first, second)
    outcomes = vote(results[:, first, second], judges)
    if outcomes.mean() < 1 / 2:
        first, second, outcomes = second, first, 1 - outcomes
    win_rate = estimate_win_rate(outcomes[None], num_means=num_pairs)
    verdict = BETTER if win_rate.low is not None and win_rate.low > 1 / 2 else NOISE
    return Duel(first, second, sorted(chain.from_iterable(judges)), outcomes, win_rate, verdict)


def rank_by_duels(duels: Sequence[Duel], clusters: Clusters) -> list[Standing]:
    """The reward models, the highest win rate against the others first; empty without duels."""
    if not duels:
        return []
    outcomes = {(duel.first, duel.second): duel.outcomes for duel in duels}
    outcomes |= {(duel.second, duel.first): 1 - duel.outcomes for duel in duels}
    rates = {}
    for number in chain.from_iterable(clusters):
        others = leave_out(clusters, number)
        means = [np.mean([outcomes[number, other] for other in cluster], axis=0) for cluster in others]
        rates[number] = estimate_win_rate(np.mean(means, axis=0)[None])
    order = sorted(rates, key=lambda number: -rates[number].mean)
    is_noise = {frozenset((duel.first, duel.second)) for duel in duels if duel.verdict == NOISE}
    home = {number: place for place, cluster in enumerate(clusters) for number in cluster}
    return [
        Standing(
            number,
            rates[number],
            [other for other in order[:place] if frozenset((other, number)) in is_noise],
            [other for other in order[:place] if home[other] == home[number]],
        )
        for place, number in enumerate(order)
    ]


def find_winner(duels: Sequence[Duel], ranking: Sequence[Standing]) -> int | None:
    """The reward model that is better than each one that is no near-copy of it; None if there is none."""
    if not ranking:
        return None
    best = ranking[0].number
    own = [duel for duel in duels if best in (duel.first, duel.second)]
    return best if all(duel.first == best and duel.verdict == BETTER for duel in own) else None


def _judge_choices(scores: Floats, n: int) -> Floats:
    """The probability that one choice beats another: (judges, first, second, prompts)."""
    weights = np.array([weigh_choices(own, n) for own in scores])
    results = np.empty((len(scores), len(scores), len(scores), scores.shape[1]))
    for prompt in range(scores.shape[1]):
        wins = compare_answers(scores[:, prompt])
        results[..., prompt] = weights[:, prompt] @ wins @ weights[:, prompt].T
    return results
