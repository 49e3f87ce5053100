"""Open the executor of the settings. Loads nothing slow, so that wrong settings are refused at once."""

import logging
from pathlib import Path
from typing import Literal, cast

from omegaconf import DictConfig

from rlhf_sweeps.command_line.hydra_answers import answer_from, as_job
from rlhf_sweeps.sweep.execution.devices import detect_devices, divide_memory, divide_workers
from rlhf_sweeps.sweep.execution.executors import Executor, InProcess, LocalProcesses
from rlhf_sweeps.sweep.settings import read_settings

# The fork server imports these once, so that trials start with them.
PRELOAD = ("torch", "transformers", "transformers.models.auto.modeling_auto", "rlhf_sweeps.training.train")

log = logging.getLogger("rlhf_sweeps")


def open_executor(master: DictConfig) -> Executor:
    """Open the executor that hydra.sweeper and the machine give.

    Raises:
        ConfigError: if the settings are wrong.
    """
    with answer_from(as_job(master, Path(), number=0)):
        settings, device = read_settings(master), str(master.device)
    if settings.wanted_workers == 0:
        return InProcess(settings.trial)
    devices = detect_devices(device)
    workers, threads = divide_workers(settings.wanted_workers, len(devices), settings.workers_per_device)
    where = f", devices {', '.join(devices)}" if devices else ""
    log.info("%d trial(s) at a time, %d thread(s) each%s", workers, threads, where)
    start_method = cast(Literal["forkserver", "spawn"], settings.start_method)
    memory = divide_memory(workers)
    return LocalProcesses(settings.trial, workers, start_method, devices, threads, PRELOAD, memory)
