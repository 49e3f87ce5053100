"""The cost ledger against sums by hand."""

import csv
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.records import write_sweep
from helpers.sweep_sources import of, trial

from analysis.output import terminal
from analysis.output.files import write_files
from analysis.output.parts import Document
from analysis.reading.sources import read
from analysis.records.runs import RunRecord, Source
from analysis.results.results import Results
from analysis.sweep.ledger import MEASURED, RunCost, make_ledger
from analysis.views.cost import cost_view, make_cost_tiles, write_cost_sentences
from analysis.views.sweep import sweep_view


def run(name: str, updates: int, config: dict[str, Any] | None = None, **more: Any) -> RunRecord:
    metrics = {
        "update": np.arange(1.0, updates + 1),
        "episode": 32.0 * np.arange(1, updates + 1),
        "tokens/sample": np.full(updates, 100.0),
        "tokens/optimize": np.full(updates, 50.0),
        "perf/update_seconds": np.full(updates, 2.0),
        "perf/score_seconds": np.full(updates, 0.5),
        "perf/peak_memory_mb": np.linspace(100, 200, updates),
    }
    planned = {"ppo.total_episodes": 950, "ppo.batch_size": 32}  # 29.7: 30 updates
    return RunRecord(name, metrics, planned | (config or {}), **more)


def summary(updates: int, **more: Any) -> dict[str, Any]:
    scoring = {"tiny": {"seconds": 3.0}, "length": {"seconds": 1.0}}
    found = {"seconds": 3.0 * updates, "tokens": 200 * updates, "episodes": 32 * updates, "updates": updates}
    return found | {"scoring": scoring, "peak_memory_mb": 500.0, "device": "cpu"} | more


@pytest.fixture
def source() -> Source:
    complete = run("0", 30, summary=summary(30, device="cuda:0"))
    test = run("test/0_seed_9", 30, summary=summary(30), is_test=True)
    pruned = run("1", 10, summary=summary(10), state="pruned")
    failed = run("2", 4, state="failed", summary={"status": "failed"})
    killed = run("3", 5, state="unfinished")
    return of(
        [
            trial(0, {"ppo.lr": 1e-4}, [1.0], runs=[complete], tests=[test]),
            trial(1, {"ppo.lr": 1e-3}, None, state="pruned", runs=[pruned]),
            trial(2, {"ppo.lr": 2e-3}, None, state="failed", cause="error", runs=[failed]),
            trial(3, {"ppo.lr": 3e-3}, None, state="unfinished", runs=[killed]),
        ],
        seconds=120.0,
    )


def test_what_each_state_took(source: Source) -> None:
    costs = make_ledger(source)
    seconds = {state: cost.seconds for state, cost in costs.by_state.items()}
    # By the summary 3 s an update; without one 2 s as recorded.
    assert seconds == {"complete": 90.0, "test": 90.0, "pruned": 30.0, "failed": 8.0, "unfinished": 10.0}
    assert costs.total.seconds == 228.0
    assert costs.total.tokens == 6000 + 6000 + 2000 + 150 * 4 + 150 * 5
    assert costs.total.episodes == 32 * (30 + 30 + 10 + 4 + 5)
    assert costs.total.scoring_seconds == 3 * 4.0 + 0.5 * 9
    assert (costs.total.runs, costs.total.updates) == (5, 79)
    assert costs.total.peak_memory_mb == 500.0
    assert costs.num_without_end == 1


def test_hours_of_a_gpu_are_those_on_cuda(source: Source) -> None:
    costs = make_ledger(source)
    assert costs.gpu_hours == 90 / 3600
    assert costs.worker_hours == 228 / 3600


def test_pruning_saved_the_updates_that_were_planned_at_the_trials_own_pace(source: Source) -> None:
    total = make_ledger(source).total
    assert (total.saved_updates, total.saved_seconds) == (20, 20 * 3.0)
    # Runs that failed or were killed saved nothing.
    assert total.planned_updates == 150


