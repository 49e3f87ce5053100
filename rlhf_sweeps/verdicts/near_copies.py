"""Which reward models are near-copies: they rank the answers to a prompt in nearly the same order.

Near-copies agree with each other whatever is true, so all of them together have one vote.
"""

from collections.abc import Sequence

import numpy as np

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
