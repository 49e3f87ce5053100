"""The area under the frontier of score and KL: how good a run is over all KL budgets, not at one of them."""

import math
from collections.abc import Iterable


def average_frontier(evaluations: Iterable[tuple[float, float]], base_score: float, kl_budget: float) -> float:
    """The mean, over all budgets from 0 to `kl_budget`, of the best score within the budget.

    At a budget of 0 only the base policy is left; a policy that is worse than one with less KL adds nothing. The
    frontier is that of Gao et al. (arXiv 2210.10760), as steps: nothing is assumed between evaluations.

    Args:
        evaluations: KL in nats and score, of the evaluations of a run; what is not finite is left out.
    """
    area, best, reached = 0.0, base_score, 0.0
    for kl, score in sorted(point for point in evaluations if all(map(math.isfinite, point))):
        if kl > kl_budget:
            break
        if score > best:
            start = max(kl, 0.0)
            area += best * (start - reached)
            best, reached = score, start
    return (area + best * (kl_budget - reached)) / kl_budget
