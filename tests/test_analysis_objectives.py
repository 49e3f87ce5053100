"""What runs looked for is theirs: joining folders loses neither objectives nor constraints."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from records import config, lose, rows, samples, summary, write_run, write_sweep

from analysis.comparison.compare import compare
from analysis.errors import AnalysisError
from analysis.objective import Objective, listed_in, objective_in
from analysis.ranking import rank
from analysis.reading.sources import read
from analysis.reading.wandb_runs import WandbRun, make_run
from analysis.reading.wandb_sweeps import make_source
from analysis.records import RunRecord, Source
from analysis.report.answer import answers, tiles
from analysis.report.report import report
from analysis.report.samples import sample_parts
from analysis.sweep.figures import figures
from analysis.worth import broken, counted_rows
from rlhf_sweeps.config import ObjectiveConfig
from rlhf_sweeps.objective import violations

LOOKS_FOR_KL = {"objective__metrics": ["eval/kl"], "objective__directions": ["minimize"]}


def said(source: Source) -> list[tuple[str, list[str]]]:
    return [(question, list(lines)) for question, lines in answers(source, rank(source), [], []).answers]


def kl_run(folder: Path, kl: float, **settings: Any) -> None:
    """A run that minimizes its KL, worth the last."""
    metrics = [{**row, "eval/kl": kl} if "eval/score" in row else row for row in rows(20, height=1.0)]
    end = summary(metrics, objective=kl, objectives=[kl])
    write_run(folder, metrics, settings={**LOOKS_FOR_KL, **settings}, end=end)


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A sweep that maximizes eval/score, worth 0.9, 1.9 and 2.8, and runs that minimize eval/kl, worth 9, 3 and 5."""
    write_sweep(tmp_path / "a_score", [{"ppo.lr": lr} for lr in (1e-5, 1e-4, 1e-3)], updates=20, heights=[1, 2, 3])
    for number, kl in enumerate((9.0, 3.0, 5.0)):
        kl_run(tmp_path / "b_kl" / f"run_{number}", kl, ppo__lr=1e-5 * (number + 1))
    return tmp_path


def test_each_objective_is_ranked_apart(mixed: Path) -> None:
    source = read(mixed)
    ranking = rank(source)
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
    (intro,) = questions["Which settings won?"]
    assert intro == (
        "None over all, since the runs look for different things: maximize eval/score (3 runs) and minimize eval/kl "
        "(3 runs)"
    )
    assert questions["Which settings won, to maximize eval/score?"][0].startswith("Run a_score/2 won with ppo.lr=0.001")
    (first, *_) = questions["Which settings won, to minimize eval/kl?"]
    assert first.startswith("Run b_kl/run_1 won with ppo.lr=2e-05")
    assert first.endswith("its eval/kl is 3")
    assert questions["By how much, to minimize eval/kl?"][0] == "2 better than the second, run b_kl/run_2 (5)"


def test_the_report_shows_each_by_its_own(mixed: Path) -> None:
    page = report(read(mixed))
    assert "Left out of this report" not in page
    for text in ("To maximize eval/score", "To minimize eval/kl", "Run b_kl/run_1 won", "b_kl/run_0 won"):
        assert (text in page) == (text != "b_kl/run_0 won"), text


def test_they_are_not_compared_by_their_objectives(mixed: Path) -> None:
    with pytest.raises(AnalysisError, match="maximize eval/score and minimize eval/kl"):
        compare(read(mixed), "ppo.lr")
    assert compare(read(mixed), "ppo.lr", "eval/score").groups[0].label == "0.001"
    found = compare(read(mixed), "run", "eval/kl")  # whose direction one of the objectives tells
    assert found.measure.is_lower_better
    assert found.groups[-1].label == "b_kl/run_0"


def test_where_all_look_for_one_thing_a_folder_keeps_it(tmp_path: Path) -> None:
    for number, kl in enumerate((9.0, 3.0)):
        kl_run(tmp_path / f"run_{number}", kl, ppo__lr=1e-5 * (number + 1))
    source = read(tmp_path)
    assert (list(source.metrics), list(source.directions)) == (["eval/kl"], ["minimize"])
    assert [entry.name for entry in rank(source).ranked] == ["run_1", "run_0"]


