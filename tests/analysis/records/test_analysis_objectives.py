"""What runs looked for is theirs: joining folders loses no objective."""

from pathlib import Path

import numpy as np
import pytest
from helpers.objective_runs import kl_run, said
from helpers.objective_runs import mixed as mixed
from helpers.records import lose, rows, write_run, write_sweep

from analysis.comparison.compare import compare_groups
from analysis.reading.sources import read
from analysis.reading.wandb_runs import WandbRun, make_run
from analysis.reading.wandb_sweeps import make_source
from analysis.records.objective import Objective, parse_list, read_objective
from analysis.records.runs import RunRecord
from analysis.records.worth import measure_violations
from analysis.results.ranking import rank_source
from analysis.views.report import make_report_page
from analysis.wording.errors import AnalysisError


def test_each_objective_is_ranked_apart(mixed: Path) -> None:
    source = read(mixed)
    ranking = rank_source(source)
    assert ranking.best is None
    assert not ranking.ranked
    assert [part.runs[0].looked_for for part, _ in ranking.apart] == [
        Objective(("eval/score",), ("maximize",)),
        Objective(("eval/kl",), ("minimize",)),
    ]
    assert [[entry.name for entry in one.ranked] for _, one in ranking.apart] == [
        ["a_score/2", "a_score/1", "a_score/0"],
        ["b_kl/run_1", "b_kl/run_2", "b_kl/run_0"],
    ]
    assert [entry.name for entry in ranking.leaders][:3] == ["a_score/2", "b_kl/run_1", "a_score/1"]
    assert [entry.name for entry in ranking.winners] == ["a_score/2", "b_kl/run_1"]


def test_the_answer_names_the_best_of_each(mixed: Path) -> None:
    questions = dict(said(read(mixed)))
    (intro,) = questions["Which setting is best?"]
    assert intro == (
        "None overall, since the runs have different objectives: maximize eval/score (3 runs) and minimize eval/kl "
        "(3 runs)"
    )
    assert questions["Which setting is best, to maximize eval/score?"][0].startswith(
        "Run a_score/2 leads (not decided) with ppo.lr=0.001"
    )
    (first, *_) = questions["Which setting is best, to minimize eval/kl?"]
    assert first.startswith("Run b_kl/run_1 leads (not decided) with ppo.lr=2e-05")
    assert first.endswith("its objective is 3")
    assert questions["By how much, to minimize eval/kl?"][0] == "2 better than the second, run b_kl/run_2 (5)"


def test_the_report_shows_each_by_its_own(mixed: Path) -> None:
    page = make_report_page(read(mixed))
    assert "Left out of this report" not in page
    for text in ("To maximize eval/score", "To minimize eval/kl", "Run b_kl/run_1 leads", "b_kl/run_0 leads"):
        assert (text in page) == (text != "b_kl/run_0 leads"), text


def test_they_are_not_compared_by_their_objectives(mixed: Path) -> None:
    with pytest.raises(AnalysisError, match="maximize eval/score and minimize eval/kl"):
        compare_groups(read(mixed), "ppo.lr")
    assert compare_groups(read(mixed), "ppo.lr", "eval/score").groups[0].label == "0.001"
    found = compare_groups(read(mixed), "run", "eval/kl")  # whose direction one of the objectives tells
    assert found.measure.is_lower_better
    assert found.groups[-1].label == "b_kl/run_0"


def test_where_all_look_for_one_thing_a_folder_keeps_it(tmp_path: Path) -> None:
    for number, kl in enumerate((9.0, 3.0)):
        kl_run(tmp_path / f"run_{number}", kl, ppo__lr=1e-5 * (number + 1))
    source = read(tmp_path)
    assert (list(source.metrics), list(source.directions)) == (["eval/kl"], ["minimize"])
    assert [entry.name for entry in rank_source(source).ranked] == ["run_1", "run_0"]


def test_a_run_whose_config_is_lost_takes_what_all_others_look_for_and_says_so(tmp_path: Path) -> None:
    for number, kl in enumerate((9.0, 3.0, 5.0)):
        kl_run(tmp_path / f"run_{number}", kl, ppo__lr=1e-5 * (number + 1))
    lose(tmp_path / "run_0" / "run.json")
    source = read(tmp_path)
    assert [entry.name for entry in rank_source(source).ranked] == ["run_1", "run_2", "run_0"]
    expected = "run_0: no config names an objective; assumed to be that of the other runs (minimize eval/kl)"
    assert expected in source.problems


