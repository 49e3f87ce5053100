"""Sweeps in a made-up time: the real engine, schedule, study and records, with the runs of simulated_runs.py.

The sweeper is killed at any of its steps, as by SIGKILL: nothing of it runs after that.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import open_dict

from helpers.simulated_runs import Killed, SimulatedExecutor, World
from rlhf_sweeps.cli import conf_dir, register
from rlhf_sweeps.config.differences import flatten
from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.reading import from_hydra
from rlhf_sweeps.config.schema import Config, as_dict
from rlhf_sweeps.record import Run, Sweep
from rlhf_sweeps.sweep import clock, engine, follower, outcomes
from rlhf_sweeps.sweep.configurations import Configurations
from rlhf_sweeps.sweep.engine import Engine
from rlhf_sweeps.sweep.patience import Patience
from rlhf_sweeps.sweep.plan import MOST_CHOICES, Plan
from rlhf_sweeps.sweep.pruning.pruners import make_pruner
from rlhf_sweeps.sweep.pruning.pruning_state import PruningState
from rlhf_sweeps.sweep.search.samplers import make_sampler
from rlhf_sweeps.sweep.search.search_space import SearchSpace
from rlhf_sweeps.sweep.settings import SweeperConfig, read_settings
from rlhf_sweeps.sweep.study.storage import open_storage
from rlhf_sweeps.sweep.study.study import Study

NUM_EPISODES = 480


def defaults() -> tuple[Config, SweeperConfig]:
    """The default config and sweeper settings."""
    register()
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        settings = read_settings(loader.load_configuration("config", [], RunMode.MULTIRUN))
        composed = compose("config")
    with open_dict(composed):
        composed.pop("hydra", None)
    return from_hydra(composed), settings


class SimulatedComposer:
    """Settings as JSON, which YAML is."""

    def __init__(self, world: World, config: Config) -> None:
        self._world, self._config = world, config

    def write(self, overrides: Sequence[str], number: int, folder: Path) -> Config:
        setting: dict[str, Any] = {"ppo.lr": 5e-4, "ppo.kl_coef": 0.02, "ppo.batch_size": 16}
        setting |= {"ppo.total_episodes": NUM_EPISODES, "seed": self._config.seed}
        for override in overrides:
            key, _, text = override.partition("=")
            setting[key] = json.loads(text)
        if setting.get("ppo.num_minibatches") and setting["ppo.batch_size"] % setting["ppo.num_minibatches"]:
            raise ConfigError("ppo.num_minibatches: must divide ppo.batch_size")
        (folder / ".hydra").mkdir(parents=True, exist_ok=True)
        (folder / ".hydra" / "config.yaml").write_text(json.dumps(setting))
        episodes, batch = int(setting["ppo.total_episodes"]), int(setting["ppo.batch_size"])
        return replace(self._config, ppo=replace(self._config.ppo, total_episodes=episodes, batch_size=batch))


@dataclass
class Simulation:
    """A sweep that can be begun, killed and continued.

    Args:
        config: of every run, but for what is swept.
        settings: of hydra.sweeper.
        arguments: what is swept.
        most_choices: settings of a search up to which each is tried once.
    """

    world: World
    config: Config
    settings: SweeperConfig
    arguments: Sequence[str]
    most_choices: int = MOST_CHOICES

    def plan(self) -> Plan:
        space = SearchSpace.parse(self.arguments, {}, {}, [], None)
        points = space.grid() if space.is_grid else None
        if points is not None and self.settings.n_trials is not None and self.settings.n_trials < len(points):
            points = None
        choices = space.choices(self.most_choices) if points is None else None
        return Plan(space, self.settings, self.config, self.config.objective.directions, points, choices)

    def start(self) -> Engine:
        """Run until the sweep's end.

        Raises:
            Killed: where the world wants it.
        """
        world, plan, settings = self.world, self.plan(), self.settings
        world.is_dead = False
        sweep = Sweep(world.folder)
        new = {**plan.recorded([]).as_data(), "config": flatten(as_dict(plan.config)), "fixed": list(plan.fixed)}
        sweep.folder.mkdir(parents=True, exist_ok=True)
        start = sweep.start() or {"id": "0", "seconds": 0.0}
        configurations = Configurations(start.get("configurations", []), new)
        study = Study(
            url(world.folder),
            "simulated",
            plan.config.objective.metrics,
            plan.directions,
            lambda number: make_sampler(settings.sampler, {}, settings.seed, number, len(plan.directions)),
            is_compared=lambda notes: configurations[notes.get("configuration", 0)].is_compared,
            num_updates=plan.config.ppo.num_updates,
        )
        sweep.write_start({**start, **new, "configurations": configurations.records})
        executor, nothing = SimulatedExecutor(world), lambda *arguments, **named: None
        display = SimpleNamespace(event=nothing, show=nothing)
        tracker = SimpleNamespace(log=nothing)
        judge, composer = PruningState(make_pruner(plan.pruner, {}), plan.sign), SimulatedComposer(world, plan.config)
        world.engine = Engine(
            sweep, plan, study, judge, configurations, composer, executor, display, tracker, Patience(),  # type: ignore[arg-type]
        )  # fmt: skip
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(engine, "wait", lambda futures, seconds, how: executor.advance())
            for module in (engine, clock, follower, outcomes):
                patch.setattr(module, "time", SimpleNamespace(monotonic=lambda: world.now, sleep=world.sleep))
            for owner, name in STEPS:
                patch.setattr(owner, name, stepping(world, getattr(owner, name)))
            # A new clock begins where the world is.
            world.engine.clock._begun = world.now
            world.engine.run()
            world.engine.save()
        return world.engine

    def finish(self) -> Engine:
        """Start again after every kill and interruption, until the sweep has come to its end."""
        while True:
            try:
                ended = self.start()
            except Killed:
                continue
            if ended.stopping != "interrupted":
                return ended


# What a killed sweeper may have done last.
STEPS: Sequence[tuple[Any, str]] = (
    *((Study, name) for name in ("ask", "report", "note", "tell", "take_up")),
    (Run, "ask_to_stop"),
    (Run, "reopen"),
    (Sweep, "write_start"),
    (SimulatedComposer, "write"),
    (SimulatedExecutor, "submit"),
    (SimulatedExecutor, "advance"),
)


def stepping(world: World, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with a step of the sweeper before and after it."""

    def stepped(*arguments: Any, **named: Any) -> Any:
        world.step()
        result = function(*arguments, **named)
        world.step()
        return result

    return stepped


def url(folder: Path) -> str:
    """Of the study: a journal file, or where the folder's name says so a database."""
    return f"sqlite:///{folder / 'study.db'}" if "sqlite" in folder.name else f"journal:{folder / 'study.journal'}"


def trials(folder: Path) -> list[optuna.trial.FrozenTrial]:
    """What Optuna finds."""
    return optuna.load_study(study_name="simulated", storage=open_storage(url(folder))).get_trials()
