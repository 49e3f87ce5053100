"""What a run is worth: by default the held-out score of its best evaluation within the KL budget.

Training reward cannot rank runs, since it contains the KL penalty, whose coefficient is being chosen. All here is a
function of the recorded metrics, so that a sweep can follow a running trial by its record alone.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from rlhf_sweeps.config.schema import CONSTRAINT, ObjectiveConfig

Row = Mapping[str, float]


@dataclass(frozen=True)
class Evaluated:
    """One evaluation: after which update, mean score, mean sequence KL to the reference policy in nats."""

    update: int
    score: float
    kl: float

    def beats(self, best: "Evaluated | None", kl_budget: float | None) -> bool:
        """Whether this is the best so far; one beyond the budget never is, and of equal scores the earlier stays."""
        return (kl_budget is None or self.kl <= kl_budget) and (best is None or self.score > best.score)


def objectives(rows: Sequence[Row], config: ObjectiveConfig) -> list[float] | None:
    """The value of each of `config.metrics`, were the run to end here; None if there is none yet.

    Only updates count that have the metrics and whose KL is within the budget. Where none is, a score is worth the base
    policy's, since that is what one is left with; other metrics then have no value.
    """
    chosen = counted(rows, config)
    if chosen:
        return [fmean(row[metric] for row in chosen) for metric in config.metrics]
    if config.metrics == ["eval/score"] and (evaluated := measured(rows, config)):
        return [evaluated[-1]["eval/base_score"]]
    return None


def violations(rows: Sequence[Row], config: ObjectiveConfig) -> dict[str, float]:
    """Constraint -> by how much the updates that give the objectives break it; 0 and below: kept.

    Where such an update has not the constraint's metric, as one without an evaluation has no length of answers, the
    newest value up to there counts, or else the next one.
    """
    found = {}
    for text in config.constraints:
        parts = CONSTRAINT.fullmatch(text)
        assert parts is not None  # from_hydra has checked it
        known = [row for row in rows if parts["metric"] in row]
        if known and (chosen := counted(rows, config)):
            before = [[row for row in known if row["update"] <= one["update"]] for one in chosen]
            values = [(found_rows or known[:1])[-1][parts["metric"]] for found_rows in before]
            excess = fmean(values) - float(parts["limit"])
            found[text] = excess if parts["sign"] == "<" else -excess
    return found


def missing(rows: Sequence[Row], config: ObjectiveConfig) -> list[str]:
    """The metrics of objective and constraints that no update has."""
    limited = [parts["metric"] for text in config.constraints if (parts := CONSTRAINT.fullmatch(text))]
    return [metric for metric in (*config.metrics, *limited) if not any(metric in row for row in rows)]


def is_judged(metrics: Sequence[str]) -> bool:
    """Whether judges alone tell what a run is worth, so that runs of different reward models can be compared."""
    return all(metric.startswith("judge/") for metric in metrics)


def is_evaluated(row: Row) -> bool:
    """Whether an update was evaluated on held-out prompts."""
    return any(name.startswith("eval/") for name in row)


def measured(rows: Sequence[Row], config: ObjectiveConfig) -> list[Row]:
    """The updates that have all of the objective's metrics."""
    return [row for row in rows if all(metric in row for metric in config.metrics)]


def is_over_budget(row: Row, config: ObjectiveConfig) -> bool:
    """Whether an update's KL, held-out where it was evaluated, is beyond the budget."""
    return config.kl_budget is not None and row.get("eval/kl", row["objective/kl"]) > config.kl_budget


def counted(rows: Sequence[Row], config: ObjectiveConfig) -> list[Row]:
    """The updates whose mean the objectives are: the best one by the first metric, the last, or the last few.

    None where no update with the metrics has a KL within the budget.
    """
    allowed = [row for row in measured(rows, config) if not is_over_budget(row, config)]
    if not allowed or config.reduction == "last":
        return allowed[-1:]
    if config.reduction == "mean":
        return allowed[-config.mean_over :]
    first, best = config.metrics[0], max if config.directions[0] == "maximize" else min
    numbers = [row for row in allowed if math.isfinite(row[first])]
    return [best(numbers or allowed, key=lambda row: row[first])]
