"""The objectives of a run: by default the held-out score of its best evaluation within the KL budget.

The training reward cannot rank runs, since it contains the KL penalty, whose coefficient is itself swept. Everything
here is computed from the recorded metrics, so that a sweep can follow a running trial by its record alone.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from rlhf_sweeps.config.schema import CONSTRAINT, ObjectiveConfig
from rlhf_sweeps.figures import format_number
from rlhf_sweeps.verdicts.frontier import average_frontier

Row = Mapping[str, float]


# The metric of an evaluation that the KL budget is held against: with about 95 % certainty the KL is not above it.
KL_BOUND = "eval/kl_bound"
# The metric score - objective.kl_price * KL of an evaluation.
NET_SCORE = "eval/net_score"
FRONTIER = "frontier"  # of objective.reduction


@dataclass(frozen=True)
class Evaluation:
    """An evaluation.

    Attributes:
        score: the mean over the held-out prompts.
        kl: the mean sequence KL to the reference policy, in nats.
        kl_bound: the upper bound of this KL; None in older records, whose KL stands for it.
        kl_price: what a nat of KL costs where the best evaluation is chosen (see `choose_kl_price`).
    """

    update: int
    score: float
    kl: float
    kl_bound: float | None = None
    kl_price: float = 0.0

    @property
    def worth(self) -> float:
        """What chooses the best evaluation: the score, or the net score where that is the objective."""
        return self.score - self.kl_price * self.kl

    def beats(self, best: "Evaluation | None", kl_budget: float | None) -> bool:
        """Whether it is better than the best so far: within the KL budget, and worth strictly more."""
        kl = self.kl if self.kl_bound is None else self.kl_bound
        return (kl_budget is None or kl <= kl_budget) and (best is None or self.worth > best.worth)


def choose_kl_price(metrics: Sequence[str], kl_price: float) -> float:
    """What a nat of KL costs a policy that may be exported: `objective.kl_price` if the first metric is the net score.

    Otherwise the best score would choose a policy whose KL the objective does not want.
    """
    return kl_price if list(metrics[:1]) == [NET_SCORE] else 0.0


def describe_excess(kls: Sequence[float], bounds: Sequence[float | None], kl_budget: float | None) -> str | None:
    """`KL 23.1 > 15`, or `KL at most 5.12 > 5`, of evaluations that are all beyond the budget; None if one is not.

    Args:
        bounds: `eval/kl_bound`; None in older records, whose KL stands for it.
    """
    limits = [kl if bound is None else bound for kl, bound in zip(kls, bounds, strict=True)]
    if kl_budget is None or not all(limit > kl_budget for limit in limits):
        return None
    numbers, at_most = (kls, "") if all(kl > kl_budget for kl in kls) else (limits, "at most ")
    return f"KL {at_most}{', '.join(map(format_number, numbers))} > {format_number(kl_budget)}"


def compute_objectives(rows: Sequence[Row], config: ObjectiveConfig) -> list[float] | None:
    """The value of each of `config.metrics` if the run ended here; None if there is no value yet.

    Only updates count that have all of the metrics and whose KL is within the budget. If there is no such update, the
    value of `eval/score` and of `eval/net_score` is the base policy's score, since the base policy is what remains;
    other metrics have no value.
    """
    if config.reduction == FRONTIER:
        return _compute_frontier(rows, config)
    chosen = select_counted_updates(rows, config)
    if chosen:
        return [fmean(row[metric] for row in chosen) for metric in config.metrics]
    if config.metrics in (["eval/score"], [NET_SCORE]) and (evaluated := select_measured_updates(rows, config)):
        return [evaluated[-1]["eval/base_score"]]
    return None


def _compute_frontier(rows: Sequence[Row], config: ObjectiveConfig) -> list[float] | None:
    """The area under the frontier of the evaluations, whose KL is the one that is held against the budget."""
    evaluated = select_measured_updates(rows, config)
    if not evaluated:
        return None
    assert config.kl_budget is not None  # from_hydra has checked it
    points = [(row.get(KL_BOUND, read_kl(row)), row["eval/score"]) for row in evaluated]
    return [average_frontier(points, evaluated[-1]["eval/base_score"], config.kl_budget)]


def compute_violations(rows: Sequence[Row], config: ObjectiveConfig) -> dict[str, float]:
    """Constraint -> by how much the updates that give the objectives break it; 0 or less if they keep it.

    If such an update lacks the constraint's metric (the length of answers is measured only by an evaluation), the
    newest earlier value counts, or else the next one.
    """
    excesses = {}
    for text in config.constraints:
        parts = CONSTRAINT.fullmatch(text)
        assert parts is not None  # from_hydra has checked it
        measured_rows = [row for row in rows if parts["metric"] in row]
        if measured_rows and (chosen := select_counted_updates(rows, config)):
            before = [[row for row in measured_rows if row["update"] <= chosen_row["update"]] for chosen_row in chosen]
            values = [(earlier_rows or measured_rows[:1])[-1][parts["metric"]] for earlier_rows in before]
            excess = fmean(values) - float(parts["limit"])
            excesses[text] = excess if parts["sign"] == "<" else -excess
    return excesses


def find_missing_metrics(rows: Sequence[Row], config: ObjectiveConfig) -> list[str]:
    """The metrics of the objectives and constraints that no update has recorded."""
    limited = [parts["metric"] for text in config.constraints if (parts := CONSTRAINT.fullmatch(text))]
    return [metric for metric in (*config.metrics, *limited) if not any(metric in row for row in rows)]


def is_judged(metrics: Sequence[str]) -> bool:
    """Whether judges alone measure the objectives, so that runs of different reward models can be compared."""
    return all(metric.startswith("judge/") for metric in metrics)


def is_evaluated(row: Row) -> bool:
    """Whether an update was evaluated on held-out prompts."""
    return any(name.startswith("eval/") for name in row)


def select_measured_updates(rows: Sequence[Row], config: ObjectiveConfig) -> list[Row]:
    """The updates that have all of the objective's metrics."""
    return [row for row in rows if all(metric in row for metric in config.metrics)]


