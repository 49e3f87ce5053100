"""The time that a sweep still takes: each piece of work goes to the worker that is free first."""

import heapq
from collections.abc import Sequence
from statistics import fmean

from analysis.records.runs import COMPLETE, FAILED
from analysis.sweep.failures import OF_SETTING
from analysis.watch.rows import TrialRow
from analysis.watch.thresholds import MAX_JOBS
from rlhf_sweeps.record.trials import RUNNING


def estimate_seconds(
    trials: Sequence[TrialRow], tests: Sequence[TrialRow], num_new: int, num_tests: int, workers: int
) -> float | None:
    """Seconds until the last run ends if all go on at their present speed; None where no speed is known.

    A trial that has begun takes as long as its own speed says. A trial to come takes the mean time of the ended and the
    running ones: pruned ones count, since some trials to come will be pruned, too; failed ones count only where the
    setting was at fault. Runs on test seeds begin when all trials have ended, and take as long as those of complete
    trials.

    Args:
        tests: runs on test seeds that have begun.
        num_new: trials to come.
        num_tests: runs on test seeds to come.
        workers: how many run at a time.
    """
    wholes = [row.whole for row in trials if row.whole is not None]
    complete = [row.seconds for row in trials if row.state == COMPLETE and row.seconds > 0]
    ended = [row.seconds for row in trials if _predicts_others(row)]
    running = [row.whole for row in trials if row.is_open and row.whole is not None]
    if not (complete or ended or wholes):
        return None
    full = fmean(complete or wholes or ended)
    each = fmean([*ended, *running] or wholes)
    seeds = max((row.num_seeds for row in trials), default=1)
    searched = estimate_span(*_list_seconds_left(trials, full), [each] * num_new, workers)
    return searched + estimate_span(*_list_seconds_left(tests, full / seeds), [full / seeds] * num_tests, workers)


def _predicts_others(row: TrialRow) -> bool:
    """Whether an ended trial predicts the time of others: not where it failed for a reason outside of its setting."""
    return not row.is_open and row.seconds > 0 and (row.state != FAILED or row.cause in OF_SETTING)


def estimate_span(busy: Sequence[float], begun: Sequence[float], new: Sequence[float], workers: int) -> float:
    """Seconds until all is done.

    Args:
        busy: seconds of the work that workers are at; begun: of begun work that waits; new: of work after that.
    """
    queue = [*begun, *new]
    free = sorted(busy) + [0.0] * max(0, workers - len(busy))
    if not queue:
        return max(free, default=0.0)
    if len(queue) > MAX_JOBS:
        return (sum(free) + sum(queue)) / max(1, len(free))
    heapq.heapify(free)
    last = max(free)
    for seconds in queue:
        end = heapq.heappop(free) + seconds
        last = max(last, end)
        heapq.heappush(free, end)
    return last


def _list_seconds_left(rows: Sequence[TrialRow], full: float) -> tuple[list[float], list[float]]:
    """Seconds that running rows, and begun rows that wait, still take."""
    running: list[float] = []
    waiting: list[float] = []
    for row in rows:
        if row.is_open:
            left = max(0.0, full - row.seconds) if row.left is None else row.left
            (running if row.state == RUNNING else waiting).extend([left] * max(1, len(row.at_work)))
    return running, waiting
