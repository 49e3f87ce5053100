"""What a sweep promises, whatever happens to it: made-up sweeps, drawn at random, against their records.

Trials fail, hang, are lost, are ended by signals, wait, are pruned, have runs of unequal length; the sweeper is killed
and interrupted at any of its steps and started again. None is lost, none runs twice, the budget is kept, the test seeds
are run, and with one worker what was disturbed comes to the same study as what was not.
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.promise_checks import (
    check_all,
    check_enough,
    check_history,
    check_no_wait_for_nothing,
    check_tests,
    contents,
)
from helpers.scenarios import KL, LR, SLOWEST, Base, scenario
from helpers.simulated_runs import START, World
from helpers.simulation import Simulation, defaults, trials

# How often each promise is tried; many more times among the slow tests.
FEW = 3
MANY = [pytest.param(seed, marks=pytest.mark.slow) for seed in range(100, 160)]


@pytest.fixture(scope="module")
def base() -> Base:
    return defaults()


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody pulls the plug here."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


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
