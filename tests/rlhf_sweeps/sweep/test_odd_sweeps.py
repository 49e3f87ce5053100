"""Sweeps in which what can differ differs: seed 7, a second objective that prunes, minimizing, several starts."""

import json
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from helpers.simulated_runs import DECISION, START, Killed, World, num_updates, score
from helpers.simulation import Simulation, defaults, trials

from rlhf_sweeps.config.schema import Config
from rlhf_sweeps.record import Run, Sweep
from rlhf_sweeps.sweep import sweeper
from rlhf_sweeps.sweep.active import Active
from rlhf_sweeps.sweep.engine import SECONDS_BETWEEN_SAVES
from rlhf_sweeps.sweep.follower import Follower
from rlhf_sweeps.sweep.settings import SweeperConfig
from rlhf_sweeps.sweep.study.trials import SweepTrial
from rlhf_sweeps.sweep.twins import find_ended_twin, find_open_twin
from rlhf_sweeps.sweep.waiting import choose_next_waiting

LR, KL = "ppo.lr=tag(log,interval(1e-5,1e-2))", "ppo.kl_coef=tag(log,interval(0.001,1))"
LENGTHS = ("ppo.lr=1e-4,5e-4", "ppo.batch_size=16,48")


@pytest.fixture(scope="module")
def base() -> tuple[Config, SweeperConfig]:
    config, settings = defaults()
    return replace(config, seed=7), replace(settings, seed=7)


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody pulls the plug here."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


def simulated(
    base: tuple[Config, SweeperConfig],
    folder: Path,
    arguments: tuple[str, ...],
    limits: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
    objective: dict[str, Any] | None = None,
) -> Simulation:
    config = replace(base[0], sweep=replace(base[0].sweep, **(limits or {})))
    config = replace(config, objective=replace(config.objective, **(objective or {})))
    return Simulation(World(folder), config, replace(base[1], **(settings or {})), arguments)


def setting_of(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / ".hydra" / "config.yaml").read_text())
    return found


def test_earlier_starts_are_taken_off_the_budget(base: Any, tmp_path: Path) -> None:
    simulation = simulated(base, tmp_path, (LR, KL), {"budget_hours": 1.0}, {"n_trials": None})
    Sweep(tmp_path).write_start({"id": "0", "seconds": 3500.0})
    begun = simulation.world.now
    engine = simulation.start()
    assert engine.stopping == "budget"
    assert 90 < simulation.world.now - begun < 110
    assert 3590 < (Sweep(tmp_path).start() or {})["seconds"] < 3610


def test_a_killed_sweeper_has_noted_for_how_long_it_ran(base: Any, tmp_path: Path) -> None:
    simulation = simulated(base, tmp_path, (LR, KL), settings={"n_trials": 4, "pruner": "none"})
    simulation.world.kills = {300}
    with pytest.raises(Killed):
        simulation.start()
    ran = simulation.world.now - 1000
    assert ran > 3 * SECONDS_BETWEEN_SAVES
    assert ran - SECONDS_BETWEEN_SAVES - 5 <= (Sweep(tmp_path).start() or {})["seconds"] <= ran


def test_what_was_begun_ends_before_anything_else_begins(base: Any, tmp_path: Path) -> None:
    """Three workers are killed, one goes on: with the second seed of a trial before the first one of the next."""
    simulation = simulated(base, tmp_path, LENGTHS, {"seeds": 2})
    simulation.world.num_workers, simulation.world.kills = 3, {120}
    with pytest.raises(Killed):
        simulation.start()
    running = [trial for trial in trials(tmp_path) if not trial.state.is_finished()]
    assert len(running) > 1
    lengths = {trial.number: 30 if trial.params["ppo.batch_size"] == 16 else 10 for trial in running}
    assert {trial.number: trial.user_attrs["num_updates"] for trial in running} == lengths
    simulation.world.num_workers, simulation.world.starts = 1, []
    engine = simulation.start()
    order = [start.split("/")[0] for start in simulation.world.starts]
    assert order == sorted(order)
    # Before a second seed there is a whole run, before a third of the first one two thirds.
    engine._pruning.add_trial(0, {30: 0.5}, 30)
    assert engine._pruning.remaining(0, index=1) == 1.0
    engine._pruning.add_trial(0, {10: 0.5}, 30)
    assert engine._pruning.remaining(0, index=0) == pytest.approx(2 / 3)


@pytest.mark.parametrize("seeds", [1, 2])
def test_each_run_has_its_seed(base: Any, tmp_path: Path, seeds: int) -> None:
    simulated(base, tmp_path, LENGTHS, {"seeds": seeds, "test_seeds": 2, "num_tested": 1}).finish()
    runs = {str(path.parents[1].relative_to(tmp_path)): path for path in tmp_path.glob("**/.hydra/config.yaml")}
    found = {name: setting_of(path.parents[1])["seed"] for name, path in runs.items()}
    tuning = {str(n): 7 for n in range(4)} if seeds == 1 else {f"{n}/seed_{s}": s for n in range(4) for s in (7, 8)}
    tests = {name: seed for name, seed in found.items() if name.startswith("test/")}
    assert {name: seed for name, seed in found.items() if name not in tests} == tuning
    assert sorted(tests.values()) == [1_000_007, 1_000_008]
    assert all(name.endswith(f"_seed_{seed}") for name, seed in tests.items())


