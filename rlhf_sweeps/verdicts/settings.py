"""What a setting is worth, and which setting is the best: one rule for the sweep and for all that read its record."""

from collections.abc import Iterable, Sequence
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


def losses(values: Sequence[float], directions: Sequence[str]) -> list[float]:
    """The objectives, signed so that lower is better."""
    return [-value if direction == "maximize" else value for value, direction in zip(values, directions, strict=True)]
