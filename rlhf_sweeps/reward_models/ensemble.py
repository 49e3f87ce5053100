"""Several reward models as one, after Coste et al., "Reward model ensembles help mitigate overoptimization" (2024).

If the members disagree, the policy has probably left the data that they were trained on; the worst case and the
uncertainty-weighted mean take that into account. In the paper the members have the same scale because they were trained
alike; here the scales are measured.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from rlhf_sweeps.reward_models.base import Exchanges, RewardModel
from rlhf_sweeps.reward_models.scale import UNIT, Scale
from rlhf_sweeps.reward_models.scorer import Scorer


class EnsembleRewardModel(RewardModel):
    """An aggregation of several reward models.

    Attributes:
        members: the reward models.
        scales: the scale of each member; set before the first score.
    """

    def __init__(self, members: Sequence[Scorer], aggregation: str, uncertainty_weight: float) -> None:
        self.members = members
        self.scales: Sequence[Scale] = [UNIT] * len(members)
        self.aggregation = aggregation
        self.uncertainty_weight = uncertainty_weight

    def score(self, exchanges: Exchanges) -> Tensor:
        """One score each, (batch,), float32 on the CPU."""
        scores = [scale.apply(member.score(exchanges)) for member, scale in zip(self.members, self.scales, strict=True)]
        return aggregate(torch.stack(scores), self.aggregation, self.uncertainty_weight)

    def digest(self) -> str:
        """The digests of the members, and their scales."""
        return repr([(member.digest(), scale) for member, scale in zip(self.members, self.scales, strict=True)])


def aggregate(scores: Tensor, aggregation: str, uncertainty_weight: float) -> Tensor:
    """One score for each response, (batch,), from the scores of the members, (members, batch).

    Args:
        aggregation: mean; min, for worst-case optimization; or uncertainty_weighted, the mean minus the weight times
            the variance of the members' scores (divided by the number of members).
    """
    if aggregation == "min":
        return scores.min(dim=0).values
    mean = scores.mean(dim=0)
    if aggregation == "uncertainty_weighted":
        mean = mean - uncertainty_weight * scores.var(dim=0, correction=0)
    return mean
