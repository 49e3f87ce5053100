"""Open failed trials again if the user asks for it: hydra.sweeper.retry_failed."""

import logging
from collections.abc import Collection, Sequence

import optuna
from optuna.trial import FrozenTrial

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.record import Sweep, list_runs
from rlhf_sweeps.sweep.configurations import read_start
from rlhf_sweeps.sweep.settings import SweeperConfig
from rlhf_sweeps.sweep.study.storage import make_file_url, open_storage
from rlhf_sweeps.sweep.study.study import STATES, Study
from rlhf_sweeps.sweep.study.trials import FAILED

log = logging.getLogger("rlhf_sweeps")
Wanted = bool | Sequence[str | int]


def choose_failed_trials(trials: Sequence[FrozenTrial], wanted: Wanted) -> list[FrozenTrial]:
    """The failed trials that the user wants to open again.

    A number of a trial that has not failed is ignored, so that the same command works after the trial was opened again.

    Raises:
        ConfigError: if there is no trial with a given number.
    """
    if not isinstance(wanted, bool) and (unknown := [n for n in wanted if isinstance(n, int) and n >= len(trials)]):
        numbers = f"0 to {len(trials) - 1}" if trials else "none yet"
        raise ConfigError(f"hydra.sweeper.retry_failed={wanted}: there is no trial {unknown[0]} (there are: {numbers})")
    failed = [trial for trial in trials if STATES[trial.state] == FAILED]
    if isinstance(wanted, bool):
        return failed if wanted else []
    return [trial for trial in failed if trial.number in wanted or trial.user_attrs.get("cause") in wanted]


def open_again(trials: Collection[FrozenTrial], study: Study, sweep: Sweep) -> None:
    """Open failed trials again; their runs continue from their checkpoints, if they have any."""
    if not trials:
        return
    numbers = {trial.number for trial in trials}
    # The runs are first: if this process is killed meanwhile, the study still knows the failed trials.
    for place in list_runs(sweep):
        if place.trial in numbers and not place.is_test and (place.run.summary() or {}).get("status") != "complete":
            place.run.reopen()
    study.reopen(numbers)
    log.info("opened again: %s", describe(trials))


def announce(sweep: Sweep, settings: SweeperConfig) -> list[str]:
    """A line about the trials that would be opened again; empty if none is asked for, or there is no sweep."""
    start = read_start(sweep)
    if start is None or settings.retry_failed is False or (settings.storage is None and not sweep.study.exists()):
        return []
    storage = open_storage(settings.storage or make_file_url(sweep.study))
    if start["study_name"] not in optuna.get_all_study_names(storage):  # a kill came before the study was made
        return []
    study = optuna.load_study(study_name=start["study_name"], storage=storage)
    return [f"opened again: {describe(choose_failed_trials(study.get_trials(deepcopy=False), settings.retry_failed))}"]


def describe(trials: Collection[FrozenTrial]) -> str:
    """Describe trials and the causes of their failures."""
    return ", ".join(f"trial {trial.number} ({trial.user_attrs.get('cause', 'error')})" for trial in trials) or "none"
