"""Which rows of a table are a run's, at which update: axes, runs that start again, restarts, late evaluations."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.written_cells import source_of

from analysis.reading.sources import read
from analysis.records.runs import RunRecord
from analysis.wording.errors import AnalysisError


def table_of(tmp_path: Path, text: str) -> list[RunRecord]:
    return list(source_of(tmp_path, text).runs)


def test_rows_without_an_update_column_are_counted(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("reward\n1\n2\n3\n", encoding="utf-8")
    np.testing.assert_array_equal(read(tmp_path / "t.csv").runs[0].updates, [0, 1, 2])


def test_a_run_begins_where_the_updates_start_again(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("update;kl_coef;reward\n0;0.1;1\n1;0.1;2\n0;0.2;3\n1;0.2;4\n", encoding="utf-8")
    source = read(tmp_path / "t.csv")
    assert source.axes == ["kl_coef"]
    assert [(run.name, run.look_up("kl_coef")) for run in source.runs] == [("t 0", 0.1), ("t 1", 0.2)]
    assert source.runs[1].select_points("objective/rlhf_reward")[1].tolist() == [3, 4]


def test_an_update_that_stands_there_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("update,reward\n0,1\n0,2\n", encoding="utf-8")
    with pytest.raises(AnalysisError, match="update 0 occurs twice"):
        read(tmp_path / "t.csv")


def test_times_do_not_hide_that_a_run_starts_again(tmp_path: Path) -> None:
    runs = table_of(tmp_path, "time,update,kl\n1:00,1,2\n1:05,2,3\n1:10,1,4\n1:15,2,5\n")
    assert [run.select_points("objective/kl")[1].tolist() for run in runs] == [[2, 3], [4, 5]]


def logged(rows: list[tuple[int, float | None, float | None]]) -> str:
    """The history of a W&B run as a table: its steps and times grow, whatever was logged."""
    cells = [["" if value is None else str(value) for value in row] for row in rows]
    lines = [f"{n},{1000 + n},{','.join(row)}\n" for n, row in enumerate(cells)]
    return "".join(["_step,_timestamp,update,reward,eval/score\n", *lines])


def training(first: int, last: int, shift: float = 0.0) -> list[tuple[int, float | None, float | None]]:
    return [(update, update / 10 + shift, None) for update in range(first, last + 1)]


@pytest.mark.parametrize("evaluated", [4, 5])
def test_an_evaluation_with_a_row_of_its_own_takes_nothing_back(tmp_path: Path, evaluated: int) -> None:
    """At once, or late: that of update 5 comes after update 8; also where update 4 was not logged otherwise."""
    for position in (evaluated, 8):
        rows = [row for row in training(1, 20) if row[0] != 4]
        rows.insert(position, (evaluated, None, 1.6))
        source = source_of(tmp_path, logged(rows))
        (run,) = source.runs
        assert [values.tolist() for values in run.select_points("eval/score")] == [[evaluated], [1.6]]
        updates, rewards = run.select_points("objective/rlhf_reward")
        assert updates.tolist() == [1, 2, 3, *range(5, 21)]
        assert rewards.tolist() == [update / 10 for update in updates]
        assert source.problems == ()


def test_a_restart_and_a_late_evaluation_in_one_history(tmp_path: Path) -> None:
    rows = [*training(1, 12), (5, None, 1.6), *training(9, 14, 50), (9, None, 2.5)]
    source = source_of(tmp_path, logged(rows))
    (run,) = source.runs
    assert run.updates.tolist() == list(range(1, 15))
    expected = [*(update / 10 for update in range(1, 9)), *(update / 10 + 50 for update in range(9, 15))]
    assert run.select_points("objective/rlhf_reward")[1].tolist() == expected
    assert [values.tolist() for values in run.select_points("eval/score")] == [[5, 9], [1.6, 2.5]]
    assert source.problems == (
        "the updates go back from 12 to 9: taken for a continued run, so the later values count",
    )


def test_a_refusal_names_an_update_that_stands_there_twice(tmp_path: Path) -> None:
    for twice, told in (([5], "update 5 occurs twice"), ([5, 7], "update 5 and others occur twice")):
        rows = sorted([*training(1, 9), *((update, 99.0, None) for update in twice)])
        with pytest.raises(AnalysisError, match=told):
            source_of(tmp_path, logged(rows))


def test_updates_may_be_counted_in_episodes(tmp_path: Path) -> None:
    source = source_of(tmp_path, "episode,kl\n64,1\n128,2\n192,3\n")
    assert source.runs[0].updates.tolist() == [64, 128, 192]
    assert source.problems == ("no column counts the updates: they are taken from column episode",)
    source = source_of(tmp_path, "episode,_step,update,kl\n64,0,1,1\n128,1,2,2\n")
    assert (source.runs[0].updates.tolist(), source.problems) == ([1, 2], ())
    assert source.runs[0].select_points("episode")[1].tolist() == [64, 128]
    source = source_of(tmp_path, "_step,train/global_step,kl\n0,10,1\n1,20,2\n")
    assert source.runs[0].updates.tolist() == [10, 20]
    assert source_of(tmp_path, "kl\n1\n2\n").problems == ("no column counts the updates: rows are counted from 0",)


def test_where_updates_go_back_some_way_the_later_values_count(tmp_path: Path) -> None:
    rows = [*((i, i) for i in range(30)), *((i, 100 + i) for i in range(20, 40))]
    (tmp_path / "t.csv").write_text("update,kl\n" + "".join(f"{u},{kl}\n" for u, kl in rows), encoding="utf-8")
    source = read(tmp_path / "t.csv")
    (run,) = source.runs
    assert run.select_points("objective/kl")[1].tolist() == [*range(20), *range(120, 140)]
    assert source.problems == (
        "the updates go back from 29 to 20: taken for a continued run, so the later values count",
    )


def test_rows_of_several_runs_mixed_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match="a column `run` must distinguish the runs"):
        table_of(tmp_path, "update,kl\n2,1\n1,1\n2,2\n1,2\n3,2\n3,4\n")


def test_updates_must_be_numbers(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match="column step: must hold the updates' numbers"):
        table_of(tmp_path, "step,kl\none,1\ntwo,2\n")


@pytest.mark.parametrize(
    ("steps", "kept"),
    [
        ([1, 2, 3, 4, 5, 6, 4, 5], [1, 2, 3, 4, 5]),
        ([*range(10, 110, 10), 95, 105], [*range(10, 100, 10), 95, 105]),  # no step comes twice; 100 is dead
        ([*range(100, 120), *range(1, 20)], [*range(1, 20), *range(100, 120)]),  # two parts in another order
        ([5, 4, 3, 2, 1], [1, 2, 3, 4, 5]),
        ([10, 20, 30, 40, 25, 35, 45, 55], [10, 20, 25, 35, 45, 55]),  # a short table
    ],
)
@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "trainer_state.json"])
def test_a_restart_leaves_nothing_beyond_it(tmp_path: Path, name: str, steps: list[int], kept: list[int]) -> None:
    rows = [{"step": step, "kl": position} for position, step in enumerate(steps)]
    if name == "t.csv":
        text = pd.DataFrame(rows).to_csv(index=False)
    else:
        text = json.dumps({"log_history": rows}) if name.endswith("json") else "\n".join(map(json.dumps, rows))
    source = source_of(tmp_path, text, name)
    (run,) = source.runs
    assert run.updates.tolist() == kept
    last = {step: position for position, step in enumerate(steps)}
    kl = "objective/kl_per_token" if name.endswith("json") else "objective/kl"  # as TRL's trainers log it
    assert run.select_points(kl)[1].tolist() == [last[step] for step in kept]
    assert len(source.problems) == (sorted({*steps}) != kept)


def test_a_restart_of_a_trainer_with_several_rows_an_update(tmp_path: Path) -> None:
    steps = [(10, 1.0, None), (10, None, 5.0), (20, 2.0, None), (20, None, 6.0), (30, 3.0, None), (30, None, 7.0)]
    rows = [
        {"step": step, "kl": kl, "eval_score": score} for step, kl, score in [*steps, (20, 9.0, None), (20, None, 8)]
    ]
    source = source_of(tmp_path, json.dumps({"log_history": rows}), "trainer_state.json")
    (run,) = source.runs
    assert run.updates.tolist() == [10, 20]
    assert run.select_points("objective/kl_per_token")[1].tolist() == [1, 9]
    assert run.select_points("eval_score")[1].tolist() == [5, 8]


def test_an_update_that_is_no_number_takes_its_row_along(tmp_path: Path) -> None:
    source = source_of(tmp_path, "step,kl\n1,5\n2,6\nmean,5.5\n45%,7\n,8\n,\n3,9\n")
    (run,) = source.runs
    assert (run.updates.tolist(), run.select_points("objective/kl")[1].tolist()) == ([1, 2, 3], [5, 6, 9])
    assert source.problems == ("column step: 3 rows have no update number (mean, 45%), left out",)


def test_a_bad_update_is_told_once(tmp_path: Path) -> None:
    for name in ("update", "step", "episode"):
        (told, *others) = source_of(tmp_path, f"{name},kl\n1,5\n2,6\ntotal,11\n").problems
        assert told == f"column {name}: 1 row has no update number (total), left out"
        assert len(others) == (name == "episode")
