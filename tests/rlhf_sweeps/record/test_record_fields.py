"""Each field that the study, run.json, summary.json and sweep.json carry: set to an odd value, written, read, compared.

The fields are found by iterating, so that one that is added and forgotten fails here.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import socket
import sqlite3
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from helpers.simulated_runs import World
from helpers.simulation import Simulation, defaults, url
from helpers.sweeping import sweep

from rlhf_sweeps.config.differences import flatten
from rlhf_sweeps.config.schema import Config, as_dict
from rlhf_sweeps.record import Run, Sweep, SweepPlan, read_plan
from rlhf_sweeps.sweep.active import Active
from rlhf_sweeps.sweep.configurations import Configurations
from rlhf_sweeps.sweep.outcomes import Outcomes
from rlhf_sweeps.sweep.patience import Patience
from rlhf_sweeps.sweep.pruning.pruners import Nothing
from rlhf_sweeps.sweep.pruning.pruning_state import PruningState
from rlhf_sweeps.sweep.schedule import Schedule
from rlhf_sweeps.sweep.search.samplers import make_sampler
from rlhf_sweeps.sweep.study.study import Study
from rlhf_sweeps.sweep.study.trials import COMPLETE, FAILED, PRUNED, SweepTrial

# What ends a trial, by its state; the rest of its fields is ODD.
ENDS: dict[str, dict[str, Any]] = {
    COMPLETE: {"objectives": [0.375], "violations": {"eval/kl<=3": 0.125}, "by_seed": {7: [0.5], 8: [0.25]}},
    PRUNED: {"objectives": None, "violations": {}, "by_seed": {7: [0.5]}, "message": "no update within the budget"},
    FAILED: {"objectives": None, "violations": {}, "by_seed": {}, "cause": "timeout", "message": "3 hours are over"},
}
ODD: dict[str, Any] = {
    "number": 1,
    "params": {"ppo.lr": 3e-4, "ppo.kl_coef": 0.07},
    "settings": {"ppo.lr": "0.0003", "ppo.kl_coef": "0.07"},
    "folder": None,  # the sweep's, with the number
    "state": None,
    "cause": None,
    "message": None,
    "update": 11,
    "num_updates": 13,
    "seconds": 17.5,
    "worker_seconds": 19.25,
    "configuration": 1,
    "has_run": False,
}
# Fields that no later start needs of a trial that has ended, and why.
NOT_CARRIED = {
    "broken": "by seed; the mean stands in violations",
    "score": "of the newest evaluation, for the table",
    "kl": "likewise",
    "is_compared": "follows from the configuration",
    "num_runs": "of a trial that has ended all runs were given out",
    "going": "of runs that have a worker",
    "tested": "the test runs' own records have it",
    "scores": "the samples of its runs have them",
    "test_scores": "likewise",
    "reward_model": "its runs' own records have it",
    "beyond": "the summaries of its runs have it",
}


@pytest.mark.parametrize("state", ENDS)
def test_a_later_start_knows_all_of_a_trial_that_has_ended(tmp_path: Path, state: str) -> None:
    config, settings = defaults()
    config = replace(config, seed=7, sweep=replace(config.sweep, seeds=2))
    simulation = Simulation(World(tmp_path), config, settings, ("ppo.lr=2e-4,3e-4", "ppo.kl_coef=0.05,0.07"))
    plan, place = simulation.plan(), Sweep(tmp_path)
    new = {**plan.recorded([]).as_data(), "config": flatten(as_dict(config)), "fixed": []}
    configurations = Configurations([{**new, "seeds": [0]}], new)

    def study() -> Study:
        sampler = make_sampler("random", {}, 7, 0, 1)
        return Study(url(tmp_path), "s", ["eval/score"], plan.directions, lambda number: sampler)

    first, judge = study(), PruningState(Nothing())
    for params in ({"ppo.lr": 2e-4, "ppo.kl_coef": 0.05}, ODD["params"]):
        first.ask(plan.space.suggest, lambda p: {"settings": plan.space.settings(p), "configuration": 1}, params)
    first.report(1, 11, 0.25)
    own = {**ODD, "folder": tmp_path / "1", "state": state, **ENDS[state]}
    trial, schedule = SweepTrial(**own), SimpleNamespace(trials=[], drop=lambda trial: None)
    nothing: Any = SimpleNamespace(log=lambda trials: None)
    outcomes = Outcomes(
        plan, first, judge, configurations, schedule, nothing, nothing, nothing, Patience(), lambda: False
    )  # type: ignore[arg-type]
    outcomes._end_trial(Active(trial, Run(trial.folder), 8, 1), state, own["message"])
    judge = PruningState(Nothing())
    later = Schedule(place, plan, study(), judge, configurations)
    later.adopt()
    found = later.trials[1]
    for entry in fields(SweepTrial):
        assert (entry.name in own) != (entry.name in NOT_CARRIED), f"{entry.name}: carried, or why not?"
        if entry.name in own:
            assert getattr(found, entry.name) == own[entry.name], entry.name
    assert found.is_compared
    assert judge.reports(1) == {}  # a copy, whose reports are those of another trial
    assert not later.trials[0].has_ended


def odd(node: Any) -> Any:
    """A value of the same kind that no file has."""
    if dataclasses.is_dataclass(node) and not isinstance(node, type):
        return replace(node, **{entry.name: odd(getattr(node, entry.name)) for entry in fields(node)})
    if isinstance(node, bool):
        return not node
    if isinstance(node, list):
        return [*node, "odd \u2028"]
    if isinstance(node, int | float):
        return node * 3 + 7
    return f"odd {node} \U0001f642"


def leaves(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if dataclasses.is_dataclass(node):
        for entry in fields(node):
            yield from leaves(getattr(node, entry.name), f"{key}.{entry.name}" if key else entry.name)
    else:
        yield key, node


def test_run_json_has_each_key_of_the_config(tmp_path: Path) -> None:
    config: Config = odd(defaults()[0])
    Run(tmp_path).begin(as_dict(config))
    start = json.loads((tmp_path / "run.json").read_text("utf-8"))
    assert len(start.pop("sha256")) == 64
    assert start == Run(tmp_path).start()
    assert start.keys() == {"schema_version", "id", "config", "references"}
    assert start["schema_version"] == 1
    assert len(start["id"]) == 12
    expected = dict(leaves(config))
    expected["eval.judges"] = [as_dict(judge) if is_dataclass(judge) else judge for judge in config.eval.judges]
    assert len(expected) > 100
    assert flatten(start["config"]) == expected


def test_summary_json_has_what_is_written_and_its_version(tmp_path: Path) -> None:
    summary = {"status": "stopped", "objective": float("inf"), "best": None, "tokens": {"sample": 7}, "text": "\u2028"}
    Run(tmp_path).write_summary(summary)
    written = json.loads((tmp_path / "summary.json").read_text("utf-8"))
    digest = written.pop("sha256")
    assert written == {"schema_version": 1, **summary, "files": {}}
    assert digest == hashlib.sha256(json.dumps(written, sort_keys=True).encode()).hexdigest()


def test_a_sweeps_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    results = {"name": "optuna", "best_params": {"z": "\U0001f642", "a": [1, None]}, "best_value": -0.5}
    Sweep(tmp_path).write_results(results)
    text = (tmp_path / "optimization_results.yaml").read_text("utf-8")
    assert list(yaml.safe_load(text).items()) == list(results.items())
    assert "\U0001f642" in text
    with Sweep(tmp_path).claim():
        Sweep(tmp_path).begin("hydra: {}")
        holder = json.loads((tmp_path / "sweeper.json").read_text("utf-8"))
    assert (holder["process"], holder["host"]) == (os.getpid(), socket.gethostname())


# Of sweep.json: what a later start keeps whatever it is (set to an odd value), and what it makes anew.
KEPT = {"id": "odd", "study_name": "another name", "directions": ["minimize"], "note of a later version": 7}
GROWS = {"seconds": 1234.5}
ANEW = {"schema_version", "config", "fixed", "configurations", "compared", "references"}
ANEW |= {entry.name for entry in fields(SweepPlan)} - {"directions"}


def test_sweep_json_says_what_the_sweeper_plans(tmp_path: Path) -> None:
    """A search without a number of trials has 20; of its best two, three seeds each are tested."""
    config, settings = defaults()
    config = replace(config, seed=7, sweep=replace(config.sweep, seeds=2, test_seeds=3, num_tested=2))
    search = Simulation(World(tmp_path), config, replace(settings, workers=3), ("ppo.lr=interval(1e-5,1e-3)",))
    plan = search.plan().recorded(["-m", "ppo.lr=interval(1e-5,1e-3)"])
    assert (plan.num_trials, plan.num_tests, plan.num_workers) == (20, 6, 3)
    assert (plan.seeds, plan.test_seeds) == ([7, 8], [1_000_007, 1_000_008, 1_000_009])
    assert (plan.is_comparison, plan.metrics) == (False, ["eval/score"])
    assert read_plan(json.loads(json.dumps(plan.as_data()))) == replace(plan, axes=tuple(plan.axes))
    assert plan.command(tmp_path) == (
        f"python -m rlhf_sweeps -m 'ppo.lr=interval(1e-5,1e-3)' hydra.sweep.dir={tmp_path}"
    )


def test_sweep_json_is_kept_from_start_to_start(tmp_path: Path) -> None:
    arguments = ("ppo.kl_coef=0.01,0.02", "seed=7", "hydra.sweeper.study_name=another name",
                 "objective.metrics=[eval/kl]", "objective.directions=[minimize]", "sweep.seeds=2")  # fmt: skip
    sweep(tmp_path, *arguments)
    start = Sweep(tmp_path).start()
    assert start is not None
    assert start.keys() == {*KEPT, *GROWS, *ANEW} - {"note of a later version"}
    assert (start["seeds"], start["fixed"][2:4], start["compared"]) == ([7, 8], [*arguments[1:2], arguments[3]], [0])
    (axis,) = start["axes"]
    assert axis == {"key": "ppo.kl_coef", "kind": "list", "choices": ["0.01", "0.02"], "tied_to": None, "when": {}}
    assert (start["schema_version"], start["num_trials"], start["is_comparison"]) == (2, 2, False)
    assert {"seed=7", "ppo.kl_coef=0.01,0.02", "hydra.sweeper.study_name=another name"} <= set(start["arguments"])
    assert start["config"]["objective.metrics"] == ["eval/kl"]
    Sweep(tmp_path).write_start({**start, **KEPT, **GROWS})
    with contextlib.closing(sqlite3.connect(tmp_path / "study.db")) as study, study:
        # Which has the sweep's id, too: another one there would be another sweep's.
        study.execute("UPDATE study_user_attributes SET key = ? WHERE key LIKE 'sweep:%'", (f"sweep:{KEPT['id']}",))
    sweep(tmp_path, *arguments)
    again = Sweep(tmp_path).start() or {}
    assert {key: again[key] for key in KEPT} == KEPT
    assert GROWS["seconds"] < again["seconds"] < GROWS["seconds"] + 60
    assert {key: again[key] for key in ANEW} == {key: start[key] for key in ANEW}
