"""What runs look for."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Objective:
    """What runs look for: metrics, and for each whether to maximize or minimize it."""

    metrics: tuple[str, ...] = ("eval/score",)
    directions: tuple[str, ...] = ("maximize",)

    @property
    def text(self) -> str:
        """`maximize eval/score, minimize eval/kl`."""
        return ", ".join(f"{way} {metric}" for metric, way in zip(self.metrics, self.directions, strict=False))
