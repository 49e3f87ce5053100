"""Which reward models are near-copies: they rank the answers to a prompt in nearly the same order.

Near-copies agree with each other whatever is true, so all of them together have one vote, and none is an independent
judge of another.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from rlhf_sweeps.figures import format_number
from rlhf_sweeps.verdicts.student import Floats

# The mean rank correlation within prompts from which reward models are near-copies. Chosen: two copies of a reward
# model correlate by 0.9 if each has noise of a third of the scores' standard deviation.
NEAR_COPY = 0.9


def correlate_ranks(scores: Floats) -> Floats:
    """The mean over prompts of Spearman's rank correlation; answers with equal scores share their ranks.

    Args:
        scores: (reward models, prompts, answers).

    Returns:
        (reward models, reward models); nan where no prompt has different scores under both.
    """
    from scipy.stats import rankdata

    ranks = rankdata(scores, axis=-1)
    ranks -= ranks.mean(-1, keepdims=True)
    sizes = np.sqrt((ranks**2).sum(-1))
    sizes[sizes == 0] = np.nan
    units = ranks / sizes[..., None]
    correlations = np.einsum("apn,bpn->abp", units, units)
    is_usable = np.isfinite(correlations)
    counts = is_usable.sum(-1)
    sums = np.where(is_usable, correlations, 0.0).sum(-1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def correlate_beyond_policies(first: Floats, second: Floats) -> float:
    """The rank correlation within prompts of two reward models, where the answers are of several policies.

    All sound judges find the answers of a better policy better, without being copies. So the mean rank of each policy's
    answers is subtracted from their ranks, and the correlation is that of what is left, over all answers. Where all
    answers are of one policy, that changes nothing but chance, and the value is that of `correlate_ranks`.

    Args:
        first, second: scores, (prompts, policies), of the same answers.

    Returns:
        1 for equal scores; nan where nothing is left under one of the two.
    """
    from scipy.stats import rankdata

    if np.array_equal(first, second):
        return 1.0
    ranks = rankdata(np.array([first, second]), axis=-1)
    ours, theirs = ranks - ranks.mean(1, keepdims=True)
    size = float(np.sqrt((ours**2).sum() * (theirs**2).sum()))
    return float((ours * theirs).sum()) / size if size > 0 else math.nan


def average_agreement(names: Sequence[str], agreement: Mapping[str, Mapping[str, Any]]) -> float:
    """The mean correlation of every two of some reward models.

    Args:
        names: at least two.
        agreement: name -> name -> correlation.
    """
    return float(np.mean([agreement[first][second] for first, second in combinations(names, 2)]))


def describe_near_copies(names: Sequence[str], correlation: float, threshold: float = NEAR_COPY) -> str:
    """The sentence on reward models that are near-copies of each other, for all outputs.

    Args:
        names: at least two.
        correlation: the mean of every two of them.
        threshold: the correlation from which they were near-copies.
    """
    return (
        f"{', '.join(names[:-1])} and {names[-1]} are near-copies (rank correlation within prompts "
        f"{format_number(correlation)}, from {format_number(threshold)} on): together they have one vote, and none is "
        "an independent judge of another"
    )


def find_clusters(correlations: Floats, threshold: float = NEAR_COPY) -> list[list[int]]:
    """Groups of near-copies: average linkage, joined as long as the mean correlation of two groups allows it.

    Args:
        correlations: of every two reward models, (reward models, reward models), without nan.

    Returns:
        The numbers of the reward models in each group, in their order; most groups have one.
    """
    clusters = [[number] for number in range(len(correlations))]
    while len(clusters) > 1:
        pairs = [(first, second) for second in range(len(clusters)) for first in range(second)]
        likeness = [_correlate_clusters(correlations, clusters[first], clusters[second]) for first, second in pairs]
        nearest = int(np.argmax(likeness))
        if likeness[nearest] < threshold:
            break
        first, second = pairs[nearest]
        clusters[first] = sorted(clusters[first] + clusters.pop(second))
    return sorted(clusters)


def _correlate_clusters(correlations: Floats, first: Sequence[int], second: Sequence[int]) -> float:
    return float(correlations[np.ix_(first, second)].mean())
