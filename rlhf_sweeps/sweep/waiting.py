"""Choose the waiting run that continues next."""

from collections.abc import Sequence

from rlhf_sweeps.sweep.active import Active
from rlhf_sweeps.sweep.pruning.pruning_state import PruningState


def choose_next_waiting(
    waiting: Sequence[Active], pruning: PruningState, share_in_time: float, is_last_resort: bool
) -> Active | None:
    """The waiting run that continues next: one that is among the best by now, or any if no other run is left.

    Args:
        share_in_time: the largest share of a run for which there is time.
        is_last_resort: whether no other run is left.
    """
    # Of runs at the same share, only the best one can be among the best.
    in_time = [
        active
        for active in waiting
        if active.index is not None and pruning.remaining(active.trial.number, active.index) <= share_in_time
    ]
    best: dict[tuple[object, float], Active] = {}
    for active in in_time:
        share, value = pruning.progress(active.trial.number)
        place = (active.trial.group, share)
        if place not in best or value > pruning.progress(best[place].trial.number)[1]:
            best[place] = active
    promising = [active for active in best.values() if pruning.may_resume(active.trial.number)]
    if not promising and not is_last_resort:
        return None
    # The run with the largest share, and of equal ones the best.
    return max(promising or in_time, key=lambda active: pruning.progress(active.trial.number), default=None)
