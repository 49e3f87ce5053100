"""Constraints hold as in the engine: in a folder of runs, over seeds, and where a study says less than its runs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.drawn_charts import layers_of
from helpers.objective_runs import evaluated, said
from helpers.records import lose, rows, summary, write_run, write_sweep

from analysis.output.charts import Points
from analysis.reading.sources import read
from analysis.records.runs import RunRecord
from analysis.records.worth import measure_violations, select_counted_rows
from analysis.results.ranking import rank_source
from analysis.views.trial_charts import make_history_chart
from rlhf_sweeps.config.schema import ObjectiveConfig
from rlhf_sweeps.verdicts.objective import compute_violations


def limited(folder: Path, limit: str = "eval/length<=30", **more: Any) -> None:
    """Two runs, the better one with answers of 40 tokens, and one whose record has no lengths."""
    for name, height, length in (("long", 3.0, 40.0), ("short", 2.0, 25.0), ("silent", 4.0, None)):
        metrics = [
            {k: v for k, v in {**row, "eval/length": length}.items() if "eval/score" in row or k != "eval/length"}
            for row in rows(20, height=height)
        ]
        metrics = [{key: value for key, value in row.items() if value is not None} for row in metrics]
        settings = {"objective__constraints": [limit], "ppo__lr": 1e-4 * height, **more}
        write_run(folder / name, metrics, settings=settings)


def test_constraints_hold_in_a_folder_of_runs(tmp_path: Path) -> None:
    limited(tmp_path)
    ranking = rank_source(read(tmp_path))
    assert [entry.name for entry in ranking.ranked] == ["short"]
    held = {entry.name: entry.violations["eval/length<=30"] for entry in ranking.entries}
    assert (held["long"], held["short"]) == (10.0, -5.0)
    assert np.isnan(held["silent"])
    (_, lines), *_ = said(read(tmp_path))
    assert "1 run breaks eval/length<=30 and cannot win: long" in lines
    assert "The record does not show whether 1 run keeps eval/length<=30, so it cannot win: silent" in lines


def constrained_sweep(folder: Path) -> None:
    """Trial 0 has a score of 2.8 and breaks the constraint; trial 1 has 1.9 and keeps it."""
    points = [{"ppo.lr": 1e-3}, {"ppo.lr": 1e-4}]
    sweep = write_sweep(folder, points, updates=20, heights=[3.0, 2.0], study=False)
    for number, length in ((0, 40.0), (1, 25.0)):
        metrics = [
            {**row, "eval/length": length} if "eval/score" in row else row for row in rows(20, height=3 - number)
        ]
        settings = {"objective__constraints": ["eval/length<=30"], "ppo__lr": points[number]["ppo.lr"]}
        told = [f"ppo.lr={points[number]['ppo.lr']}"]
        for file in ("run.json", "summary.json"):
            lose(sweep.trial(number) / file)
        write_run(sweep.trial(number), metrics, settings=settings, overrides=told)


def test_constraints_hold_without_the_study_and_in_a_folder_of_sweeps(tmp_path: Path) -> None:
    constrained_sweep(tmp_path / "one")
    alone = read(tmp_path / "one")
    assert [trial.violations for trial in alone.trials] == [{"eval/length<=30": 10.0}, {"eval/length<=30": -5.0}]
    assert [entry.name for entry in rank_source(alone).ranked] == ["1"]
    constrained_sweep(tmp_path / "two")
    assert [list(entry.names) for entry in rank_source(read(tmp_path)).ranked] == [["one/1", "two/1"]]


@pytest.mark.parametrize("reduction", ["best", "last", "mean"])
def test_constraints_are_those_of_the_engine(reduction: str) -> None:
    """The engine's own function on the rows as it has them."""
    metrics = [{**row, "objective/length": 20.0 + row["update"]} for row in rows(20)]
    given = ["objective/length<=30", "eval/kl>=7.5"]
    flat = {"objective.metrics": ["eval/score"], "objective.directions": ["maximize"], "objective.reduction": reduction}
    flat |= {"objective.mean_over": 2, "objective.kl_budget": 7.8, "objective.constraints": given}
    columns = {name: np.array([row.get(name, np.nan) for row in metrics]) for name in metrics[-1] | metrics[0]}
    run = RunRecord("a", columns, flat)
    engine = ObjectiveConfig(["eval/score"], ["maximize"], reduction, 2, 7.8, given)
    assert measure_violations(run) == pytest.approx(compute_violations(metrics, engine))
    updates = [row["update"] for row in select_counted_rows(run)]
    # eval/kl is 8 (1 - exp(-update / 5)): 5.06, 6.92, 7.60 and 7.85 at 5, 10, 15 and 20, of which the last is too much.
    assert updates == {"best": [15], "last": [15], "mean": [10, 15]}[reduction]


