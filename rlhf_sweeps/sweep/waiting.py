"""Which of the runs that wait comes back first."""

from collections.abc import Sequence

from rlhf_sweeps.sweep.active import Active
from rlhf_sweeps.sweep.pruning.judge import Judge


def next_waiting(waiting: Sequence[Active], judge: Judge, share_in_time: float, is_last_resort: bool) -> Active | None:
    """The one that comes back: of those that are among the best by now, or of all where nothing else is left.

    Args:
        share_in_time: up to which share of a run there is time.
        is_last_resort: whether nothing else is left to begin.
    """
    # Of those that have got equally far, only the best one can be among the best of all that got there.
    in_time = [
        one for one in waiting if one.index is not None and judge.rest(one.trial.number, one.index) <= share_in_time
    ]
    best: dict[tuple[object, float], Active] = {}
    for one in in_time:
        share, value = judge.progress(one.trial.number)
        place = (one.trial.group, share)
        if place not in best or value > judge.progress(best[place].trial.number)[1]:
            best[place] = one
    promising = [one for one in best.values() if judge.may_resume(one.trial.number)]
    if not promising and not is_last_resort:
        return None  # else the one that has got furthest, and of these the best
    return max(promising or in_time, key=lambda one: judge.progress(one.trial.number), default=None)
