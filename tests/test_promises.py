"""What a sweep promises, whatever happens to it: made-up sweeps, drawn at random, against their records.

Trials fail, hang, are lost, are ended by signals, wait, are pruned, have runs of unequal length; the sweeper is killed
and interrupted at any of its steps and started again. None is lost, none runs twice, the budget is kept, the test seeds
are run, and with one worker what was disturbed comes to the same study as what was not.
"""

import json
import math
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState
from simulation import (
    EVALUATED_EVERY,
    START,
    Simulation,
    World,
    defaults,
    num_updates,
    score,
    trials,
)

from rlhf_sweeps.config import Config
from rlhf_sweeps.runs import Run
from rlhf_sweeps.sweep.engine import Engine
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
# How often each promise is tried; many more times among the slow tests.
FEW = 3
MANY = [pytest.param(seed, marks=pytest.mark.slow) for seed in range(100, 160)]
ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


@pytest.fixture(scope="module")
def base() -> Base:
    return defaults()


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody pulls the plug here."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


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


def runs_of(folder: Path) -> Iterator[Path]:
    for history in folder.rglob("history"):
        yield history.parent


def check_history(run: Path) -> None:
    """No update is skipped, none repeated but those after the last checkpoint, and what has ended is let be."""
    last = saved = 0
    ended = False
    for line in (run / "history").read_text().splitlines():
        word, _, number = line.partition(" ")
        assert not ended, f"{run}: {line} after its end"
        if word == "start":
            last = saved
        if word == "update":
            assert int(number) == last + 1, f"{run}: {line} after {last}"
            last = int(number)
        if word == "checkpoint":
            saved = int(number)
        ended = word == "end"


def setting_of(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / ".hydra" / "config.yaml").read_text())
    return found


def best_score(run: Path, direction: str) -> float:
    """Of the made-up run's evaluations, computed from what the run is, not from its record."""
    setting = setting_of(run)
    total = num_updates(setting)
    steps = {*range(EVALUATED_EVERY, total + 1, EVALUATED_EVERY), total}
    pick = max if direction == "maximize" else min
    return pick(score(setting, step / total) for step in steps)


def check_trials(simulation: Simulation, engine: Engine) -> None:
    """Study, schedule and folders tell the same, values are those of the runs, and failures those that were made."""
    folder, limits, world = simulation.world.folder, simulation.config.sweep, simulation.world
    found = trials(folder)
    assert [trial.number for trial in found] == list(range(len(found))) == [t.number for t in engine.schedule.trials]
    for trial in found:
        assert trial.state in ENDED or limits.budget_hours is not None, f"trial {trial.number} was lost"
        own = folder / str(trial.number)
        runs = [own / f"seed_{seed}" for seed in range(limits.seeds)] if limits.seeds > 1 else [own]
        has_run = trial.user_attrs.get("has_run", True)
        assert has_run == any((run / "history").exists() for run in runs) or trial.state not in ENDED
        if trial.state == TrialState.FAIL and has_run:
            made = {fault for run in runs for fault in world.faults.get(str(run.relative_to(folder)), {}).values()}
            assert trial.user_attrs["cause"] in made & set(BAD)
        if trial.state == TrialState.COMPLETE and has_run:
            assert all((Run(run).summary() or {})["status"] == "complete" for run in runs)
            (direction,) = simulation.config.objective.directions
            worth = math.fsum(best_score(run, direction) for run in runs) / limits.seeds
            assert trial.values == [pytest.approx(worth)]


def check_none_twice(folder: Path) -> None:
    """No two trials run the same setting, unless one has failed for reasons that a setting does not tell."""
    ran = [trial for trial in trials(folder) if trial.user_attrs.get("has_run", True)]
    ran = [trial for trial in ran if trial.user_attrs.get("cause") != "error"]
    settings = [json.dumps(trial.params, sort_keys=True) for trial in ran]
    assert len(set(settings)) == len(settings)


