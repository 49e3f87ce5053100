"""Single moments of a sweep in made-up time: a long run, a pause, a kill where much hangs on it.

test_promises.py draws such things at random; here each has its place.
"""

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.simulated_runs import DECISION, START, SimulatedExecutor, World
from helpers.simulation import Simulation, defaults, trials
from optuna.trial import TrialState

from rlhf_sweeps.sweep.patience import PAUSES

Simulated = Callable[..., Simulation]


@pytest.fixture(scope="module")
def simulated() -> Simulated:
    """A grid of made-up runs of 30 updates, one at a time; each update takes a second."""
    config, settings = defaults()

    def make(folder: Path, *arguments: str, pruner: str = "none", limits: Any = None, **world: Any) -> Simulation:
        limited = replace(config, sweep=replace(config.sweep, **(limits or {})))
        return Simulation(World(folder, **world), limited, replace(settings, pruner=pruner), arguments)

    return make


def test_a_run_is_hung_by_its_last_update_and_not_by_its_start(simulated: Simulated, tmp_path: Path) -> None:
    """A minute without an update is too long; a run of 30 updates of 10 s is not."""
    limits = {"update_timeout": 60.0, "retries": 1}
    faults = {"1": {4: "hang_once"}}
    sweep = simulated(tmp_path, "ppo.lr=1e-4,5e-4", limits=limits, usual=10.0, faults=faults)
    begun = sweep.world.now
    sweep.finish()
    assert [trial.state for trial in trials(tmp_path)] == [TrialState.COMPLETE] * 2
    assert sweep.world.starts == ["0", "1", "1"]
    # Trial 1 starts anew after its third update and a minute: there was no checkpoint yet.
    whole, cut = START + 30 * (10 + DECISION), START + 3 * (10 + DECISION) + 60
    assert sweep.world.now - begun == pytest.approx(2 * whole + cut, abs=15)


def test_nothing_begins_during_a_pause(simulated: Simulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run meets a full disk in its third, fourth and fifth update, before its first checkpoint."""
    times: list[float] = []
    submit = SimulatedExecutor.submit

    def submit_and_note(self: SimulatedExecutor, folder: Path) -> Any:
        times.append(self.world.now)
        return submit(self, folder)

    monkeypatch.setattr(SimulatedExecutor, "submit", submit_and_note)
    faults = {"0": dict.fromkeys((3, 4, 5), "environment_once")}
    simulated(tmp_path, "ppo.lr=5e-4", faults=faults).finish()
    gaps = [after - before for before, after in itertools.pairwise(times)]
    until_fault = [START + updates * (1 + DECISION) + 1 for updates in (2, 3, 4)]
    pauses = [gap - seconds for gap, seconds in zip(gaps, until_fault, strict=True)]
    # Time goes on by a second and a bit where nothing happens.
    assert all(wanted <= pause + 1e-6 < wanted + 1.1 for wanted, pause in zip(PAUSES[:3], pauses, strict=True))


def test_what_has_come_back_is_not_decided_upon_anew(
    simulated: Simulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worst of five runs of 10 updates waits at half of it, where only one other has been: too few to end it.

    It comes back when all else has ended. A sweeper that is killed then and started again finds four peers there.
    """
    arguments = ("ppo.lr=4e-4,1e-5,5e-4,6e-4,3e-4", "ppo.batch_size=48")
    whole = simulated(tmp_path / "whole", *arguments, pruner="asha")
    whole.finish()
    assert whole.world.starts == ["0", "1", "2", "3", "4", "1"]
    assert trials(tmp_path / "whole")[1].state == TrialState.COMPLETE
    broken = simulated(tmp_path / "broken", *arguments, pruner="asha")
    submit = SimulatedExecutor.submit

    def submit_and_die(self: SimulatedExecutor, folder: Path) -> Any:
        if not self.world.kills and "1" in self.world.starts and folder.name == "1":
            self.world.kills.add(self.world.num_steps + 3)  # before it has recorded another update
        return submit(self, folder)

    monkeypatch.setattr(SimulatedExecutor, "submit", submit_and_die)
    broken.finish()
    assert broken.world.starts == ["0", "1", "2", "3", "4", "1", "1"]
    assert [(t.state, t.values, t.intermediate_values) for t in trials(tmp_path / "broken")] == [
        (t.state, t.values, t.intermediate_values) for t in trials(tmp_path / "whole")
    ]
