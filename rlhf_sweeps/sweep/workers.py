"""The executor that the settings ask for. Loads nothing slow, so that a fork server imports while the sweep is read."""

import logging
from pathlib import Path
from typing import Literal, cast

from omegaconf import DictConfig

from rlhf_sweeps.command_line.hydra_part import answering, as_job
from rlhf_sweeps.sweep.execution.devices import detect_devices, divide_memory, divide_workers
from rlhf_sweeps.sweep.execution.executors import Executor, InProcess, LocalProcesses
from rlhf_sweeps.sweep.settings import read_settings

# What the fork server imports once, so that a trial starts with it.
PRELOAD = ("torch", "transformers", "transformers.models.auto.modeling_auto", "rlhf_sweeps.training.train")

log = logging.getLogger("rlhf_sweeps")


def open_executor(master: DictConfig) -> Executor:
    """Workers as hydra.sweeper and the machine have it.

    Raises:
        ConfigError: if the settings are wrong.
    """
    with answering(as_job(master, Path(), number=0)):
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
