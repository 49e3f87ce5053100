"""Made-up sweeps drawn at random, and what is done to each."""

import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from helpers.simulated_runs import World
from helpers.simulation import Simulation
from rlhf_sweeps.config.schema import Config
from rlhf_sweeps.sweep.plan import MOST_CHOICES
from rlhf_sweeps.sweep.settings import SweeperConfig

Base = tuple[Config, SweeperConfig]
LR, KL = "ppo.lr=tag(log,interval(1e-5,1e-2))", "ppo.kl_coef=tag(log,interval(0.001,1))"
# Searches and grids; some with runs of unequal length, some with settings that cannot be.
SPACES = (
    (LR, KL),
    (LR, KL, "ppo.batch_size=16,32,48"),
    (LR, KL, "ppo.total_episodes=320,480,960"),
    (LR, "ppo.batch_size=tag(int,interval(16,40))", "ppo.num_minibatches=4"),
    ("ppo.lr=1e-5,1e-4,5e-4,1e-3", "ppo.kl_coef=0.001,0.01,0.1,1.0"),
    ("ppo.lr=1e-4,5e-4,2e-3", "ppo.kl_coef=0.01,0.1", "ppo.batch_size=16,48"),
)
LOST = ("lost_once", "exit_once", "hang_once", "signal_once", "environment_once", "full_disk_once")
BAD = ("diverged", "out_of_memory", "error")
SLOWEST = 6.0  # seconds of an update


@dataclass(frozen=True)
class Scenario:
    """One sweep and what is done to it."""

    arguments: tuple[str, ...]
    settings: dict[str, Any]
    limits: dict[str, Any]
    world: dict[str, Any]
    disturbances: dict[str, set[int]]
    most_choices: int = MOST_CHOICES
    direction: str = "maximize"

    def simulation(self, base: Base, folder: Path, is_disturbed: bool) -> Simulation:
        config, settings = base
        world = World(folder, **self.world, **(self.disturbances if is_disturbed else {}))
        objective = replace(config.objective, directions=[self.direction])
        config = replace(config, sweep=replace(config.sweep, **self.limits), objective=objective)
        return Simulation(world, config, replace(settings, **self.settings), self.arguments, self.most_choices)


def scenario(seed: int, num_workers: int | None = None, budget: bool = False) -> Scenario:
    """One drawn at random."""
    draw = random.Random(seed)
    settings = {
        "n_trials": draw.choice([6, 10, 14]),
        "seed": seed,
        "sampler": draw.choice(["tpe", "tpe", "random", "qmc"]),
        "pruner": draw.choice(["auto", "asha", "asha", "hyperband", "median", "percentile", "none"]),
        "max_failure_rate": 1.0,
    }
    limits: dict[str, Any] = {
        "seeds": draw.choice([1, 1, 2, 3]),
        "test_seeds": draw.choice([0, 2]),
        "num_tested": draw.choice([1, 2]),
        "update_timeout": 60.0,
        "retries": 3,
    }
    runs = [f"{trial}/seed_{seed}" for trial in range(30) for seed in range(3)] if limits["seeds"] > 1 else []
    runs = runs or [str(trial) for trial in range(30)]
    faults = {
        run: {draw.randint(1, 30): draw.choice(LOST if draw.random() < 0.6 else BAD)}
        for run in draw.sample(runs, len(runs) // 3)
    }
    if draw.random() < 0.5:
        faults[runs[0]] = {draw.randint(1, 4): draw.choice(BAD)}  # before anything is reported
    slowness = {run: draw.uniform(0.5, SLOWEST) for run in draw.sample(runs, len(runs) // 4)}
    if budget:
        limits |= {"budget_hours": draw.uniform(500, 2000) / 3600, "test_seeds": 2, "seeds": 1}
        settings["n_trials"] = draw.choice([None, 20])
    kills = {step + draw.randint(1, 60) for step in range(0, 6000, draw.choice([60, 200, 500]))}
    space = draw.choice(SPACES)
    world = {"num_workers": num_workers or draw.choice([1, 2, 3]), "faults": faults, "slowness": slowness}
    if not budget:
        world["events_per_look"] = draw.choice([1, 1, 2, 5])
    return Scenario(
        space,
        settings,
        limits,
        world,
        {"kills": kills, "interruptions": {step + 31 for step in list(kills)[::3]}},
        direction=draw.choice(["maximize", "maximize", "minimize"]),
    )