@pytest.mark.parametrize("seeds", [1, 2])
def test_the_time_of_a_trial_is_that_of_all_its_runs(base: Any, tmp_path: Path, seeds: int) -> None:
    """An update takes a second, three where the batch is three times as large; there are as many fewer."""
    simulated(base, tmp_path, LENGTHS, {"seeds": seeds}).finish()
    assert len(trials(tmp_path)) == 4
    for trial in trials(tmp_path):
        updates, each = (30, 1.0) if trial.params["ppo.batch_size"] == 16 else (10, 3.0)
        assert trial.user_attrs["num_updates"] == updates
        assert trial.user_attrs["seconds"] == pytest.approx(seeds * updates * each)
        whole = seeds * (START + updates * (each + DECISION))
        assert trial.user_attrs["worker_seconds"] == pytest.approx(whole)
        assert max(trial.intermediate_values) == seeds * updates


def test_an_update_that_a_lost_run_does_again_takes_its_time_once(base: Any, tmp_path: Path) -> None:
    """It is lost in its twelfth update, and goes on from the tenth: the eleventh comes twice."""
    simulation = simulated(base, tmp_path, ("ppo.lr=1e-4,5e-4",), {"retries": 1})
    simulation.world.faults = {"0": {12: "lost_once"}}
    simulation.finish()
    assert [trial.user_attrs["seconds"] for trial in trials(tmp_path)] == pytest.approx([30.0, 30.0])
    assert simulation.world.starts == ["0", "0", "1"]


def test_nothing_is_pruned_after_its_last_seed(base: Any, tmp_path: Path) -> None:
    """Worse in four seeds of four, p is 1/16: known at the end of the last one, which is the trial's."""
    arguments, settings = ("ppo.lr=5e-4,1e-5",), {"pruner": "wilcoxon"}
    simulated(base, tmp_path / "four", arguments, {"seeds": 4}, settings).finish()
    assert [trial.state.name for trial in trials(tmp_path / "four")] == ["COMPLETE", "COMPLETE"]
    simulated(base, tmp_path / "five", arguments, {"seeds": 5}, settings).finish()
    assert [trial.state.name for trial in trials(tmp_path / "five")] == ["COMPLETE", "PRUNED"]


def test_what_a_run_does_after_it_was_told_to_wait_decides_nothing(base: Any, tmp_path: Path) -> None:
    """Two evaluations are seen at one look; the first one has it wait."""
    reports: dict[int, float] = {}
    pruning: Any = SimpleNamespace(
        report=lambda number, step, value: reports.setdefault(step, value) is value,
        reports=lambda number: reports,
        should_prune=lambda number: False,
        should_wait=lambda number: True,
    )
    plan = simulated(base, tmp_path, LENGTHS).plan()
    configurations: Any = [SimpleNamespace(objective=plan.config.objective)]
    follower = Follower(plan, SimpleNamespace(report=lambda *a: None), pruning, configurations, lambda active: True)  # type: ignore[arg-type]
    run = Run(tmp_path / "0")
    run.begin({})
    for update in range(1, 11):
        row = {"update": update, "objective/kl": 1.0, "perf/update_seconds": 2.0}
        run.append_metrics(row | ({} if update % 5 else {"eval/score": 1.0, "eval/kl": 1.0, "eval/base_score": 0.0}))
    active = Active(SweepTrial(0, {}, {}, run.folder, num_updates=30), run, 7, 0)
    follower.follow(active)
    assert (active.verdict, run.stop_reason()) == ("waiting", "waiting")
    assert list(reports) == [5]
    assert (active.trial.update, active.trial.seconds, len(active.rows)) == (5, 10.0, 5)


def test_the_objective_that_prunes_may_be_the_second(base: Any, tmp_path: Path) -> None:
    objective = {"metrics": ["eval/kl", "eval/score"], "directions": ["minimize", "maximize"], "reduction": "last"}
    simulation = simulated(
        base, tmp_path, LENGTHS, {"seeds": 2}, {"prune_on": "eval/score", "pruner": "wilcoxon"}, objective
    )
    pruning = simulation.finish()._pruning
    assert pruning._sign == 1
    for trial in trials(tmp_path):
        setting = setting_of(tmp_path / str(trial.number) / "seed_7")
        total = num_updates(setting)
        steps = {step: score(setting, step / total) for step in (5, total)}
        assert {step: trial.intermediate_values[step] for step in steps} == pytest.approx(steps)
        ends = {seed: score({**setting, "seed": seed}, 1.0) for seed in (7, 8)}
        assert pruning._trials[trial.number].by_seed == pytest.approx(ends)
        assert trial.values == pytest.approx([1.0, sum(ends.values()) / 2])


