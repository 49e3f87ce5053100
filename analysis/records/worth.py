"""The objectives of a run by the engine's own rules: which evaluations count, which constraints are broken."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analysis.records.objective import CONSTRAINTS, parse_list
from analysis.records.runs import UPDATE, RunRecord, convert_number
from rlhf_sweeps.config.schema import CONSTRAINT, ObjectiveConfig
from rlhf_sweeps.verdicts.objective import (
    FRONTIER,
    KL_BOUND,
    Row,
    compute_objectives,
    compute_violations,
    select_counted_updates,
    select_measured_updates,
)

_SAME = 1e-6  # values that differ less, or by less than this share, are the same
_BASE, _KLS = "eval/base_score", ("eval/kl", "objective/kl")


def select_counted_rows(run: RunRecord) -> list[Row]:
    """The recorded updates that give the objectives, metric -> value; empty where they are unknown.

    Their means are the objectives; where the objective is the area under the frontier, it is the best update.
    They are unknown where the config has no objective, where no evaluation stayed within the KL budget, or where the
    recorded evaluations do not give the objectives that the run wrote: then some of them are lost.
    """
    config = make_objective_config(run)
    if config is None:
        return []
    rows = select_counted_updates(_select_rows(run, config, config.metrics), config)
    values = recompute_objectives(run) or []
    return rows if run.objectives is None or _are_close(values, run.objectives) else []


def find_kl(row: Row) -> float | None:
    """The KL that is compared with the budget: held-out where the update was evaluated; None without any."""
    return next((row[name] for name in _KLS if name in row), None)


def recompute_objectives(run: RunRecord) -> list[float] | None:
    """The objectives of a run by its recorded evaluations; None where they are unknown."""
    config = make_objective_config(run)
    if config is None:
        return None
    rows = _select_rows(run, config, [*config.metrics, _BASE])
    needs_base = config.reduction == FRONTIER or not select_counted_updates(rows, config)
    if needs_base and not any(_BASE in row for row in select_measured_updates(rows, config)[-1:]):
        return None
    return compute_objectives(rows, config)


def is_worth_the_base(run: RunRecord) -> bool:
    """Whether no evaluation stayed within the KL budget, so that its score is the base policy's."""
    config = make_objective_config(run)
    if config is None or select_counted_updates(_select_rows(run, config, config.metrics), config):
        return False
    base = recompute_objectives(run)  # without an evaluation that counts, the base policy's score
    return base is not None and (run.objectives is None or _are_close(base, run.objectives))


def measure_violations(run: RunRecord) -> dict[str, float]:
    """Constraint -> by how much a run breaks it, 0 and below: kept; nan where it is unknown.

    The constraints are `objective.constraints` in the run's config, at the updates that gave its objectives. A run that
    never stayed within the KL budget has the score of the base policy, which has no constraints.
    """
    names = parse_list(run.config.get(CONSTRAINTS))
    config = make_objective_config(run)
    if not names or is_worth_the_base(run):
        return {}
    if config is None or not select_counted_rows(run):
        return dict.fromkeys(names, math.nan)
    limits = {text: parts for text in names if (parts := CONSTRAINT.fullmatch(text))}
    rows = _select_rows(run, config, [*config.metrics, *(parts["metric"] for parts in limits.values())])
    excesses = compute_violations(rows, replace(config, constraints=list(limits)))
    return {text: excesses.get(text, math.nan) for text in names}


def _are_close(values: Sequence[float], references: Sequence[float]) -> bool:
    return len(values) == len(references) and all(
        math.isclose(value, reference, rel_tol=_SAME, abs_tol=_SAME)
        for value, reference in zip(values, references, strict=True)
    )


def make_objective_config(run: RunRecord) -> ObjectiveConfig | None:
    """The objective of the run as the engine takes it; None where its config lacks a part."""
    objective = run.looked_for
    reduction = run.config.get("objective.reduction", "best")
    mean_over = convert_number(run.config.get("objective.mean_over"))
    if objective is None:
        return None
    if reduction not in ("best", "last", "mean", FRONTIER) or (
        reduction == "mean" and (mean_over is None or mean_over < 1)
    ):
        return None
    if reduction == FRONTIER and not (list(objective.metrics) == ["eval/score"] and (run.kl_budget or 0) > 0):
        return None
    return ObjectiveConfig(
        metrics=list(objective.metrics),
        directions=list(objective.directions),
        reduction=reduction,
        mean_over=int(mean_over or 1),
        kl_budget=run.kl_budget,
        constraints=[],
    )


def _select_rows(run: RunRecord, config: ObjectiveConfig, metrics: Sequence[str]) -> list[Row]:
    """The updates that have any of some metrics, each with its recorded values, as the engine sees them.

    Where there is a KL budget, updates without a KL are left out.
    """
    names = [name for name in dict.fromkeys((UPDATE, *_KLS, KL_BOUND, *metrics)) if name in run.metrics]
    wanted = [np.isfinite(run.metrics[name]) for name in metrics if name in run.metrics]
    if not wanted:
        return []
    has_any = np.any(wanted, axis=0)  # of a thousand updates a few are evaluated
    columns = zip(*(run.metrics[name][has_any].tolist() for name in names), strict=True)
    rows = [
        {name: value for name, value in zip(names, values, strict=True) if math.isfinite(value)} for values in columns
    ]
    is_limited = config.kl_budget is not None
    return [_add_training_kl(row) for row in rows if not is_limited or any(name in row for name in _KLS)]


def _add_training_kl(row: Row) -> Row:
    """The engine's rows always have the KL in training, which the held-out one goes before."""
    return row if _KLS[1] in row or _KLS[0] not in row else {**row, _KLS[1]: row[_KLS[0]]}