# Constraints over seeds, and where a study says less than the runs


def test_a_limit_holds_in_the_mean_over_seeds(tmp_path: Path) -> None:
    """The engine's rule: lengths of 31 and 25 keep a limit of 30 together, in one sweep as in a folder of two."""
    for sweep in ("one", "two"):
        for seed, length in ((0, 31.0), (1, 25.0)):
            metrics = evaluated({15: (2.0, 3.0)}, **{"eval/length": length})
            settings = {"objective__constraints": ["eval/length<=30"], "ppo__lr": 1e-3, "seed": seed}
            write_run(tmp_path / sweep / "0" / f"seed_{seed}", metrics, settings=settings, overrides=["ppo.lr=0.001"])
        metrics = evaluated({15: (1.0, 3.0)}, **{"eval/length": 20.0})
        settings = {"objective__constraints": ["eval/length<=30"], "ppo__lr": 1e-4}
        write_run(tmp_path / sweep / "1" / "seed_0", metrics, settings=settings, overrides=["ppo.lr=0.0001"])
    assert [entry.name for entry in rank_source(read(tmp_path / "one")).ranked] == ["0", "1"]
    ranked = rank_source(read(tmp_path)).ranked
    assert [len(entry.names) for entry in ranked] == [4, 2]
    assert ranked[0].name == "one/0/seed_0"


def test_a_study_that_knows_no_limits_is_asked_for_none(tmp_path: Path) -> None:
    points = [{"ppo.lr": 1e-3}, {"ppo.lr": 1e-4}]
    sweep = write_sweep(tmp_path / "s", points, updates=20, heights=[3.0, 2.0])
    for number, length in ((0, 40.0), (1, 25.0)):
        metrics = [
            {**row, "eval/length": length} if "eval/score" in row else row for row in rows(20, height=3 - number)
        ]
        for file in ("run.json", "summary.json"):
            lose(sweep.trial(number) / file)
        settings = {"objective__constraints": ["eval/length<=30"], "ppo__lr": points[number]["ppo.lr"]}
        told = [f"ppo.lr={points[number]['ppo.lr']}"]
        write_run(sweep.trial(number), metrics, settings=settings, overrides=told)
    assert [entry.name for entry in rank_source(read(tmp_path / "s")).ranked] == ["1"]
    (tmp_path / "s" / "study.db").unlink()
    ranking = rank_source(read(tmp_path / "s"))
    chart = make_history_chart(ranking, ranking.view)
    assert chart is not None
    broken_by = layers_of(chart.panels[0])["constraints not kept"]
    assert isinstance(broken_by, Points)
    assert list(broken_by.x) == [0]


def test_the_base_policy_is_held_to_no_limit(tmp_path: Path) -> None:
    metrics = evaluated({15: (2.0, 20.0)}, **{"eval/length": 40.0})
    end = summary(metrics, objective=-0.1, objectives=[-0.1], best=None, best_update=None)
    write_run(tmp_path / "run", metrics, settings={"objective__constraints": ["eval/length<=30"]}, end=end)
    assert measure_violations(read(tmp_path / "run").runs[0]) == {}
