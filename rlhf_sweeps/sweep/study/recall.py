"""A trial that has ended, as an earlier start of the sweep has left it in the study."""

from collections.abc import Iterable

from optuna.trial import FrozenTrial

from rlhf_sweeps.record import Sweep
from rlhf_sweeps.record.trials import objectives_in, state_of
from rlhf_sweeps.sweep.study.study import STATES
from rlhf_sweeps.sweep.study.trials import COMPLETE, Trial


def recall(trial: Trial, frozen: FrozenTrial, first_seed: int) -> None:
    """Let a trial be what the study says of its end.

    Args:
        first_seed: of its configuration; where it had one seed only, the study does not name it.
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


def recall_tests(trial: Trial, sweep: Sweep, seeds: Iterable[int]) -> None:
    """Let a complete trial know what it is worth on the test seeds that it has had; it may not be tested again."""
    for seed in seeds if trial.state == COMPLETE else ():
        summary = sweep.test_run(trial.number, seed).summary()
        if summary is not None and state_of(summary) == COMPLETE and (values := objectives_in(summary)):
            trial.tested[seed] = values
