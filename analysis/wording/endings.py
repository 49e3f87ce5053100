"""How the value at the end of a curve is written: the mean of its last updates, with their spread."""

from collections.abc import Callable

from rlhf_sweeps.figures import format_number
from rlhf_sweeps.verdicts.series import Ending


def format_ending(ending: Ending, unit: str = "", write: Callable[[float], str] = format_number) -> str:
    """`9.4 nats (mean of the last 5 updates, standard deviation 1.4)`; the value alone where all are the same.

    Args:
        unit: of the value, such as nats; empty where the sentence says it elsewhere.
        write: how a value of the metric is written, such as a share.
    """
    return f"{write(ending.mean)} {unit}".rstrip() + describe_spread(ending, write)


def describe_spread(ending: Ending, write: Callable[[float], str] = format_number, values_noun: str = "updates") -> str:
    """` (mean of the last 5 updates, standard deviation 1.4)`; empty where all are the same.

    Args:
        values_noun: what the values are of, where they are not of updates.
    """
    if ending.deviation == 0:
        return ""
    return f" (mean of the last {ending.count} {values_noun}, standard deviation {write(ending.deviation)})"