# Constraints


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
    ranking = rank(read(tmp_path))
    assert [entry.name for entry in ranking.ranked] == ["short"]
    held = {entry.name: entry.violations["eval/length<=30"] for entry in ranking.entries}
    assert (held["long"], held["short"]) == (10.0, -5.0)
    assert np.isnan(held["silent"])
    (_, lines), *_ = said(read(tmp_path))
    assert "1 run breaks eval/length<=30 and cannot win: long" in lines
    assert (
        "Whether 1 run keeps eval/length<=30 is unknown, since the record does not tell, so it cannot win: silent"
        in lines
    )


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
    assert [entry.name for entry in rank(alone).ranked] == ["1"]
    constrained_sweep(tmp_path / "two")
    assert [list(entry.names) for entry in rank(read(tmp_path)).ranked] == [["one/1", "two/1"]]


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
    assert broken(run) == pytest.approx(violations(metrics, engine))
    updates = [row["update"] for row in counted_rows(run)]
    # eval/kl is 8 (1 - exp(-update / 5)): 5.06, 6.92, 7.60 and 7.85 at 5, 10, 15 and 20, of which the last is too much.
    assert updates == {"best": [15], "last": [15], "mean": [10, 15]}[reduction]


# The evaluation that counted


@pytest.mark.parametrize(
    ("reduction", "told"),
    [
        ("last", "That is after update 15, at a KL of 6 nats to the base policy"),
        ("best", "That is after update 10, at a KL of 4 nats to the base policy"),
        ("mean", "That is the mean of 2 evaluations in updates 10 to 15, at a KL of 5 nats to the base policy"),
    ],
)
def test_the_answer_names_the_evaluation_that_counted(tmp_path: Path, reduction: str, told: str) -> None:
    """Scores of 0.2, 0.9 and 0.5 at updates 5, 10 and 15, with a KL of 2, 4 and 6."""
    scores = {5: (0.2, 2.0), 10: (0.9, 4.0), 15: (0.5, 6.0)}
    metrics = [
        {**row, "eval/score": scores[row["update"]][0], "eval/kl": scores[row["update"]][1]}
        if row["update"] in scores
        else row
        for row in rows(15)
    ]
    worth = {"last": 0.5, "best": 0.9, "mean": 0.7}[reduction]
    end = summary(metrics, objective=worth, objectives=[worth])
    settings = {"objective": {**config()["objective"], "reduction": reduction, "mean_over": 2}}
    write_run(tmp_path / "run", metrics, settings=settings, end=end)
    (_, lines), *_ = said(read(tmp_path / "run"))
    assert lines[0].endswith(f"its eval/score is {worth}")
    assert lines[1] == told


def test_a_run_beyond_its_budget_is_worth_the_base(tmp_path: Path) -> None:
    metrics = rows(15)
    end = summary(metrics, objective=-0.1, objectives=[-0.1])
    write_run(tmp_path / "run", metrics, settings={"objective__kl_budget": 1.5}, end=end)
    (_, lines), *_ = said(read(tmp_path / "run"))
    assert lines[1] == "It never stayed within the KL budget of 1.5 nats, and is worth what the base policy is"


@pytest.mark.parametrize(("reduction", "worth"), [("last", 0.5), ("best", 0.9), ("mean", 0.7)])
def test_a_run_without_a_summary_is_worth_what_the_engine_would_say(
    tmp_path: Path, reduction: str, worth: float
) -> None:
    scores = {5: 0.2, 10: 0.9, 15: 0.5}
    metrics = [{**row, "eval/score": scores[row["update"]]} if row["update"] in scores else row for row in rows(15)]
    settings = {"objective": {**config()["objective"], "reduction": reduction, "mean_over": 2}}
    for name in ("a", "b"):
        write_run(tmp_path / name, metrics, settings={**settings, "ppo__lr": ord(name) / 1e5}, end=None)
    assert [entry.worth for entry in rank(read(tmp_path)).ranked] == [pytest.approx(worth)] * 2


# What a record has lost


def test_a_run_whose_config_is_lost_takes_what_all_others_look_for_and_says_so(tmp_path: Path) -> None:
    for number, kl in enumerate((9.0, 3.0, 5.0)):
        kl_run(tmp_path / f"run_{number}", kl, ppo__lr=1e-5 * (number + 1))
    lose(tmp_path / "run_0" / "run.json")
    source = read(tmp_path)
    assert [entry.name for entry in rank(source).ranked] == ["run_1", "run_2", "run_0"]
    expected = "run_0: no config tells what it looked for: taken to be what the others do (minimize eval/kl)"
    assert expected in source.problems


