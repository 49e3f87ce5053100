"""Sweeps whose sweep.json is of version 1: all that was said of them is said still, and they go on."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from helpers.sweeping import sweep, trials, updates

from analysis.reading.folders import read_folder
from analysis.sweep.settings import View, make_views
from analysis.watch.places import Places
from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.record import Sweep, SweepPlan, convert_start, describe_axes, read_plan
from rlhf_sweeps.sweep.search.search_space import SearchSpace

RECORDS = ROOT / "tests" / "helpers" / "old_records"
FACTS: dict[str, Any] = json.loads((RECORDS / "facts.json").read_text("utf-8"))


def unpack(name: str, folder: Path) -> Sweep:
    for path, text in json.loads((RECORDS / f"{name}.json").read_text("utf-8")).items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".sql":
            study = sqlite3.connect(file.with_suffix(".db"))
            study.executescript(text)
            study.close()
        else:
            file.write_text(text, encoding="utf-8")
    return Sweep(folder)


def facts_of(view: View) -> dict[str, Any]:
    axes = [[axis.key, list(axis.choices), axis.low, axis.high, axis.is_log, axis.is_int] for axis in view.axes]
    settings = [[list(one.numbers), dict(one.values), one.objectives.tolist()] for one in view.settings]
    return {"label": view.label, "tied": dict(view.tied), "axes": axes, "settings": settings}


@pytest.mark.parametrize("name", FACTS)
def test_what_is_said_of_a_sweep_of_version_1_is_what_was_said_then(name: str, tmp_path: Path) -> None:
    old = unpack(name, tmp_path / name)
    source, start, facts = read_folder(old), old.start() or {}, FACTS[name]
    found = [
        [one.number, one.state, dict(one.settings), one.objectives, one.cause, len(one.runs), len(one.tests)]
        for one in source.trials
    ]
    assert found == facts["trials"]
    assert (list(source.metrics), list(source.directions)) == (facts["metrics"], facts["directions"])
    assert (source.axes, list(source.problems)) == (facts["swept"], facts["problems"])
    assert [facts_of(view) for view in make_views(source)] == facts["views"]
    plan, hours = read_plan(start), start["config"]["sweep.budget_hours"]
    assert facts["plan"] == {
        "keys": plan.keys,
        "num_trials": plan.num_trials,
        "num_seeds": len(plan.seeds),
        "num_tests": plan.most_tests(num_complete=10),
        "num_workers": plan.num_workers,
        "is_comparison": plan.is_comparison,
        "budget": None if hours is None else 3600 * hours,
        "command": plan.command(Path("here")),
    }
    (seen,) = Places(old.folder).look()
    ranking, best = ([row.label for row in rows] for rows in (seen.rank_trials(), seen.select_best()))
    assert [seen.count_states(), seen.num_planned, seen.is_complete, ranking, best] == facts["watch"]


@pytest.mark.parametrize("name", FACTS)
def test_a_space_in_words_comes_back_from_its_axes(name: str, tmp_path: Path) -> None:
    old = unpack(name, tmp_path)
    words = json.loads(old.start_file.read_text("utf-8"))["space"]
    start = old.start() or {}
    assert describe_axes(read_plan(start).axes) == words
    assert [describe_axes(read_plan(one).axes) for one in start["configurations"]] == [words]
    assert not {"space", "shape"} & {*start, *start["configurations"][0]}


def test_a_sweep_of_version_1_goes_on_and_is_of_today_then(tmp_path: Path) -> None:
    old = unpack("interrupted", tmp_path / "interrupted")
    assert [updates(old.trial(number)) for number in (0, 1)] == [10, 4]
    search = ("ppo.lr=tag(log,interval(1e-5,1e-2))", "hydra.sweeper.n_trials=4", "hydra.sweeper.pruner=none")
    # Today's defaults of the embedded model are others.
    defaults = ("eval.judges=[]", "objective.kl_budget=15", "ppo.kl_coef=0.02")
    same = (*search, "sweep.budget_hours=1", "ppo.total_episodes=320", *defaults)
    with pytest.raises(ConfigError, match=r"ppo\.lr was tag\(log,interval\(1e-05,0\.01\)\), is tag\(log,interval"):
        sweep(old.folder, "ppo.lr=tag(log,interval(1e-6,1e-2))", *same[1:])
    assert json.loads(old.start_file.read_text("utf-8"))["schema_version"] == 1  # a refused one is left as it was
    before = trials(old.folder)[0].values
    sweep(old.folder, *same)
    assert [updates(old.trial(number)) for number in range(4)] == [10] * 4
    assert trials(old.folder)[0].values == before
    written = json.loads(old.start_file.read_text("utf-8"))
    assert (written["schema_version"], written["axes"][0]["kind"], written["num_trials"]) == (2, "interval", 4)
    assert "space" not in written
    assert len(written["configurations"]) == 1  # the same as before


def old_plan(space: dict[str, str], config: dict[str, Any] | None = None, **sweeper: Any) -> SweepPlan:
    return read_plan(
        convert_start({"space": space, "config": config or {}}, {"sweeper": {"n_trials": None, **sweeper}})
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["ppo.kl_coef=0.01,0.02", "ppo.lr=1e-4,2e-4,3e-4"],
        ["ppo.stop_strings=[a,b],[],['c,d']"],
        ["name='a,b',c", "ppo.batch_size=range(8,17,8)"],
        ["eval.judges=[{a: 1, b: 2}],[]"],
        [r"ppo.stop_strings='a,b','it\'s, so',[1,2],c", "ppo.lr=1,2,3"],
    ],
)
def test_points_of_an_old_grid_are_counted_as_the_sweeper_had_them(arguments: list[str]) -> None:
    space = SearchSpace.parse(arguments, {}, {}, ())
    assert old_plan(space.describe()).num_trials == len(space.grid())


def test_how_many_trials_an_old_sweep_planned() -> None:
    def planned(space: str, n_trials: int | None, hours: float | None = None) -> int | None:
        return old_plan({"ppo.lr": space}, {"sweep.budget_hours": hours}, n_trials=n_trials).num_trials

    assert planned("choice(1,2,3)", None) == 3
    assert planned("choice(1,2,3)", 2) == 2
    assert planned("interval(1,3)", 50) == 50
    assert planned("interval(1,3)", None) == 20
    assert planned("interval(1,3)", None, hours=1.0) is None
    assert old_plan({"a": "choice(1,2) with b=choice(3,4)"}).num_trials == 2
    assert old_plan({"a": "choice(1,2) with ppo.b=choice(3,4)"}).keys == ["a", "ppo.b"]
    assert read_plan(convert_start({"space": {"a": "choice(1,2)"}}, {})).num_trials is None  # without multirun.yaml


@pytest.mark.parametrize("text", ["interval(a,b)", ")(", "", "choice()", "interval(1e999,2)"])
def test_what_cannot_be_read_is_a_key_of_which_nothing_is_known(text: str) -> None:
    (axis,) = old_plan({"+x": text}).axes
    assert (axis.key, axis.kind) == ("x", "unknown")


@pytest.mark.parametrize("space", [3, None, [], "choice(1,2)"])
def test_a_space_that_is_none_is_no_old_one(space: Any) -> None:
    assert convert_start({"space": space, "id": "x"}, {}) == {"space": space, "id": "x"}


def test_a_later_version_is_read_as_far_as_it_is_known(tmp_path: Path) -> None:
    later = unpack("grid", tmp_path)
    start = {**json.loads(later.start_file.read_text("utf-8")), "schema_version": 3}
    later.start_file.write_text(json.dumps({key: one for key, one in start.items() if key != "sha256"}), "utf-8")
    source = read_folder(later)
    assert source.problems == ("sweep.json: written with version 3 of the record, read as version 2",)
    assert source.axes == ["ppo.kl_coef", "ppo.lr"]
