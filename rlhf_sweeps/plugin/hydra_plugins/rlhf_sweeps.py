"""The sweep engine as a Hydra plugin, in hydra_plugins since Hydra takes plugins only from this namespace.

The command line puts the folder above on the path. Nothing slow is imported here, since --help loads this file, too.
"""

from typing import Any

from hydra.plugins.sweeper import Sweeper as HydraSweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class Sweeper(HydraSweeper):
    """hydra/sweeper=rlhf_sweeps; the engine reads its settings from the config."""

    def __init__(self, **settings: Any) -> None:
        pass

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Store Hydra's config loader and config."""
        self._loader, self._master = hydra_context.config_loader, config

    def sweep(self, arguments: list[str]) -> None:
        """Run the sweep that the overrides describe; raises what `run_sweep` raises."""
        from rlhf_sweeps.command_line.job_environment import set_job_environment
        from rlhf_sweeps.sweep.workers import open_executor

        # Set before workers start: a fork server passes on the environment that it was started with.
        with set_job_environment(self._master, is_sweep=True), open_executor(self._master) as executor:
            from rlhf_sweeps.sweep.sweeper import run_sweep

            run_sweep(self._master, self._loader, arguments, executor)