def select_updates_within_budget(rows: Sequence[Row], config: ObjectiveConfig) -> list[Row]:
    """The evaluated updates within the KL budget, of which the best one is chosen."""
    return [row for row in rows if "eval/score" in row and not is_over_budget(row, config)]


def is_over_budget(row: Row, config: ObjectiveConfig) -> bool:
    """Whether an update's KL, the bound of the held-out one where it was evaluated, is beyond the budget."""
    return config.kl_budget is not None and not row.get(KL_BOUND, read_kl(row)) <= config.kl_budget


def read_kl(row: Row) -> float:
    """An update's KL: held-out where it was evaluated, else in training."""
    return row.get("eval/kl", row["objective/kl"])


def ends_beyond_budget(rows: Sequence[Row], config: ObjectiveConfig) -> bool:
    """Whether the newest update with the objective's metrics is beyond the KL budget: the run did not come back."""
    return any(is_over_budget(row, config) for row in select_measured_updates(rows, config)[-1:])


def select_counted_updates(rows: Sequence[Row], config: ObjectiveConfig) -> list[Row]:
    """The updates over which the objectives are averaged: the best by the first metric, the last, or the last few.

    The area under the frontier is of all evaluations; then this is the best one.

    The list is empty if no update with the metrics has a KL within the budget.
    """
    allowed = [row for row in select_measured_updates(rows, config) if not is_over_budget(row, config)]
    if not allowed or config.reduction == "last":
        return allowed[-1:]
    if config.reduction == "mean":
        return allowed[-config.mean_over :]
    first, best = config.metrics[0], max if config.directions[0] == "maximize" else min
    numbers = [row for row in allowed if math.isfinite(row[first])]
    return [best(numbers or allowed, key=lambda row: row[first])]
