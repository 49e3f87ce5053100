"""Trials of one setting, which samplers may suggest twice: it is run once, and the others end as that one does."""

from collections.abc import Sequence

from rlhf_sweeps.sweep.active import Active
from rlhf_sweeps.sweep.study.trials import BAD_SETTING, COMPLETE, PRUNED, Trial


def ended_twin(active: Active, trials: Sequence[Trial]) -> Trial | None:
    """A trial of the same setting whose end says all about a run that has not begun.

    One that has begun goes on: that its twin has ended since does not change what the sweep comes to.
    """
    same = _of_same_setting(active, trials)
    return next((t for t in same if t.state in (COMPLETE, PRUNED) or t.cause in BAD_SETTING), None)


def open_twin(active: Active, trials: Sequence[Trial]) -> Trial | None:
    """The first trial before it that has the setting of a run that has not begun, and is not over."""
    earlier = [t for t in _of_same_setting(active, trials) if t.number < active.trial.number]
    return next((t for t in earlier if not t.has_ended), None)


def _of_same_setting(active: Active, trials: Sequence[Trial]) -> list[Trial]:
    trial = active.trial
    if active.index != 0 or active.has_begun or not trial.is_compared:
        return []
    return [t for t in trials if t is not trial and t.is_compared and t.params == trial.params]
