"""What runs look for: metrics, whether more of each is better, the limits that they must keep; what they are worth."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from analysis.numbers import as_number

METRICS, DIRECTIONS, CONSTRAINTS = "objective.metrics", "objective.directions", "objective.constraints"


@dataclass(frozen=True)
class Objective:
    """What runs look for: metrics, and for each whether to maximize or minimize it."""

    metrics: tuple[str, ...] = ("eval/score",)
    directions: tuple[str, ...] = ("maximize",)

    @property
    def text(self) -> str:
        """`maximize eval/score, minimize eval/kl`."""
        return ", ".join(f"{way} {metric}" for metric, way in zip(self.metrics, self.directions, strict=False))


def objective_in(config: Mapping[str, Any]) -> Objective | None:
    """What a run with such a flat config looks for; None where it does not say."""
    metrics, directions = listed_in(config.get(METRICS)), listed_in(config.get(DIRECTIONS))
    is_sound = 0 < len(metrics) == len(directions) and set(directions) <= {"maximize", "minimize"}
    return Objective(tuple(metrics), tuple(directions)) if is_sound else None


def listed_in(value: Any) -> list[str]:
    """A config's list of texts; in a table it is written as a text: `['eval/score']`. Empty where there is none."""
    if isinstance(value, str):
        import yaml

        try:
            found = yaml.safe_load(value)
        except (yaml.YAMLError, ValueError):  # as of a 45th day
            found = value
        value = found if isinstance(found, list) else [value] if value.strip() else []
    return [str(item) for item in value] if isinstance(value, list | tuple) else []


def objectives_in(summary: Mapping[str, Any]) -> list[float] | None:
    """What a run with such a summary is worth, a value for each objective; None where it has none (yet)."""
    values = summary.get("objectives")
    if not isinstance(values, list) or not values:
        values = [summary.get("objective")]
    numbers = [found for value in values if (found := as_number(value)) is not None]
    return numbers if len(numbers) == len(values) else None