def test_seeds_that_a_pruned_trial_never_began_are_saved() -> None:
    first = run("0/seed_0", 30, {"sweep.seeds": 3}, summary=summary(30))
    second = run("0/seed_1", 10, {"sweep.seeds": 3}, summary=summary(10), state="pruned")
    costs = make_ledger(of([trial(0, {"ppo.lr": 1e-4}, None, state="pruned", runs=[first, second])]))
    assert costs.total.saved_updates == 20 + 30
    assert costs.total.saved_seconds == 50 * 3.0
    assert costs.num_shrunk_seeds == 1


def test_a_price_is_known_where_the_config_has_it() -> None:
    priced = run("0", 30, {"sweep.cost_per_hour": 2.5}, summary=summary(30))
    costs = make_ledger(of([trial(0, {"ppo.lr": 1e-4}, [1.0], runs=[priced])]))
    assert costs.price == pytest.approx(2.5 * 90 / 3600)
    assert make_ledger(of([trial(0, {"ppo.lr": 1e-4}, [1.0], runs=[run("0", 3)])])).price is None


def test_a_trial_without_its_folder_took_what_the_study_says() -> None:
    costs = make_ledger(of([trial(0, {"ppo.lr": 1e-4}, [1.0], seconds=12.0)]))
    assert (costs.total.seconds, costs.total.runs) == (12.0, 0)
    assert math.isnan(costs.total.peak_memory_mb)


def test_runs_outside_of_a_sweep_are_counted_by_their_state() -> None:
    costs = make_ledger(
        Source("folder", "folder", [run("a", 30, summary=summary(30)), run("b", 3, state="unfinished")])
    )
    assert {state: cost.updates for state, cost in costs.by_state.items()} == {"complete": 30, "unfinished": 3}


@pytest.mark.parametrize(
    ("config", "end"),
    [
        ({"ppo.batch_size": 0}, {}),
        ({"ppo.total_episodes": "many", "sweep.seeds": "3", "sweep.cost_per_hour": "free"}, {"seconds": "long"}),
        ({"ppo.total_episodes": math.inf}, {"scoring": [1], "tokens": math.nan, "updates": None, "device": None}),
        ({"ppo.total_episodes": math.nan}, {"scoring": {"tiny": 3}, "peak_memory_mb": "much", "seconds": True}),
    ],
)
def test_wrong_values_are_passed_over(config: dict[str, Any], end: dict[str, Any]) -> None:
    damaged = run("0", 4, config, summary=end, state="pruned")
    total = make_ledger(of([trial(0, {"ppo.lr": 1e-4}, None, state="pruned", runs=[damaged])])).total
    assert total.seconds == 8.0
    assert (total.tokens, total.updates) == (600.0, 4)
    assert total.saved_updates in (0, 26)


def test_what_nobody_recorded_is_unknown_and_not_zero(tmp_path: Path) -> None:
    """A table of scores alone: how long it took, on what, with how many tokens, nobody knows."""
    silent = RunRecord("a", {"update": np.arange(1.0, 31.0), "objective/scores": np.ones(30)})
    costs = make_ledger(Source("x", "table", [silent]))
    assert (costs.total.runs, costs.total.updates, costs.price) == (1, 30, None)
    assert all(math.isnan(getattr(costs.total, name)) for name in MEASURED)
    tiles = {label: (value, hint) for label, value, hint in make_cost_tiles(costs).tiles}
    assert tiles == {
        "Runs": ("1", "30 updates"),
        "Worker time": ("unknown", "not recorded"),
        "GPU-hours": ("unknown", "not recorded"),
    }
    untold = "time of scoring, tokens and episodes are not recorded"
    assert write_cost_sentences(costs) == [
        untold,
        "1 run wrote no summary; only recorded updates are counted",
    ]
    text = terminal.render_text(sweep_view(Results(Source("x", "table", [silent]))))
    assert untold in text
    assert not re.search(r"\b0 (s|tokens|episodes|GPU)|nan", text)
    (content,) = [part.content for part in cost_view(costs) if isinstance(part, Document)]
    assert all(map(math.isnan, (content["total"]["seconds"], content["gpu_hours"], content["worker_hours"])))


