"""What a setting is worth, and which setting is the best: one rule for the sweep and for all that read its record."""

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean


def mean_over_seeds(runs: Iterable[Sequence[float] | None]) -> list[float] | None:
    """What a setting is worth: for each objective the mean over those of its runs that came to their end.

    Args:
        runs: what each is worth, a value for each objective; None: it did not come to its end.

    Returns:
        None where no run did, or where they are worth different numbers of values.
    """
    found = [values for values in runs if values is not None]
    if not found or len({len(values) for values in found}) > 1:
        return None
    return [fmean(column) for column in zip(*found, strict=True)]


def mean_broken(runs: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """By how much a setting breaks each constraint, 0 and below: kept; the mean over those of its runs that tell.

    A run that never stayed within the KL budget is worth the base policy, which is held to no constraint: it tells
    none.

    Args:
        runs: constraint -> by how much each breaks it; nan or absent: it does not tell.

    Returns:
        nan where no run tells.
    """
    told: dict[str, list[float]] = {}
    for run in runs:
        for name, excess in run.items():
            told.setdefault(name, []).extend([] if math.isnan(excess) else [excess])
    return {name: fmean(values) if values else math.nan for name, values in told.items()}


def keeps(violations: Mapping[str, float]) -> bool:
    """Whether all constraints are known to be kept: each is broken by 0 or less, and none by nan."""
    return all(excess <= 0 for excess in violations.values())


def rank_key(
    worth: Sequence[float], tested: Sequence[float] | None, directions: Sequence[str]
) -> tuple[bool, list[float], list[float]]:
    """What settings are sorted by, best first.

    With one objective, those that were run on test seeds go before all others, by what they are worth there: the seeds
    that chose them make the luckiest look best. With several, test seeds change nothing, since no setting is the best.

    Args:
        worth: the mean over the seeds that choose.
        tested: the mean over the test seeds; None where there is none.
        directions: "maximize" or "minimize" for each objective.
    """
    chosen = losses(worth, directions)
    if tested is None or len(directions) > 1:
        return True, chosen, []
    return False, losses(tested, directions), chosen


def losses(objectives: Sequence[float] | None, directions: Sequence[str]) -> list[float]:
    """The objectives, signed so that lower is better; empty where there are not as many numbers as there should be."""
    values = [float(value) for value in objectives] if objectives is not None else []
    if len(values) != len(directions) or any(map(math.isnan, values)):
        return []
    return [-value if direction == "maximize" else value for value, direction in zip(values, directions, strict=True)]


def find_front(losses: Sequence[Sequence[float]]) -> list[int]:
    """The places of those on the Pareto front, which no other beats in all objectives, by the objectives in turn.

    Of those that are equal in every objective only the first is among them.
    """
    front: list[int] = []
    # In this order one can be beaten, or equalled, only by one before it.
    for place in sorted(range(len(losses)), key=lambda place: (tuple(losses[place]), place)):
        if not any(_is_no_worse(losses[other], losses[place]) for other in front):
            front.append(place)
    return front


def _is_no_worse(losses: Sequence[float], others: Sequence[float]) -> bool:
    return all(loss <= other for loss, other in zip(losses, others, strict=True))