def check_tests(folder: Path, engine: Engine, simulation: Simulation) -> None:
    """The best settings have run on every test seed."""
    limits = simulation.config.sweep
    ended = [trial for trial in engine.schedule.trials if trial.state == "complete"]
    ended = [trial for trial in ended if trial.has_run]
    (direction,) = simulation.config.objective.directions
    sign = -1 if direction == "maximize" else 1
    best = sorted(ended, key=lambda trial: (sign * (trial.objectives or [0.0])[0], trial.number))[: limits.num_tested]
    for trial in best:
        for seed in range(1_000_000, 1_000_000 + limits.test_seeds):
            run = folder / "test" / f"{trial.number}_seed_{seed}"
            assert (Run(run).summary() or {}).get("status") == "complete", f"{run} was not run"
            assert trial.tested[seed] == [pytest.approx(best_score(run, direction))]


def check_no_wait_for_nothing(world: World) -> None:
    """No run gives its worker up and is the next to get it; whole disturbed runs apart."""
    for one, next_one in zip(world.starts, world.starts[1:], strict=False):
        faults = world.faults.get(one, {})
        assert one != next_one or any(fault in LOST for fault in faults.values()), f"{one} was started twice in a row"


def contents(folder: Path) -> list[tuple[Any, ...]]:
    """All about the trials but what the clock says."""
    return [
        (t.number, t.state, t.params, t.values, t.intermediate_values, t.user_attrs.get("cause"))
        for t in trials(folder)
    ]


def check_all(simulation: Simulation, engine: Engine) -> None:
    check_trials(simulation, engine)
    check_none_twice(simulation.world.folder)
    for run in runs_of(simulation.world.folder):
        check_history(run)


def check_enough(simulation: Simulation, engine: Engine) -> None:
    """As many settings were tried as were asked for, or there are no more."""
    plan, found = simulation.plan(), [trial for trial in engine.schedule.trials if trial.has_run]
    possible = len(plan.points or plan.choices or []) or math.inf
    assert len(found) == min(plan.num_trials or math.inf, possible)


# In the last one of the few a trial that has waited is interrupted before its next evaluation.
@pytest.mark.parametrize("seed", [*range(FEW), 1048, *MANY])
def test_what_is_killed_and_continued_comes_to_the_same_study(base: Base, tmp_path: Path, seed: int) -> None:
    drawn = scenario(seed, num_workers=1)
    storage = "sqlite" if seed % 3 == 1 else "journal"
    whole = drawn.simulation(base, tmp_path / f"whole_{storage}", is_disturbed=False)
    broken = drawn.simulation(base, tmp_path / f"broken_{storage}", is_disturbed=True)
    for simulation in (whole, broken):
        engine = simulation.finish()
        check_all(simulation, engine)
        check_enough(simulation, engine)
        check_tests(simulation.world.folder, engine, simulation)
    if whole.world.events_per_look == 1:
        check_no_wait_for_nothing(whole.world)
    assert contents(broken.world.folder) == contents(whole.world.folder)


@pytest.mark.parametrize("seed", [*range(FEW), *MANY])
def test_several_workers_lose_nothing_and_run_nothing_twice(base: Base, tmp_path: Path, seed: int) -> None:
    simulation = scenario(seed).simulation(base, tmp_path / "sweep", is_disturbed=True)
    engine = simulation.finish()
    check_all(simulation, engine)
    check_enough(simulation, engine)
    check_tests(tmp_path / "sweep", engine, simulation)


@pytest.mark.parametrize("seed", [*range(FEW), *MANY])
def test_seeds_that_run_beside_each_other_lose_nothing(base: Base, tmp_path: Path, seed: int) -> None:
    drawn = scenario(seed, num_workers=2 + seed % 5, budget=seed % 4 == 3)
    drawn.settings["pruner"], drawn.limits["seeds"] = "none", 3
    simulation = drawn.simulation(base, tmp_path / "sweep", is_disturbed=True)
    engine = simulation.finish()
    check_all(simulation, engine)
    if simulation.config.sweep.budget_hours is None:
        check_enough(simulation, engine)
        check_tests(tmp_path / "sweep", engine, simulation)


