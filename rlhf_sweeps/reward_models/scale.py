"""Scores on a common scale: mean 0 and standard deviation 1 on the base policy's responses.

A KL coefficient is the price of a nat in units of the score. So it means the same under two reward models only if their
scores have the same scale.
"""

from dataclasses import dataclass

from torch import Tensor

from rlhf_sweeps.process.failures import RewardModelError


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation of a reward model's scores on responses of the base policy."""

    mean: float
    deviation: float
    num_responses: int

    def apply(self, scores: Tensor) -> Tensor:
        """(score - mean) / standard deviation, (batch,)."""
        return (scores - self.mean) / self.deviation


UNIT = Scale(0.0, 1.0, 0)


def measure(name: str, scores: Tensor) -> Scale:
    """The scale of scores, (batch,).

    Raises:
        RewardModelError: if all scores are the same.
    """
    deviation = scores.double().std().item() if len(scores) > 1 else 0.0
    if not deviation > 0:
        raise RewardModelError(
            f"reward model {name}: gives all {len(scores)} responses of the base policy the score "
            f"{scores[0].item():g}, so that there is no scale (reward_model.normalize=false takes it as it is; "
            "an ensemble cannot)"
        )
    return Scale(scores.double().mean().item(), deviation, len(scores))
