"""Restore ended trials of earlier starts from the study and the record."""

from collections.abc import Iterable, Mapping

from optuna.trial import FrozenTrial

from rlhf_sweeps.record import Run, Sweep
from rlhf_sweeps.record.trials import is_beyond_budget, read_objectives, read_state
from rlhf_sweeps.sweep.study.study import STATES
from rlhf_sweeps.sweep.study.trials import COMPLETE, SweepTrial


def recall(trial: SweepTrial, frozen: FrozenTrial, first_seed: int) -> None:
    """Restore the end of a trial from the study.

    Args:
        first_seed: of its configuration; the study does not record the seed if there was only one.
    """
    notes = frozen.user_attrs
    trial.state, trial.cause, trial.message = STATES[frozen.state], notes.get("cause"), notes.get("message")
    trial.seconds, trial.worker_seconds = notes.get("seconds", 0.0), notes.get("worker_seconds", 0.0)
    trial.has_run = notes.get("has_run", True)
    trial.update, trial.num_updates = max(frozen.intermediate_values, default=0), notes.get("num_updates", 0)
    trial.by_seed = {int(seed): values for seed, values in notes.get("by_seed", {}).items()}
    trial.violations = dict(frozen.constraints)
    if trial.state == COMPLETE:
        trial.objectives = list(frozen.values)
        trial.by_seed = trial.by_seed or {first_seed: trial.objectives}


def find_beyond(runs: Mapping[int, Run]) -> set[int]:
    """The seeds whose runs were stopped by their KL budget, or ended beyond it."""
    return {seed for seed, run in runs.items() if is_beyond_budget(run.summary() or {})}


def recall_tests(trial: SweepTrial, sweep: Sweep, seeds: Iterable[int]) -> None:
    """Restore how a complete trial did on the test seeds, also if it is no longer a finalist."""
    for seed in seeds if trial.state == COMPLETE else ():
        summary = sweep.test_run(trial.number, seed).summary()
        if summary is not None and read_state(summary) == COMPLETE and (values := read_objectives(summary)):
            trial.tested[seed] = values
            if is_beyond_budget(summary):
                trial.beyond.add(seed)
