"""What Hydra sees of the sweep engine: it takes plugins from the namespace hydra_plugins alone.

The folder above is put on the path by the command line. Loads nothing slow: --help comes by here, too.
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
        """Keep what Hydra hands over."""
        self._loader, self._master = hydra_context.config_loader, config

    def sweep(self, arguments: list[str]) -> None:
        """Run the sweep that the overrides describe; raises as `run_sweep`."""
        from rlhf_sweeps.command_line.job_environment import job_environment
        from rlhf_sweeps.sweep.workers import open_executor

        # Before there are workers: a fork server hands on the environment that it was started with.
        with job_environment(self._master, is_sweep=True), open_executor(self._master) as executor:
            from rlhf_sweeps.sweep.sweeper import run_sweep

            run_sweep(self._master, self._loader, arguments, executor)
