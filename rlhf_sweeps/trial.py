"""One trial of a sweep in a process of its own: it knows a folder, and neither study nor sweeper.

The sweeper has composed the config into the folder; what becomes of it is read from the record there.
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
from rlhf_sweeps.process.environment import fault
from rlhf_sweeps.record import InUseError, Run, Sweep, hide_in_log

DECISION_SECONDS = 0.1  # in which the sweeper, which looks more often, decides about an evaluation
PATIENCE = 30.0  # seconds for which the process of a sweeper that was killed may still be there


def run(folder: Path, after_update: Callable[[], None] = lambda: None) -> None:
    """Train the run in `folder`, and leave a summary there whatever happens, short of the process being lost."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stdout)
    hide_in_log()
    from rlhf_sweeps.training.train import failure, train

    # Overrides may hold interpolations, which are none of Hydra's own part.
    hydra: Any = OmegaConf.to_container(OmegaConf.load(folder / ".hydra" / "hydra.yaml").hydra, resolve=False)
    record, reader = Run(folder), Run(folder)

    def listen() -> None:
        """After an evaluation, give the sweeper a moment to say that the run ends here."""
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
            raise  # what lies there is another process's
        # Where the disk is full, the exit status says that it is no fault of ours.
        with contextlib.suppress(OSError):
            if isinstance(error, ConfigError) and fault(error) is None:
                cause = "out_of_memory" if isinstance(error, TooLargeError) else "config"
                record.write_summary({"status": "failed", "cause": cause, "message": str(error), "objective": None})
            elif record.summary() is None:
                record.write_summary(failure(error, update=0))
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