def test_where_others_look_for_different_things_it_is_not_ranked(mixed: Path) -> None:
    lose(mixed / "b_kl" / "run_0" / "run.json")
    source = read(mixed)
    ranking = rank(source)
    assert [[entry.name for entry in one.ranked] for _, one in ranking.apart][1] == ["b_kl/run_1", "b_kl/run_2"]
    assert {entry.name for entry in ranking.entries} == {run.name for run in source.runs}
    assert dict(said(source))["Which settings won?"][1] == (
        "What b_kl/run_0 looked for is unknown, so that nothing is best among them"
    )
    assert "Left out of this report" not in report(source)


def evaluated(worths: dict[int, tuple[float, float]], **more: float) -> list[dict[str, Any]]:
    """Rows of 15 updates, evaluated at some of them: update -> (score, KL)."""
    found = []
    for row in rows(15):
        base = {name: value for name, value in row.items() if not name.startswith("eval/")}
        if row["update"] in worths:
            score, kl = worths[row["update"]]
            base |= {"eval/score": score, "eval/kl": kl, "eval/base_score": -0.1, **more}
        found.append(base)
    return found


def test_rows_that_are_lost_make_nothing_up(tmp_path: Path) -> None:
    """The best evaluation, 0.9 at update 5, is cut; those that are left are over the budget of 15 nats."""
    metrics = evaluated({10: (0.4, 20.0), 15: (0.5, 22.0)}, **{"eval/length": 40.0})
    best = {"update": 5, "score": 0.9, "kl": 4.0}
    end = summary(metrics, objective=0.9, objectives=[0.9], best=best, best_update=5)
    write_run(tmp_path / "run", metrics, settings={"objective__constraints": ["eval/length<=30"]}, end=end)
    ranking = rank(read(tmp_path / "run"))
    assert ranking.best is None
    assert np.isnan(ranking.entries[0].violations["eval/length<=30"])
    write_run(tmp_path / "free", metrics, end=end)
    (_, lines), *_ = said(read(tmp_path / "free"))
    assert lines[1] == "That is after update 5, at a KL of 4 nats to the base policy"


@pytest.mark.parametrize("reduction", ["best", "last"])
def test_an_update_is_named_only_where_it_makes_the_objective(tmp_path: Path, reduction: str) -> None:
    """The row that counted, 0.7, is lost: neither 0.2 at update 5 nor 0.5 at 15 is it."""
    metrics = evaluated({5: (0.2, 1.0), 15: (0.5, 3.0)})
    end = summary(metrics, objective=0.7, objectives=[0.7], best=None, best_update=None)
    settings = {"objective": {**config()["objective"], "reduction": reduction}}
    write_run(tmp_path / "run", metrics, settings=settings, end=end)
    (_, lines), *_ = said(read(tmp_path / "run"))
    assert not any("update" in line for line in lines)


def test_without_a_summary_it_is_said_how_the_worth_is_known(tmp_path: Path) -> None:
    scores = {5: (0.2, 1.0), 10: (0.9, 2.0), 15: (0.5, 3.0)}
    settings = {"objective": {**config()["objective"], "reduction": "last"}}
    for name in ("a", "b"):
        write_run(tmp_path / name, evaluated(scores), settings={**settings, "ppo__lr": ord(name) / 1e5}, end=None)
    (_, lines), *_ = said(read(tmp_path))
    assert lines[0].endswith("its eval/score is 0.5, computed from its evaluations; no run has come to its end")
    assert lines[1] == "That is after update 15, at a KL of 3 nats to the base policy"
    write_run(tmp_path / "c", evaluated({5: (0.2, 20.0)}), end=None)
    (_, lines), *_ = said(read(tmp_path / "c"))
    assert lines[0].endswith("its eval/score is -0.1, computed from its evaluations; no run has come to its end")
    assert lines[1].startswith("It never stayed within the KL budget of 15 nats")


def test_interrupted_runs_win_nothing_without_a_word(tmp_path: Path) -> None:
    for name, updates in (("a", 5), ("b", 25)):
        metrics = rows(updates)
        end = summary(metrics, "stopped", stop_reason="interrupted")
        write_run(tmp_path / name, metrics, settings={"ppo__lr": updates * 1e-5}, end=end)
    (_, lines), *_ = said(read(tmp_path))
    assert lines[0].endswith("; no run has come to its end")


