"""What changes from update to update beside the weights: the learning rate, the KL coefficient, the scores' scale."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


def lr_factor(schedule: str, update: int, num_updates: int, num_warmup: int) -> float:
    """The learning rate of an update (from 1) as a share of the highest.

    It rises in equal steps over the warm-up, and then stays, or falls to 0 after the last update.
    """
    if update <= num_warmup:
        return update / (num_warmup + 1)
    done = (update - 1 - num_warmup) / (num_updates - num_warmup)
    if schedule == "linear":
        return 1 - done
    if schedule == "cosine":
        return (1 + math.cos(math.pi * done)) / 2
    return 1.0


@dataclass
class RunningStatistics:
    """Mean and deviation of all numbers seen so far (Chan's update of Welford's sums)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, x: Tensor) -> None:
        """Take in some numbers, whatever their shape."""
        x = x.double()
        count = self.count + x.numel()
        mean = x.mean().item()
        delta = mean - self.mean
        self.squares += (x - mean).square().sum().item() + delta**2 * self.count * x.numel() / count
        self.mean += delta * x.numel() / count
        self.count = count

    @property
    def deviation(self) -> float:
        """Unbiased; 1 as long as it is unknown or 0."""
        variance = self.squares / (self.count - 1) if self.count > 1 else 0.0
        return math.sqrt(variance) or 1.0

    def scale(self, scores: Tensor, how: str, clip: float | None) -> Tensor:
        """Scores (batch,) after `ppo.score_scaling` and `ppo.score_clip`; none, scale or normalize."""
        if how == "normalize":
            scores = scores - self.mean
        if how != "none":
            scores = scores / self.deviation
        return scores if clip is None else torch.clamp(scores, -clip, clip)
