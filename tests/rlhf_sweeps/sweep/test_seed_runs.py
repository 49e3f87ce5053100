"""Seeds of a setting run at the same time where workers are free and nothing is decided between them."""

import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.simulated_runs import Killed, World, score
from helpers.simulation import Simulation, defaults, trials
from optuna.trial import TrialState

from rlhf_sweeps.config.schema import Config
from rlhf_sweeps.record import Run
from rlhf_sweeps.sweep.active import INTERRUPTED
from rlhf_sweeps.sweep.settings import SweeperConfig

Base = tuple[Config, SweeperConfig]
SEEDS, SETTINGS = "seed=7,8,9", "ppo.kl_coef=0.01,0.02"
# A run has 30 updates of a second each; before them two seconds, after each a tenth of one.
RUN = 2 + 30 * 1.1
COMPLETE, FAIL = TrialState.COMPLETE, TrialState.FAIL


@pytest.fixture(scope="module")
def base() -> Base:
    return defaults()


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody pulls the plug here."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


def simulated(base: Base, folder: Path, *arguments: str, num_workers: int = 3, **limits: Any) -> Simulation:
    settings = {key: limits.pop(key) for key in ("pruner", "n_trials", "max_failure_rate") if key in limits}
    config = replace(base[0], seed=7, sweep=replace(base[0].sweep, **limits))
    return Simulation(World(folder, num_workers), config, replace(base[1], **settings), arguments)


def rounds(simulation: Simulation, begun: float = 1000.0) -> float:
    """Since the world began, in runs one after the other."""
    return (simulation.world.now - begun) / RUN


def worth(kl_coef: float) -> float:
    """Of a setting, worked out from what the runs are; the end of a made-up run is its best evaluation."""
    values = [score({"ppo.lr": 5e-4, "ppo.kl_coef": kl_coef, "seed": seed}, 1.0) for seed in (7, 8, 9)]
    return math.fsum(values) / 3


def test_seeds_alone_take_no_longer_than_one_run(base: Base, tmp_path: Path) -> None:
    simulation = simulated(base, tmp_path, SEEDS)
    simulation.start()
    assert rounds(simulation) == pytest.approx(1, abs=0.05)
    (trial,) = trials(tmp_path)
    assert trial.value == pytest.approx(worth(0.02))


@pytest.mark.parametrize(
    ("num_settings", "num_workers", "num_rounds"),
    [(2, 3, 2), (2, 2, 3), (3, 2, 5), (4, 3, 4), (1, 2, 2), (2, 6, 1), (5, 1, 15)],
)
def test_no_worker_is_idle_while_a_run_is_left(
    base: Base, tmp_path: Path, num_settings: int, num_workers: int, num_rounds: int
) -> None:
    """So many rounds as the runs, three for each setting, fill all workers."""
    coefs = ",".join(str(0.01 * (n + 1)) for n in range(num_settings))
    simulation = simulated(base, tmp_path, SEEDS, f"ppo.kl_coef=choice({coefs})", num_workers=num_workers)
    simulation.start()
    assert rounds(simulation) == pytest.approx(num_rounds, abs=0.05 * num_rounds)
    assert [trial.state for trial in trials(tmp_path)] == [COMPLETE] * num_settings


def test_new_settings_begin_before_further_seeds(base: Base, tmp_path: Path) -> None:
    simulation = simulated(base, tmp_path, SEEDS, SETTINGS)
    simulation.start()
    assert simulation.world.starts[:3] == ["0/seed_7", "1/seed_7", "0/seed_8"]
    assert [trial.value for trial in trials(tmp_path)] == pytest.approx([worth(0.01), worth(0.02)])


def test_where_a_pruner_decides_seeds_follow_each_other(base: Base, tmp_path: Path) -> None:
    simulation = simulated(base, tmp_path, SEEDS, pruner="median")
    simulation.start()
    assert rounds(simulation) == pytest.approx(3, abs=0.1)


def test_the_study_tells_the_same_in_whatever_order_seeds_end(base: Base, tmp_path: Path) -> None:
    reports = []
    for name, slow in (("even", {}), ("odd", {"0/seed_7": 3.0, "0/seed_8": 2.0})):
        simulation = simulated(base, tmp_path / name, SEEDS)
        simulation.world.slowness = slow
        simulation.start()
        (trial,) = trials(tmp_path / name)
        assert list(trial.user_attrs["by_seed"]) == ["7", "8", "9"]
        reports.append(trial.intermediate_values)
    assert reports[0] == reports[1]
    assert reports[0][90] == pytest.approx(worth(0.02))


def test_a_seed_that_fails_ends_its_trial_and_stops_the_others(base: Base, tmp_path: Path) -> None:
    simulation = simulated(base, tmp_path, SEEDS, SETTINGS, max_failure_rate=1.0)
    simulation.world.faults = {"0/seed_8": {4: "diverged"}}
    engine = simulation.start()
    failed, sound = trials(tmp_path)
    assert (failed.state, failed.user_attrs["cause"]) == (FAIL, "diverged")
    assert (sound.state, sound.value) == (COMPLETE, pytest.approx(worth(0.02)))
    assert not engine.schedule.is_unfinished
    assert [trial.going for trial in engine.schedule.trials] == [{}, {}]  # also the seeds that were stopped
    stopped = Run(tmp_path / "0" / "seed_7").summary() or {}
    assert (stopped["status"], stopped["stop_reason"]) == ("stopped", INTERRUPTED)
    assert max(failed.intermediate_values, default=0) < 10
    assert rounds(simulation) < 1.3
    assert "0/seed_9" not in simulation.world.starts


