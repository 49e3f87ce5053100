"""A sweep.json that no sweeper writes so: what can be read of it is, and that it is odd is said."""

from pathlib import Path
from typing import Any

import pytest
from helpers.records import write_sweep
from helpers.watched import change, see
from helpers.watched import from_here as from_here

from analysis.reading.sources import read
from rlhf_sweeps.record import SweepPlan, read_axes, read_plan

LR = {"key": "ppo.lr", "kind": "list", "choices": ["0.0001", "0.0005"], "tied_to": None, "when": {}}


def test_what_a_sweeper_writes_is_not_odd(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "s", [{"ppo.lr": 1e-4}, {"ppo.lr": 5e-4}])
    assert read(sweep.folder).problems == ()


@pytest.mark.parametrize(
    ("odd", "keys"),
    [
        ({"num_trials": -4, "num_tests": -2, "num_workers": -3}, "num_trials, num_tests and num_workers"),
        ({"axes": [{**LR, "tied_to": "ppo.lr"}]}, "axes"),
        ({"axes": [LR, {"key": "x", "kind": "simplex", "weights": [1, 2]}]}, "axes"),
        ({"axes": {"ppo.lr": 1}}, "axes"),
        ({"axes": [LR, 3]}, "axes"),
        ({"seeds": {"a": 1}}, "seeds"),
        ({"test_seeds": [1, "a", None]}, "test_seeds"),
        ({"directions": ["maximise"]}, "metrics and directions"),
    ],
)
def test_an_odd_plan_is_read_as_far_as_it_can_be(odd: dict[str, Any], keys: str, tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "s", [{"ppo.lr": 1e-4}, {"ppo.lr": 5e-4}])
    change(sweep.start_file, **odd)
    found = read(sweep.folder)
    assert found.problems == (f"sweep.json: not in the format of a sweeper ({keys}), read as far as possible",)
    assert [trial.number for trial in found.trials] == [0, 1]
    assert see(sweep.folder).num_planned is None


def test_there_are_no_less_than_no_trials() -> None:
    plan = read_plan({"num_trials": -4, "num_tests": -2, "num_workers": -3, "seeds": [-1]})
    assert (plan.num_trials, plan.num_tests, plan.num_workers, plan.seeds) == (None, 0, None, [-1])
    assert read_plan({"num_trials": 0}) == SweepPlan(seeds=[], test_seeds=[], num_trials=0, metrics=[], directions=[])


@pytest.mark.parametrize(
    ("told", "tied"),
    [
        ({"a": None, "b": "a"}, [None, "a"]),
        ({"a": "a"}, [None]),
        ({"a": "b", "b": "a"}, [None, None]),  # neither goes first
        ({"a": None, "b": "gone"}, [None, None]),
        ({"a": None, "b": 3}, [None, None]),
    ],
)
def test_an_axis_is_tied_to_another_one_that_moves_by_itself(told: dict[str, Any], tied: list[str | None]) -> None:
    axes = read_axes([{**LR, "key": key, "tied_to": leader} for key, leader in told.items()])
    assert [axis.tied_to for axis in axes] == tied