@pytest.mark.parametrize("seed", [*range(FEW), *MANY])
def test_the_budget_is_kept_and_the_test_seeds_are_run_within_it(base: Base, tmp_path: Path, seed: int) -> None:
    simulation = scenario(seed, budget=True).simulation(base, tmp_path / "sweep", is_disturbed=seed % 2 == 0)
    begun = simulation.world.now
    engine = simulation.finish()
    check_all(simulation, engine)
    budget = (simulation.config.sweep.budget_hours or 0.0) * 3600
    if not simulation.world.kills:  # what a kill has cost is not reckoned with
        assert simulation.world.now - begun <= budget + SLOWEST + START + 1
        check_tests(tmp_path / "sweep", engine, simulation)


@pytest.mark.parametrize("seed", [*range(FEW), *MANY])
def test_copies_of_settings_do_not_count_and_change_nothing_where_a_sweep_is_continued(
    base: Base, tmp_path: Path, seed: int
) -> None:
    """A space that is taken for one of very many settings, of which samplers suggest some twice."""
    drawn = replace(
        scenario(seed, num_workers=1), arguments=("ppo.lr=1e-4,5e-4,1e-3", "ppo.kl_coef=0.01,0.1"), most_choices=0
    )
    drawn.settings.update(n_trials=5, sampler="random")
    whole = drawn.simulation(base, tmp_path / "whole", is_disturbed=False)
    broken = drawn.simulation(base, tmp_path / "broken", is_disturbed=True)
    for simulation in (whole, broken):
        engine = simulation.finish()
        check_all(simulation, engine)
        check_enough(simulation, engine)
        check_tests(simulation.world.folder, engine, simulation)
    assert contents(tmp_path / "broken") == contents(tmp_path / "whole")


def limited(base: Base, folder: Path, hours: float, faults: dict[str, dict[int, str]], **more: Any) -> Simulation:
    """A sweep by asha of runs of 32 s, a budget, and two test seeds."""
    config, settings = base
    limits = {"budget_hours": hours, "test_seeds": 2, "num_tested": 1, "update_timeout": 3600.0, **more}
    config = replace(config, sweep=replace(config.sweep, **limits))
    return Simulation(World(folder, 2, faults), config, replace(settings, n_trials=None), (LR, KL))


@pytest.mark.parametrize("fault", ["hang", "signal_once"])
def test_a_run_that_does_not_stop_for_the_test_seeds_is_ended(base: Base, tmp_path: Path, fault: str) -> None:
    """All trials from the sixth on hang in their second update, or are ended there by a signal."""
    faults = {str(number): {2: fault} for number in range(6, 60)}
    simulation = limited(base, tmp_path / "sweep", 2000 / 3600, faults, retries=100)
    simulation.world.usual = 5.0
    engine = simulation.finish()
    assert engine.stopping == "budget"
    check_tests(tmp_path / "sweep", engine, simulation)
    assert all(t.state in ("complete", "pruned", "running", "waiting") for t in engine.schedule.trials)


def test_a_trial_that_waits_before_its_first_report_goes_on_with_a_larger_budget(base: Base, tmp_path: Path) -> None:
    """Those that were asked to wait for the test seeds had recorded no evaluation yet."""
    simulation = limited(base, tmp_path / "sweep", 500 / 3600, {})
    simulation.world.usual = 5.0
    simulation.world.slowness = {str(number): 60.0 for number in range(4, 60)}
    engine = simulation.finish()
    found = trials(tmp_path / "sweep")
    waiting = [t.number for t in engine.schedule.trials if t.state == "waiting"]
    waiting = [number for number in waiting if not found[number].intermediate_values]
    assert waiting
    simulation.config = replace(simulation.config, sweep=replace(simulation.config.sweep, budget_hours=1.0))
    simulation.settings = replace(simulation.settings, n_trials=len(found))
    simulation.world.slowness = {}
    engine = simulation.finish()
    assert all(engine.schedule.trials[number].state in ("complete", "pruned") for number in waiting)
    check_history(tmp_path / "sweep" / str(waiting[0]))
