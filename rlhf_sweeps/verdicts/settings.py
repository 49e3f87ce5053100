"""The objectives of a setting, and which setting is the best: one rule for the sweep and for its readers."""

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean


def mean_over_seeds(runs: Iterable[Sequence[float] | None]) -> list[float] | None:
    """The objectives of a setting: the mean of each over those of its runs that completed.

    Args:
        runs: the objectives of each run; None for a run that did not complete.

    Returns:
        None if no run completed, or if runs have different numbers of objectives.
    """
    complete = [values for values in runs if values is not None]
    if not complete or len({len(values) for values in complete}) > 1:
        return None
    return [fmean(column) for column in zip(*complete, strict=True)]


def mean_violations(runs: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """By how much a setting breaks each constraint, as mean over its runs; 0 or less if it keeps the constraint.

    A run that was never within the KL budget counts as the base policy, which no constraint applies to: it has no
    value.

    Args:
        runs: for each run, constraint -> by how much the run breaks it; nan or absent if it has no value.

    Returns:
        Constraint -> mean; nan if no run has a value.
    """
    by_constraint: dict[str, list[float]] = {}
    for run in runs:
        for name, excess in run.items():
            by_constraint.setdefault(name, []).extend([] if math.isnan(excess) else [excess])
    return {name: fmean(values) if values else math.nan for name, values in by_constraint.items()}


def keeps_constraints(violations: Mapping[str, float]) -> bool:
    """Whether all constraints are kept: each is broken by 0 or less, and none by nan."""
    return all(excess <= 0 for excess in violations.values())


def rank_key(
    worth: Sequence[float], tested: Sequence[float] | None, directions: Sequence[str]
) -> tuple[bool, list[float], list[float]]:
    """The key that sorts settings, best first.

    With one objective, settings that were run on test seeds go before all others, sorted by their means there: on the
    seeds that chose them, the luckiest setting looks best. With several objectives, test seeds change nothing, since no
    setting is the best.

    Args:
        worth: the mean over the seeds that choose settings.
        tested: the mean over the test seeds; None if the setting was not run on any.
        directions: "maximize" or "minimize" for each objective.
    """
    chosen = compute_losses(worth, directions)
    if tested is None or len(directions) > 1:
        return True, chosen, []
    return False, compute_losses(tested, directions), chosen


def compute_losses(objectives: Sequence[float] | None, directions: Sequence[str]) -> list[float]:
    """The objectives, signed so that lower is better; empty unless there is a number for each direction."""
    values = [float(value) for value in objectives] if objectives is not None else []
    if len(values) != len(directions) or any(map(math.isnan, values)):
        return []
    return [-value if direction == "maximize" else value for value, direction in zip(values, directions, strict=True)]


def find_front(losses: Sequence[Sequence[float]]) -> list[int]:
    """The indices of the settings on the Pareto front, sorted by their first objective, then the second, and so on.

    Of settings that are equal in every objective, only the first is on the front.
    """
    front: list[int] = []
    # In this order a setting can be beaten, or equalled, only by an earlier one.
    for place in sorted(range(len(losses)), key=lambda place: (tuple(losses[place]), place)):
        if not any(_is_no_worse(losses[other], losses[place]) for other in front):
            front.append(place)
    return front


def _is_no_worse(losses: Sequence[float], others: Sequence[float]) -> bool:
    return all(loss <= other for loss, other in zip(losses, others, strict=True))
