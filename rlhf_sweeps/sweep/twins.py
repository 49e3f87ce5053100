"""Trials with the same setting, which samplers may suggest twice: one is run, and the others end like it."""

from collections.abc import Sequence

from rlhf_sweeps.sweep.active import Active
from rlhf_sweeps.sweep.study.trials import BAD_SETTING, COMPLETE, PRUNED, SweepTrial


def find_ended_twin(active: Active, trials: Sequence[SweepTrial]) -> SweepTrial | None:
    """An ended trial with the same setting, for a run that has not begun.

    A run that has begun continues, so that the result of the sweep does not depend on which of the two ends first.
    """
    same = _find_same_setting(active, trials)
    return next((t for t in same if t.state in (COMPLETE, PRUNED) or t.cause in BAD_SETTING), None)


def find_open_twin(active: Active, trials: Sequence[SweepTrial]) -> SweepTrial | None:
    """The first earlier trial with the same setting that has not ended, for a run that has not begun."""
    earlier = [t for t in _find_same_setting(active, trials) if t.number < active.trial.number]
    return next((t for t in earlier if not t.has_ended), None)


def _find_same_setting(active: Active, trials: Sequence[SweepTrial]) -> list[SweepTrial]:
    trial = active.trial
    if active.index != 0 or active.has_begun or not trial.is_compared:
        return []
    return [t for t in trials if t is not trial and t.is_compared and t.params == trial.params]