def test_where_others_look_for_different_things_it_is_not_ranked(mixed: Path) -> None:
    lose(mixed / "b_kl" / "run_0" / "run.json")
    source = read(mixed)
    ranking = rank_source(source)
    assert [[entry.name for entry in one.ranked] for _, one in ranking.apart][1] == ["b_kl/run_1", "b_kl/run_2"]
    assert {entry.name for entry in ranking.entries} == {run.name for run in source.runs}
    assert dict(said(source))["Which setting is best?"][1] == (
        "The objective of b_kl/run_0 is unknown, so none of them can be called the best"
    )
    assert "Left out of this report" not in make_report_page(source)


def test_a_table_writes_its_lists_as_texts() -> None:
    said = {"objective.metrics": "['eval/kl']", "objective.directions": '["minimize"]'}
    assert read_objective(said) == Objective(("eval/kl",), ("minimize",))
    assert parse_list("eval/length<=30") == ["eval/length<=30"]
    assert parse_list("[a, b]") == ["a", "b"]
    assert parse_list("[a, b") == ["[a, b"]
    assert parse_list(None) == parse_list("") == parse_list(3) == []
    columns = {"update": np.array([5.0]), "eval/kl": np.array([2.0]), "eval/length": np.array([40.0])}
    run = RunRecord("a", columns, {**said, "objective.constraints": "['eval/length<=30']"})
    assert measure_violations(run) == {"eval/length<=30": 10.0}


def test_test_seeds_of_a_folder_of_sweeps_are_quoted(tmp_path: Path) -> None:
    for name in ("one", "two"):
        sweep = write_sweep(tmp_path / name, [{"ppo.lr": 1e-4}, {"ppo.lr": 1e-3}], heights=[1.0, 2.0 + (name == "two")])
        for seed in (7, 8):
            settings = {"seed": seed, "ppo__lr": 1e-3, "name": name}
            write_run(sweep.test_run(1, seed).folder, rows(height=2.0 + 0.1 * seed), settings=settings)
    told = dict(said(read(tmp_path)))["Which setting is best?"]
    assert "on 4 seeds that had no part in choosing it: this is the number to report" in told[0]


def test_a_run_beside_the_trials_is_told(tmp_path: Path) -> None:
    write_sweep(tmp_path / "s", [{"ppo.lr": 1e-4}, {"ppo.lr": 1e-3}])
    write_run(tmp_path / "s" / "baseline")
    expected = "baseline: no trial of this sweep, so left out; a command with this folder as PLACE reads it"
    assert expected in read(tmp_path / "s").problems
    assert [run.name for run in read(tmp_path / "s" / "baseline").runs] == ["baseline"]


def wandb_run(name: str, group: str, objective: tuple[str, str], values: dict[str, float]) -> WandbRun:
    metric, direction = objective
    settings = {"objective": {"metrics": [metric], "directions": [direction]}, "ppo": {"lr": len(name) * 1e-5}}
    rows_of = [{"update": update, **values} for update in (1, 2)]
    run = make_run(settings, rows_of, {"status": "complete", "objective": values[metric]}, "finished")
    return WandbRun(name, name, group, run, settings=settings)


@pytest.mark.parametrize("groups", [["g", "g", "g"], ["", "", ""], ["g", "h", "g"]])
def test_runs_of_wandb_are_ranked_by_what_each_looks_for(groups: list[str]) -> None:
    score, kl = ("eval/score", "maximize"), ("eval/kl", "minimize")
    runs = [
        wandb_run("a", groups[0], score, {"eval/score": 2.0, "eval/kl": 7.0}),
        wandb_run("bb", groups[1], kl, {"eval/score": 1.0, "eval/kl": 9.0}),
        wandb_run("ccc", groups[2], kl, {"eval/score": 1.0, "eval/kl": 3.0}),
    ]
    source = make_source("w", runs, [])
    assert not source.trials
    apart = sorted((one for _, one in rank_source(source).apart), key=lambda one: len(one.ranked))
    assert [[entry.name.split("/")[-1] for entry in one.ranked] for one in apart] == [["a"], ["ccc", "bb"]]