def test_of_several_objectives_without_a_summary_all_count(tmp_path: Path) -> None:
    both = {"objective__metrics": ["eval/score", "eval/kl"], "objective__directions": ["maximize", "minimize"]}
    for number in (1, 2, 3):  # a higher score at a higher KL: nobody beats another in both
        metrics = evaluated({15: (0.5 * number, 2.0 * number)})
        write_run(tmp_path / f"r{number}", metrics, settings={**both, "ppo__lr": number * 1e-5}, end=None)
    (_, lines), *_ = said(read(tmp_path))
    assert lines[0].startswith("By eval/score and eval/kl there is no single best one; 3 are not beaten in all at once")


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
    assert [entry.name for entry in rank(read(tmp_path / "one")).ranked] == ["0", "1"]
    ranked = rank(read(tmp_path)).ranked
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
    assert [entry.name for entry in rank(read(tmp_path / "s")).ranked] == ["1"]
    (tmp_path / "s" / "study.db").unlink()
    shown = figures(read(tmp_path / "s"))["history"]
    infeasible = next(trace for trace in shown.data if trace.name == "Infeasible Trial")
    assert list(infeasible.x) == [0]


def test_the_base_policy_is_held_to_no_limit(tmp_path: Path) -> None:
    metrics = evaluated({15: (2.0, 20.0)}, **{"eval/length": 40.0})
    end = summary(metrics, objective=-0.1, objectives=[-0.1], best=None, best_update=None)
    write_run(tmp_path / "run", metrics, settings={"objective__constraints": ["eval/length<=30"]}, end=end)
    assert broken(read(tmp_path / "run").runs[0]) == {}


def test_a_table_writes_its_lists_as_texts() -> None:
    said = {"objective.metrics": "['eval/kl']", "objective.directions": '["minimize"]'}
    assert objective_in(said) == Objective(("eval/kl",), ("minimize",))
    assert listed_in("eval/length<=30") == ["eval/length<=30"]
    assert listed_in("[a, b]") == ["a", "b"]
    assert listed_in("[a, b") == ["[a, b"]
    assert listed_in(None) == listed_in("") == listed_in(3) == []
    columns = {"update": np.array([5.0]), "eval/kl": np.array([2.0]), "eval/length": np.array([40.0])}
    run = RunRecord("a", columns, {**said, "objective.constraints": "['eval/length<=30']"})
    assert broken(run) == {"eval/length<=30": 10.0}


def test_samples_are_those_of_the_evaluation_that_counted(tmp_path: Path) -> None:
    metrics = evaluated({5: (0.2, 1.0), 10: (0.9, 2.0), 15: (0.5, 3.0)})
    settings = {"objective": {**config()["objective"], "reduction": "last"}}
    run = write_run(tmp_path / "run", metrics, settings=settings, end=summary(metrics, objective=0.5, objectives=[0.5]))
    for update in (5, 10, 15):
        run.append_samples(samples(update, [("a prompt", "base", f"answer at {update}")]))
    source = read(tmp_path / "run")
    (block,) = sample_parts(source, rank(source))
    assert [one.title for one in block.content] == ["Run run, the best, after update 15"]  # type: ignore[union-attr]


def test_test_seeds_of_a_folder_of_sweeps_are_quoted(tmp_path: Path) -> None:
    for name in ("one", "two"):
        sweep = write_sweep(tmp_path / name, [{"ppo.lr": 1e-4}, {"ppo.lr": 1e-3}], heights=[1.0, 2.0 + (name == "two")])
        for seed in (7, 8):
            settings = {"seed": seed, "ppo__lr": 1e-3, "name": name}
            write_run(sweep.test_run(1, seed).folder, rows(height=2.0 + 0.1 * seed), settings=settings)
    told = dict(said(read(tmp_path)))["Which settings won?"]
    assert "on 4 seeds that had no part in choosing it: that is the number to quote" in told[0]


def test_a_run_beside_the_trials_is_told(tmp_path: Path) -> None:
    write_sweep(tmp_path / "s", [{"ppo.lr": 1e-4}, {"ppo.lr": 1e-3}])
    write_run(tmp_path / "s" / "baseline")
    expected = "baseline: no trial of this sweep, so not read with it; name it to read it"
    assert expected in read(tmp_path / "s").problems
    assert [run.name for run in read(tmp_path / "s" / "baseline").runs] == ["baseline"]


def test_updates_are_counted_and_not_rows(tmp_path: Path) -> None:
    sparse = rows(100)[9::10]
    write_run(tmp_path / "run", sparse, end=None)
    source = read(tmp_path / "run")
    assert source.runs[0].num_updates == 100
    assert ("Updates", "100", "in all runs") in tiles(source, rank(source)).tiles
    assert "A run of 100 updates" in report(source)


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
    apart = sorted((one for _, one in rank(source).apart), key=lambda one: len(one.ranked))
    assert [[entry.name.split("/")[-1] for entry in one.ranked] for one in apart] == [["a"], ["ccc", "bb"]]
