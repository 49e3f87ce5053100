"""The best of n answers of the base policy under a reward model: what a policy gains that only chooses.

The base policy has given several answers to each prompt. All results here are means over every subset of n of them, so
no random number is drawn: the answer with rank r of N is the best of n with probability C(r - 1, n - 1) / C(N, n), and
answers with equal scores share their part evenly.
"""

import math

import numpy as np

from rlhf_sweeps.verdicts.student import Floats


def bound_kl(n: int) -> float:
    """An upper bound of the KL of the best of n answers to the base policy: log n - (n - 1) / n, in nats.

    It is often quoted as the KL itself, which is smaller where answers repeat (Beirami et al., arXiv 2401.01879).
    """
    return math.log(n) - (n - 1) / n


def list_sizes(largest: int) -> list[int]:
    """1, 2, 4 ... below the largest n, and the largest n itself."""
    return [*(2**power for power in range((largest - 1).bit_length())), largest]


def weigh_choices(scores: Floats, n: int) -> Floats:
    """The probability of each answer to be the choice of n.

    Args:
        scores: under the reward model that chooses, (prompts, answers).
        n: from 1 to the number of answers.

    Returns:
        (prompts, answers); each row sums to 1.
    """
    table = _tabulate(scores.shape[1], n)
    low = np.array([(own[:, None] > own).sum(1) for own in scores])
    high = np.array([(own[:, None] >= own).sum(1) for own in scores])
    return np.asarray((table[high] - table[low]) / (high - low))


def estimate_scores(scores: Floats, n: int) -> Floats:
    """The mean score of each reward model's choices under each judge.

    Args:
        scores: (reward models, prompts, answers).

    Returns:
        (reward models, judges), in the units of the judges; every reward model is a judge, too.
    """
    num_prompts = scores.shape[1]
    return np.array([np.einsum("pa,jpa->j", weigh_choices(own, n), scores) / num_prompts for own in scores])


def estimate_win_rates(scores: Floats, n: int) -> Floats:
    """The probability that the best of n answers beats one more answer of the base policy; a tie counts half.

    The choice is made among the others, and each answer is the one more in turn. So the estimate has no bias.

    Args:
        scores: (reward models, prompts, answers), more than n answers.

    Returns:
        (reward models, judges, prompts); every reward model is a judge, too.
    """
    num_models, num_prompts, num_answers = scores.shape
    table = _tabulate(num_answers - 1, n)
    rates = np.empty((num_models, num_models, num_prompts))
    for prompt in range(num_prompts):
        wins = compare_answers(scores[:, prompt]).reshape(num_models, -1)
        for chooser in range(num_models):
            weights = _weigh_without(scores[chooser, prompt], table)
            rates[chooser, :, prompt] = wins @ weights.ravel() / num_answers
    return rates


def compare_answers(scores: Floats) -> Floats:
    """Whether the first of two answers beats the second: 1, 0, or 1/2 for a tie.

    Args:
        scores: of the answers to one prompt, (judges, answers).

    Returns:
        (judges, first answers, second answers).
    """
    return np.asarray((np.sign(scores[:, :, None] - scores[:, None, :]) + 1) / 2)


def _weigh_without(own: Floats, table: Floats) -> Floats:
    """The probability of each answer to be chosen from all but another: (answers, left out), 0 on the diagonal.

    Args:
        own: scores of the answers to one prompt, (answers,).
    """
    is_above, is_not_below = own[:, None] > own, own[:, None] >= own
    # An answer that is left out no longer counts among those below, or not above, the choice.
    low = is_above.sum(1, keepdims=True) - is_above
    high = is_not_below.sum(1, keepdims=True) - is_not_below
    np.fill_diagonal(high, 1)
    np.fill_diagonal(low, 0)
    weights = (table[high] - table[low]) / (high - low)
    np.fill_diagonal(weights, 0.0)
    return np.asarray(weights)


def _tabulate(num_answers: int, n: int) -> Floats:
    """The share of subsets of size n within the first c of the answers, for c = 0 ... num_answers."""
    subsets = math.comb(num_answers, n)
    return np.array([math.comb(count, n) / subsets for count in range(num_answers + 1)])
