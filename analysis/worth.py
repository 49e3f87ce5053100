"""What a run is worth by the engine's own rules: which evaluations counted, which constraints it breaks."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from analysis.records import UPDATE, RunRecord, as_number
from rlhf_sweeps.config import CONSTRAINT, ObjectiveConfig
from rlhf_sweeps.objective import Row, counted, objectives, violations

CONSTRAINTS = "objective.constraints"
_SCORE, _BASE, _KLS = "eval/score", "eval/base_score", ("eval/kl", "objective/kl")


def counted_rows(run: RunRecord) -> list[Row]:
    """The recorded updates whose mean the objectives are, metric -> value; none where that is not known.

    It is not where the config does not say what was looked for, where the metrics are missing, or where no evaluation
    stayed within the KL budget.
    """
    config = _objective(run)
    return counted(_rows(run, config, config.metrics), config) if config is not None else []


def computed(run: RunRecord) -> list[float] | None:
    """What a run is worth by its recorded evaluations, a value for each objective; None where that is not known."""
    config = _objective(run)
    return objectives(_rows(run, config, [*config.metrics, _BASE]), config) if config is not None else None


def is_worth_the_base(run: RunRecord) -> bool:
    """Whether no evaluation stayed within the KL budget, so that its score is the base policy's."""
    config = _objective(run)
    if config is None or config.kl_budget is None or config.metrics != [_SCORE] or not run.objectives:
        return False
    rows = _rows(run, config, config.metrics)
    return bool(rows) and not counted(rows, config)


def broken(run: RunRecord) -> dict[str, float]:
    """Constraint -> by how much a run breaks it, 0 and below: kept; nan where its record does not tell.

    Those of `objective.constraints` in the run's config, at the updates that gave its objectives. The base policy,
    which a run is worth that never stayed within the KL budget, is held to none.
    """
    given = run.config.get(CONSTRAINTS)
    names = [str(text) for text in given] if isinstance(given, list) else []
    config = _objective(run)
    if not names or config is None or is_worth_the_base(run):
        return dict.fromkeys(names, math.nan) if config is None else {}
    limits = {text: parts for text in names if (parts := CONSTRAINT.fullmatch(text))}
    rows = _rows(run, config, [*config.metrics, *(parts["metric"] for parts in limits.values())])
    found = violations(rows, replace(config, constraints=list(limits)))
    return {text: found.get(text, math.nan) for text in names}


def mean_broken(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The same for a trial: the mean over its runs, one for each seed; nan where one is unknown."""
    names = dict.fromkeys(name for one in runs for name in one)
    return {name: fmean([one.get(name, math.nan) for one in runs]) for name in names}


def _objective(run: RunRecord) -> ObjectiveConfig | None:
    """What the run looked for; None where its config does not say all of it."""
    config = {key.removeprefix("objective."): value for key, value in run.config.items()}
    metrics, directions = config.get("metrics"), config.get("directions")
    if run.objective is not None:
        metrics, directions = list(run.objective.metrics), list(run.objective.directions)
    if not isinstance(metrics, list) or not isinstance(directions, list) or not len(metrics) == len(directions) > 0:
        return None
    reduction, mean_over = config.get("reduction", "best"), as_number(config.get("mean_over"))
    if reduction not in ("best", "last", "mean") or (reduction == "mean" and (mean_over is None or mean_over < 1)):
        return None
    return ObjectiveConfig(
        metrics=[str(metric) for metric in metrics],
        directions=[str(direction) for direction in directions],
        reduction=reduction,
        mean_over=int(mean_over or 1),
        kl_budget=run.kl_budget,
        constraints=[],
    )


def _rows(run: RunRecord, config: ObjectiveConfig, metrics: Sequence[str]) -> list[Row]:
    """The updates as the engine saw them: of each only what it has; without a KL nothing can be held to a budget."""
    names = [name for name in dict.fromkeys((UPDATE, *_KLS, *metrics)) if name in run.metrics]
    columns = zip(*(run.metrics[name].tolist() for name in names), strict=True)
    rows = [
        {name: value for name, value in zip(names, values, strict=True) if math.isfinite(value)} for values in columns
    ]
    is_limited = config.kl_budget is not None
    return [_with_kl(row) for row in rows if not is_limited or any(name in row for name in _KLS)]


def _with_kl(row: Row) -> Row:
    """The engine's rows always have the KL in training, which the held-out one goes before."""
    return row if _KLS[1] in row or _KLS[0] not in row else {**row, _KLS[1]: row[_KLS[0]]}