def test_a_copy_breaks_the_constraints_that_its_trial_breaks(base: Any, tmp_path: Path) -> None:
    """The made-up KL is 1."""
    simulation = simulated(
        base, tmp_path, ("ppo.lr=1e-4,5e-4", "ppo.kl_coef=0.01,0.1"), {},
        {"n_trials": 4, "sampler": "random", "max_failure_rate": 1.0}, {"constraints": ["eval/kl<=0.25"]},
    )  # fmt: skip
    simulation.settings = replace(simulation.settings, n_trials=3)
    simulation.most_choices = 0
    engine = simulation.finish()
    copies = [trial for trial in engine.schedule.trials if not trial.has_run]
    assert copies
    for trial in trials(tmp_path):
        assert dict(trial.constraints) == {"eval/kl<=0.25": 0.75}
    for copy in copies:
        (twin,) = (t for t in engine.schedule.trials if t.has_run and t.params == copy.params)
        assert (copy.objectives, copy.by_seed, copy.update) == (twin.objectives, twin.by_seed, twin.update)
        assert copy.violations == {"eval/kl<=0.25": 0.75}


def test_one_that_waits_is_unfinished_when_the_time_is_over(base: Any, tmp_path: Path) -> None:
    """Four runs had taken so long that the others were asked to wait for the test seeds; no new trial is wanted."""
    limits = {"budget_hours": 500 / 3600, "test_seeds": 2, "num_tested": 1, "update_timeout": 3600.0}
    simulation = simulated(base, tmp_path, (LR, KL), limits, {"n_trials": None})
    simulation.world.num_workers, simulation.world.usual = 2, 5.0
    simulation.world.slowness = {str(number): 60.0 for number in range(4, 60)}
    found = simulation.finish().schedule.trials
    assert "waiting" in {trial.state for trial in found}
    simulation.settings = replace(simulation.settings, n_trials=len(found))
    engine = simulation.start()
    assert engine.schedule.num_left == 0
    assert engine.schedule.is_unfinished
    assert engine.stopping == "budget"


def test_of_two_trials_of_a_setting_the_first_runs(tmp_path: Path) -> None:
    both = [SweepTrial(number, {"ppo.lr": 1e-4}, {}, tmp_path / str(number)) for number in (0, 1)]
    first, second = (Active(trial, Run(trial.folder), 7, 0) for trial in both)
    assert find_open_twin(first, both) is None
    assert find_open_twin(second, both) is both[0]
    assert find_ended_twin(second, both) is None
    both[0].state, both[0].cause = "failed", "out_of_memory"
    assert find_ended_twin(second, both) is both[0]
    assert find_open_twin(second, both) is None
    both[0].cause = "lost_process"  # which says nothing about the setting
    assert find_ended_twin(second, both) is None


def test_a_constraint_that_is_met_exactly_is_kept(tmp_path: Path) -> None:
    assert SweepTrial(0, {}, {}, tmp_path, violations={"a": 0.0, "b": -1.0}).is_feasible
    assert not SweepTrial(0, {}, {}, tmp_path, violations={"a": 1e-9, "b": -1.0}).is_feasible


def test_of_those_that_wait_a_promising_one_comes_before_one_that_has_got_further(base: Any, tmp_path: Path) -> None:
    trials = simulated(base, tmp_path, LENGTHS).start().schedule.trials
    far, near = (Active(trial, Run(trial.folder), 0, 0) for trial in trials[:2])
    progress = {0: (0.5, 9.0), 1: (0.25, 1.0)}
    pruning: Any = SimpleNamespace(
        progress=progress.get,
        remaining=lambda number, index: 1 - progress[number][0],
        may_resume=lambda number: number == 1,
    )
    assert choose_next_waiting([far, near], pruning, 1.0, is_last_resort=True) is near
    pruning.may_resume = lambda number: False
    assert choose_next_waiting([far, near], pruning, 1.0, is_last_resort=True) is far
    assert choose_next_waiting([far, near], pruning, 1.0, is_last_resort=False) is None
    assert choose_next_waiting([far, near], pruning, 0.5, is_last_resort=True) is far
    assert (
        choose_next_waiting([near], pruning, 0.5, is_last_resort=True) is None
    )  # three quarters of a run are before it


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_reward_models_are_compared_by_their_best_settings(
    direction: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(sweeper, "find_best_settings", lambda *arguments: asked.append(arguments) or [])  # type: ignore[func-returns-value]
    plan: Any = SimpleNamespace(is_comparison=True, seeds=[7, 8], directions=[direction])
    found = sweeper._compare(Sweep(tmp_path), plan, [])
    assert [(seeds, way) for _, _, seeds, way in asked] == [([7, 8], [direction])]
    assert found is not None
    assert Sweep(tmp_path).comparison() == {"schema_version": 1, **found}