def test_sums_say_of_how_many_runs_they_are() -> None:
    silent = RunRecord("b", {"update": np.arange(1.0, 31.0)})
    costs = make_ledger(Source("x", "folder", [run("a", 30, summary=summary(30)), silent]))
    assert (costs.total.seconds, costs.total.tokens, costs.gpu_hours) == (90.0, 6000.0, 0.0)
    tiles = {label: (value, hint) for label, value, hint in make_cost_tiles(costs).tiles}
    assert tiles["Worker time"] == ("90 s", "of one worker; recorded for 1 of 2 runs")
    assert tiles["GPU-hours"] == ("0", "no CUDA device; recorded for 1 of 2 runs")
    assert any("not recorded in 1 of 2 runs, which the sums leave out" in line for line in write_cost_sentences(costs))


def test_pruning_may_have_saved_a_time_that_nobody_knows() -> None:
    planned = {"ppo.total_episodes": 960, "ppo.batch_size": 32}
    pruned = RunRecord("0", {"update": np.arange(1.0, 11.0)}, planned, "pruned")
    costs = make_ledger(of([trial(0, {"ppo.lr": 1e-4}, None, state="pruned", runs=[pruned])]))
    assert costs.total.saved_updates == 20
    assert math.isnan(costs.total.saved_seconds)
    tiles = {label: (value, hint) for label, value, hint in make_cost_tiles(costs).tiles}
    assert tiles["Saved by pruning"] == ("unknown", "20 updates not run, 66.7 % of all that were planned")


def test_costs_add_up() -> None:
    total = RunCost(runs=1, seconds=2.0).add(RunCost(runs=2, peak_memory_mb=7.0))
    assert (total.runs, total.seconds, total.peak_memory_mb) == (3, 2.0, 7.0)


def test_tables_and_text_have_the_same_numbers(source: Source, tmp_path: Path) -> None:
    view = sweep_view(Results(source))
    paths = {path.name: path for path in write_files([part for part in view if part.kind != "chart"], tmp_path)}
    assert set(paths) == {"trials.csv", "ledger.csv", "ledger.json"}
    content = json.loads(paths["ledger.json"].read_text(encoding="utf-8"))
    assert content["total"]["seconds"] == 228.0
    with paths["ledger.csv"].open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["trial"], row["state"], row["seconds"]) for row in rows][:2] == [
        ("0", "complete", "90.0"),
        ("1", "pruned", "30.0"),
    ]
    assert sum(float(row["seconds"]) for row in rows) == 228.0
    with paths["trials.csv"].open(encoding="utf-8") as file:
        trials = list(csv.DictReader(file))
    assert [(row["trial"], row["state"], row["cause"], row["ppo.lr"]) for row in trials][2] == (
        "2",
        "failed",
        "error",
        "0.002",
    )
    text = terminal.render_text(view)
    assert re.search(r"worker time +3.8 min \(of one worker", text)
    assert re.search(r"saved by pruning +60 s \(20 updates not run", text)
    assert re.search(r"on the clock +2 min \(1.9 workers busy on average\)", text)
    assert re.search(r"GPU-hours +0\.025", text)


def test_a_real_folder_is_counted(tmp_path: Path) -> None:
    write_sweep(tmp_path / "sweep", [{"ppo.lr": 1e-4}, {"ppo.lr": 1e-3}], updates=10)
    costs = make_ledger(read(tmp_path / "sweep"))
    assert (costs.total.seconds, costs.total.updates, costs.wall_seconds) == (10.0, 20, 60.0)


def test_without_a_summary_memory_is_the_highest_of_all_updates() -> None:
    costs = make_ledger(of([trial(0, {"ppo.lr": 1e-4}, [1.0], runs=[run("0", 30)])]))
    assert costs.total.peak_memory_mb == 200.0