def test_a_seed_that_is_queued_is_dropped_with_its_trial(base: Base, tmp_path: Path) -> None:
    """A seed that met a full disk waits for the pause to be over; meanwhile another one diverges."""
    simulation = simulated(base, tmp_path, SEEDS, max_failure_rate=1.0)
    simulation.world.faults = {"0/seed_7": {3: "full_disk_once"}, "0/seed_8": {3: "diverged"}}
    simulation.world.slowness = {"0/seed_8": 1.1}
    engine = simulation.start()
    assert trials(tmp_path)[0].state == FAIL
    assert simulation.world.starts == ["0/seed_7", "0/seed_8", "0/seed_9"]
    assert not engine.schedule.is_unfinished


def test_a_seed_whose_reward_model_fails_leaves_the_others_to_the_next_start(base: Base, tmp_path: Path) -> None:
    simulation = simulated(base, tmp_path, SEEDS, max_failure_rate=1.0)
    simulation.world.faults = {"0/seed_8": {4: "reward_model_once"}}
    simulation.start()
    assert [trial.state for trial in trials(tmp_path)] == [TrialState.RUNNING]
    simulation.start()
    (trial,) = trials(tmp_path)
    assert (trial.state, trial.value) == (COMPLETE, pytest.approx(worth(0.02)))


def test_lost_seeds_are_started_again_each(base: Base, tmp_path: Path) -> None:
    simulation = simulated(base, tmp_path, SEEDS)
    simulation.world.faults = {"0/seed_7": {12: "lost_once"}, "0/seed_9": {3: "lost_once", 20: "lost_once"}}
    simulation.start()
    assert simulation.world.starts.count("0/seed_7") == 2
    assert simulation.world.starts.count("0/seed_9") == 3
    assert trials(tmp_path)[0].value == pytest.approx(worth(0.02))


@pytest.mark.parametrize("step", [40, 70, 110, 150, 200])
def test_seeds_that_a_killed_sweeper_had_begun_go_on(base: Base, tmp_path: Path, step: int) -> None:
    simulation = simulated(base, tmp_path, SEEDS, SETTINGS)
    simulation.world.kills = {step}
    with pytest.raises(Killed):
        simulation.start()
    begun = {str(file.parents[1].relative_to(tmp_path)) for file in tmp_path.glob("*/seed_*/.hydra/config.yaml")}
    ended = {name for name in begun if (Run(tmp_path / name).summary() or {}).get("status") == "complete"}
    simulation.world.starts = []
    simulation.start()
    again = [name for name in simulation.world.starts if name in begun]
    assert set(again) == begun - ended
    assert simulation.world.starts[: len(again)] == again
    assert [trial.value for trial in trials(tmp_path)] == pytest.approx([worth(0.01), worth(0.02)])


def test_ctrl_c_stops_all_seeds_and_the_same_command_goes_on(base: Base, tmp_path: Path) -> None:
    simulation = simulated(base, tmp_path, SEEDS)
    simulation.world.interruptions = {90}
    assert simulation.start().stopping == INTERRUPTED
    assert [trial.state for trial in trials(tmp_path)] == [TrialState.RUNNING]
    simulation.finish()
    assert trials(tmp_path)[0].value == pytest.approx(worth(0.02))


def test_no_seed_begins_that_the_test_seeds_need_the_time_of(base: Base, tmp_path: Path) -> None:
    """Time for the six runs, two at a time, and for the test of one setting on two seeds, not for more."""
    hours = 4.6 * RUN / 3600
    simulation = simulated(
        base, tmp_path, SEEDS, SETTINGS, num_workers=2, budget_hours=hours, test_seeds=2, num_tested=1
    )
    engine = simulation.start()
    assert [trial.state for trial in trials(tmp_path)] == [COMPLETE, COMPLETE]
    assert len(list((tmp_path / "test").iterdir())) == 2
    assert engine.stopping is None
    less = simulated(
        base, tmp_path / "less", SEEDS, SETTINGS, num_workers=2, budget_hours=0.6 * hours, test_seeds=2, num_tested=1
    )
    assert less.start().stopping == "budget"


def test_the_seed_that_is_furthest_behind_stands_for_a_trial(base: Base, tmp_path: Path) -> None:
    simulation = simulated(base, tmp_path, SEEDS)
    simulation.world.slowness, simulation.world.kills = {"0/seed_8": 4.0}, {150}
    with pytest.raises(Killed):
        simulation.start()
    assert simulation.world.engine is not None
    (trial,) = simulation.world.engine.schedule.trials
    assert set(trial.going) == {7, 8, 9}
    assert trial.update == trial.going[8] < trial.going[7]
