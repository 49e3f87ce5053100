"""The schedule of the learning rate, and running statistics of scores."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


def lr_factor(schedule: str, update: int, num_updates: int, num_warmup: int) -> float:
    """The learning rate of an update (counted from 1), divided by the highest one.

    It rises linearly over the warm-up. Then it stays, or falls so that it would be 0 after the last update.
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
    """Mean and standard deviation of all numbers so far (Chan's update of Welford's sums)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, x: Tensor) -> None:
        """Add numbers, of any shape."""
        x = x.double()
        count = self.count + x.numel()
        mean = x.mean().item()
        delta = mean - self.mean
        self.squares += (x - mean).square().sum().item() + delta**2 * self.count * x.numel() / count
        self.mean += delta * x.numel() / count
        self.count = count

    @property
    def deviation(self) -> float:
        """The standard deviation, from the unbiased variance; 1 if it is unknown or 0."""
        variance = self.squares / (self.count - 1) if self.count > 1 else 0.0
        return math.sqrt(variance) or 1.0

    def scale(self, scores: Tensor, scaling: str, clip: float | None) -> Tensor:
        """Scores, (batch,), scaled and clipped.

        Args:
            scaling: ppo.score_scaling: none, scale or normalize.
            clip: ppo.score_clip; None: no clipping.
        """
        if scaling == "normalize":
            scores = scores - self.mean
        if scaling != "none":
            scores = scores / self.deviation
        return scores if clip is None else torch.clamp(scores, -clip, clip)
