"""A trial of a sweep in a process of its own: it gets a folder, and knows neither the study nor the sweeper.

The sweeper has written the composed config into the folder, and reads the trial's results from the record there.
"""

import contextlib
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from rlhf_sweeps import preflight
from rlhf_sweeps.config.fields import ConfigError, TooLargeError
from rlhf_sweeps.config.reading import from_hydra
from rlhf_sweeps.config.resolvers import register_resolvers
from rlhf_sweeps.config.schema import Config
from rlhf_sweeps.process.environment import find_fault
from rlhf_sweeps.record import InUseError, Run, Sweep, hide_in_log

DECISION_SECONDS = 0.1  # for the sweeper, which looks more often, to decide about an evaluation; chosen
PATIENCE = 30.0  # seconds that the trial of a killed sweeper may still run in the folder; chosen


def run(folder: Path, after_update: Callable[[], None] = lambda: None) -> None:
    """Train the run in `folder`, and write a summary there in any case, unless the process is killed."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stdout)
    hide_in_log()
    from rlhf_sweeps.training.summary import describe_failure
    from rlhf_sweeps.training.train import train

    # Overrides may hold interpolations, which only the task's config can resolve.
    hydra: Any = OmegaConf.to_container(OmegaConf.load(folder / ".hydra" / "hydra.yaml").hydra, resolve=False)
    record, reader = Run(folder), Run(folder)

    def listen() -> None:
        """After an evaluation, give the sweeper a moment to end the run."""
        after_update()
        if any("eval/score" in row for row in reader.new_metrics()[-1:]):
            time.sleep(DECISION_SECONDS)

    try:
        _wait_for(record)
        config = _read_config(folder)
        preflight.check_trial(config, folder)
        train(config, folder, Sweep(hydra["sweep"]["dir"]), hydra["overrides"]["task"], after_update=listen)
    except (Exception, SystemExit) as error:
        if isinstance(error, InUseError) or isinstance(error.__cause__, InUseError):
            raise  # the record belongs to another process
        # If the disk is full, only the exit status tells the sweeper about the fault.
        with contextlib.suppress(OSError):
            if isinstance(error, ConfigError) and find_fault(error) is None:
                cause = "out_of_memory" if isinstance(error, TooLargeError) else "config"
                record.write_summary({"status": "failed", "cause": cause, "message": str(error), "objective": None})
            elif record.summary() is None:
                record.write_summary(describe_failure(error, update=0))
        raise


def _read_config(folder: Path) -> Config:
    register_resolvers()
    composed = OmegaConf.merge(OmegaConf.structured(Config), OmegaConf.load(folder / ".hydra" / "config.yaml"))
    assert isinstance(composed, DictConfig)
    return from_hydra(composed)


def _wait_for(record: Run) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with record.claim():
                return
        except InUseError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
