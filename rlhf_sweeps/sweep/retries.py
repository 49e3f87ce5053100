"""Failed trials that are opened again because the user asks for it: hydra.sweeper.retry_failed."""

import logging
from collections.abc import Collection, Sequence

import optuna
from optuna.trial import FrozenTrial

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.record import Sweep, runs_of
from rlhf_sweeps.sweep.configurations import read_start
from rlhf_sweeps.sweep.settings import SweeperConfig
from rlhf_sweeps.sweep.study.storage import file_url, open_storage
from rlhf_sweeps.sweep.study.study import STATES, Study
from rlhf_sweeps.sweep.study.trials import FAILED

log = logging.getLogger("rlhf_sweeps")
Wanted = bool | Sequence[str | int]


def failed_trials(trials: Sequence[FrozenTrial], wanted: Wanted) -> list[FrozenTrial]:
    """Those that are to be opened again.

    A number whose trial has not failed is none: the same command goes on when it has been opened.

    Raises:
        ConfigError: if a number is no trial's.
    """
    if not isinstance(wanted, bool) and (unknown := [n for n in wanted if isinstance(n, int) and n >= len(trials)]):
        numbers = f"0 to {len(trials) - 1}" if trials else "none yet"
        raise ConfigError(f"hydra.sweeper.retry_failed={wanted}: there is no trial {unknown[0]} (there are: {numbers})")
    failed = [trial for trial in trials if STATES[trial.state] == FAILED]
    if isinstance(wanted, bool):
        return failed if wanted else []
    return [trial for trial in failed if trial.number in wanted or trial.user_attrs.get("cause") in wanted]


def open_again(trials: Collection[FrozenTrial], study: Study, sweep: Sweep) -> None:
    """Open failed trials again; their runs go on from their checkpoints, where they have any."""
    if not trials:
        return
    numbers = {trial.number for trial in trials}
    # The runs first: if this process is killed meanwhile, the study still knows which trials had failed.
    for place in runs_of(sweep):
        if place.trial in numbers and not place.is_test and (place.run.summary() or {}).get("status") != "complete":
            place.run.reopen()
    study.reopen(numbers)
    log.info("opened again: %s", describe(trials))


def announce(sweep: Sweep, settings: SweeperConfig) -> list[str]:
    """The line that says what would be opened again; none where nothing is asked for, or no sweep is there."""
    start = read_start(sweep)
    if start is None or settings.retry_failed is False or (settings.storage is None and not sweep.study.exists()):
        return []
    storage = open_storage(settings.storage or file_url(sweep.study))
    if start["study_name"] not in optuna.get_all_study_names(storage):  # as where a kill came before it was made
        return []
    study = optuna.load_study(study_name=start["study_name"], storage=storage)
    return [f"opened again: {describe(failed_trials(study.get_trials(deepcopy=False), settings.retry_failed))}"]


def describe(trials: Collection[FrozenTrial]) -> str:
    """Trials and why they had failed."""
    return ", ".join(f"trial {trial.number} ({trial.user_attrs.get('cause', 'error')})" for trial in trials) or "none"
