"""The objective of runs: metrics, whether more of each is better, and where configs hold both."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rlhf_sweeps.record import SweepPlan
from rlhf_sweeps.verdicts.objective import is_judged

METRICS, DIRECTIONS, CONSTRAINTS = "objective.metrics", "objective.directions", "objective.constraints"


@dataclass(frozen=True)
class Objective:
    """Metrics, and for each whether to maximize or minimize it."""

    metrics: tuple[str, ...] = ("eval/score",)
    directions: tuple[str, ...] = ("maximize",)

    @property
    def text(self) -> str:
        """`maximize eval/score, minimize eval/kl`."""
        return ", ".join(f"{way} {metric}" for metric, way in zip(self.metrics, self.directions, strict=False))

    @property
    def is_judged(self) -> bool:
        """Whether judges alone give the objective, so that runs of different reward models can be compared."""
        return is_judged(self.metrics)


def read_objective(config: Mapping[str, Any]) -> Objective | None:
    """The objective in a run's flat config; None where it has none."""
    metrics, directions = parse_list(config.get(METRICS)), parse_list(config.get(DIRECTIONS))
    is_sound = 0 < len(metrics) == len(directions) and set(directions) <= {"maximize", "minimize"}
    return Objective(tuple(metrics), tuple(directions)) if is_sound else None


def read_sweep_objective(plan: SweepPlan, config: Mapping[str, Any]) -> Objective | None:
    """The objective of a sweep, by its plan, else by its flat config; None where both have none."""
    return Objective(tuple(plan.metrics), tuple(plan.directions)) if plan.metrics else read_objective(config)


def parse_list(value: Any) -> list[str]:
    """A config's list of texts, which a table holds as one text: `['eval/score']`. Empty where there is none."""
    if isinstance(value, str):
        import yaml

        try:
            parsed = yaml.safe_load(value)
        except (yaml.YAMLError, ValueError):  # as of a 45th day
            parsed = value
        value = parsed if isinstance(parsed, list) else [value] if value.strip() else []
    return [str(item) for item in value] if isinstance(value, list | tuple) else []
