"""What a sweep promises, as checks of its study, folders and records."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from helpers.scenarios import BAD, LOST
from helpers.simulated_runs import EVALUATED_EVERY, World, num_updates, score
from helpers.simulation import Simulation, trials
from rlhf_sweeps.record import Run
from rlhf_sweeps.sweep.engine import Engine

ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


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
