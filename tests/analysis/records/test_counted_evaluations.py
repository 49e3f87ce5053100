"""Which evaluation made a run's objective: it is named where it is known, and never made up."""

from pathlib import Path

import numpy as np
import pytest
from helpers.objective_runs import evaluated, said
from helpers.records import config, rows, samples, summary, write_run

from analysis.reading.sources import read
from analysis.results.ranking import rank_source
from analysis.results.results import Results
from analysis.views.answers import make_sweep_tiles
from analysis.views.report import make_report_page
from analysis.views.samples import samples_view


@pytest.mark.parametrize(
    ("reduction", "told"),
    [
        ("last", "this was measured after update 15, at a KL of 6 nats to the base policy"),
        ("best", "this was measured after update 10, at a KL of 4 nats to the base policy"),
        ("mean", "this is the mean of 2 evaluations after updates 10 to 15, at a KL of 5 nats to the base policy"),
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
    assert lines[0].endswith(f"its objective is {worth}")
    assert lines[1] == told


def test_a_run_beyond_its_budget_is_worth_the_base(tmp_path: Path) -> None:
    metrics = rows(15)
    end = summary(metrics, objective=-0.1, objectives=[-0.1])
    write_run(tmp_path / "run", metrics, settings={"objective__kl_budget": 1.5}, end=end)
    (_, lines), *_ = said(read(tmp_path / "run"))
    assert lines[1] == "it had no evaluation within the KL budget of 1.5 nats, and counts as the base policy"


@pytest.mark.parametrize(("reduction", "worth"), [("last", 0.5), ("best", 0.9), ("mean", 0.7)])
def test_a_run_without_a_summary_is_worth_what_the_engine_would_say(
    tmp_path: Path, reduction: str, worth: float
) -> None:
    scores = {5: 0.2, 10: 0.9, 15: 0.5}
    metrics = [{**row, "eval/score": scores[row["update"]]} if row["update"] in scores else row for row in rows(15)]
    settings = {"objective": {**config()["objective"], "reduction": reduction, "mean_over": 2}}
    for name in ("a", "b"):
        write_run(tmp_path / name, metrics, settings={**settings, "ppo__lr": ord(name) / 1e5}, end=None)
    assert [entry.worth for entry in rank_source(read(tmp_path)).ranked] == [pytest.approx(worth)] * 2


def test_rows_that_are_lost_make_nothing_up(tmp_path: Path) -> None:
    """The best evaluation, 0.9 at update 5, is cut; those that are left are over the budget of 15 nats."""
    metrics = evaluated({10: (0.4, 20.0), 15: (0.5, 22.0)}, **{"eval/length": 40.0})
    best = {"update": 5, "score": 0.9, "kl": 4.0}
    end = summary(metrics, objective=0.9, objectives=[0.9], best=best, best_update=5)
    write_run(tmp_path / "run", metrics, settings={"objective__constraints": ["eval/length<=30"]}, end=end)
    ranking = rank_source(read(tmp_path / "run"))
    assert ranking.best is None
    assert np.isnan(ranking.entries[0].violations["eval/length<=30"])
    write_run(tmp_path / "free", metrics, end=end)
    (_, lines), *_ = said(read(tmp_path / "free"))
    assert lines[1] == "this was measured after update 5, at a KL of 4 nats to the base policy"


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
    assert lines[0].endswith("its objective is 0.5, computed from its evaluations; no run has finished")
    assert lines[1] == "this was measured after update 15, at a KL of 3 nats to the base policy"
    write_run(tmp_path / "c", evaluated({5: (0.2, 20.0)}), end=None)
    (_, lines), *_ = said(read(tmp_path / "c"))
    assert lines[0].endswith("its objective is -0.1, computed from its evaluations; no run has finished")
    assert lines[1].startswith("it had no evaluation within the KL budget of 15 nats")


def test_interrupted_runs_win_nothing_without_a_word(tmp_path: Path) -> None:
    for name, updates in (("a", 5), ("b", 25)):
        metrics = rows(updates)
        end = summary(metrics, "stopped", stop_reason="interrupted")
        write_run(tmp_path / name, metrics, settings={"ppo__lr": updates * 1e-5}, end=end)
    (_, lines), *_ = said(read(tmp_path))
    assert lines[0].endswith("; no run has finished")


def test_of_several_objectives_without_a_summary_all_count(tmp_path: Path) -> None:
    both = {"objective__metrics": ["eval/score", "eval/kl"], "objective__directions": ["maximize", "minimize"]}
    for number in (1, 2, 3):  # a higher score at a higher KL: nobody beats another in both
        metrics = evaluated({15: (0.5 * number, 2.0 * number)})
        write_run(tmp_path / f"r{number}", metrics, settings={**both, "ppo__lr": number * 1e-5}, end=None)
    (_, lines), *_ = said(read(tmp_path))
    assert lines[0].startswith("By eval/score and eval/kl there is no single best one; 3 are on the Pareto front")


def test_samples_are_those_of_the_evaluation_that_counted(tmp_path: Path) -> None:
    metrics = evaluated({5: (0.2, 1.0), 10: (0.9, 2.0), 15: (0.5, 3.0)})
    settings = {"objective": {**config()["objective"], "reduction": "last"}}
    run = write_run(tmp_path / "run", metrics, settings=settings, end=summary(metrics, objective=0.5, objectives=[0.5]))
    for update in (5, 10, 15):
        run.append_samples(samples(update, [("a prompt", "base", f"answer at {update}")]))
    source = read(tmp_path / "run")
    (block,) = samples_view(Results(source))
    assert [one.title for one in block.content] == ["Run run, after update 15"]  # type: ignore[union-attr]


def test_updates_are_counted_and_not_rows(tmp_path: Path) -> None:
    sparse = rows(100)[9::10]
    write_run(tmp_path / "run", sparse, end=None)
    source = read(tmp_path / "run")
    assert source.runs[0].num_updates == 100
    assert ("Updates", "100", "in all runs") in make_sweep_tiles(source, rank_source(source)).tiles
    assert "A run of 100 updates" in make_report_page(source)
