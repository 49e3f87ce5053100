"""What a run is worth: the held-out score of its best evaluation within the KL budget.

Training reward cannot rank runs, since it contains the KL penalty, whose coefficient is being chosen.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Evaluated:
    """One evaluation: after which update, mean score, mean sequence KL to the reference policy in nats."""

    update: int
    score: float
    kl: float

    def beats(self, best: "Evaluated | None", kl_budget: float | None) -> bool:
        """Whether this is the best so far; one beyond the budget never is, and of equal scores the earlier stays."""
        return (kl_budget is None or self.kl <= kl_budget) and (best is None or self.score > best.score)
