"""What the state of a trial or run leaves out: the cause of a failure, or that it went beyond its KL budget."""

from collections.abc import Iterable

from analysis.records.runs import RunRecord
from rlhf_sweeps.record.trials import BEYOND, COMPLETE, is_beyond_budget


def find_remark(state: str, cause: str | None, runs: Iterable[RunRecord]) -> str | None:
    """The cause; of a complete trial BEYOND if one of its runs was stopped by its KL budget or ended beyond it.

    Args:
        runs: of the trial, on the seeds that choose.
    """
    if state == COMPLETE:
        return BEYOND if any(is_beyond_budget(run.summary) for run in runs) else None
    return cause
