"""W&B runs as records: those of other trainers, and those of several starts. Expectations by hand."""

from typing import Any

import numpy as np
import pytest

from analysis.reading.wandb_logs import WandbLog, merge_logs
from analysis.reading.wandb_rows import find_row_axis
from analysis.reading.wandb_runs import make_run, select_samples
from analysis.records.runs import COMPLETE, UNFINISHED


def test_hugging_face_trainers_are_read_by_their_own_axis_and_names() -> None:
    rows = [
        {"_step": 0, "train/global_step": 10, "train/reward": 0.5, "train/kl": 0.01, "train/loss": 3.0},
        {"_step": 1, "train/global_step": 10, "eval/loss": 2.0},
        {"_step": 2, "train/global_step": 20, "train/reward": 0.7, "train/kl": 0.02, "train/learning_rate": 1e-5},
    ]
    run = make_run({"learning_rate": 1e-5}, rows, {"train/reward": 0.7}, "finished")

    assert {name: values.tolist() for name, values in run.metrics.items() if name != "lr"} == {
        "update": [10, 20],
        "objective/scores": [0.5, 0.7],
        "objective/kl_per_token": [0.01, 0.02],
        "loss": [3.0, pytest.approx(np.nan, nan_ok=True)],
        "eval/loss": [2.0, pytest.approx(np.nan, nan_ok=True)],
    }
    assert run.metrics["lr"][1] == 1e-5
    assert run.state == COMPLETE
    assert run.problems == ("logged no metric `update`: train/global_step is used instead",)


def test_trl_ppo_of_both_times() -> None:
    new = make_run({}, [{"train/global_step": 1, "train/episode": 8, "train/objective/kl": 0.3}], {}, "finished")
    old = make_run(
        {}, [{"_step": 4, "objective/kl": 0.3, "ppo/mean_scores": 1.0, "ppo/loss/policy": 0.2}], {}, "running"
    )

    assert {name: values.tolist() for name, values in new.metrics.items()} == {
        "update": [1],
        "episode": [8],
        "objective/kl": [0.3],
    }
    assert {name: values.tolist() for name, values in old.metrics.items()} == {
        "update": [4],
        "objective/kl": [0.3],
        "objective/scores": [1.0],
        "loss/policy_avg": [0.2],
    }
    assert old.state == UNFINISHED


def test_a_new_name_hides_no_metric() -> None:
    row = {"update": 1, "train/lr": 1.0, "lr": 2.0, "learning_rate": 3.0, "train/reward": 4.0, "reward": 5.0}
    run = make_run({}, [row], {}, "finished")

    assert {name: values.tolist() for name, values in run.metrics.items()} == {
        "update": [1],
        "train/lr": [1.0],
        "lr": [2.0],
        "learning_rate": [3.0],
        "objective/scores": [4.0],
        "reward": [5.0],
    }


def test_the_axis_is_one_that_half_of_the_rows_have() -> None:
    assert find_row_axis([{"_step": 0, "update": 1}, {"_step": 1}]) == "update"
    assert find_row_axis([{"_step": 0, "episode": 1}, {"_step": 1}, {"_step": 2}]) == "_step"
    assert find_row_axis([]) == "_step"


def test_bad_axis_values_and_odd_types_are_left_out() -> None:
    rows: list[dict[str, Any]] = [
        {"update": "one", "x": 1},
        {"update": None, "x": 2},
        {"update": float("nan"), "x": 3},
        {"update": 2, "x": "Infinity", "y": [1], "w": True},
        {"update": 1, "x": 5, "t._type": "table-file", "t.nrows": 3},
    ]
    run = make_run({"seed": {"a": {}}}, rows, {"status": ["odd"], "objective": "high"}, "finished")

    assert {name: values.tolist() for name, values in run.metrics.items()} == {
        "update": [1, 2],
        "x": [5, np.inf],
        "w": [pytest.approx(np.nan, nan_ok=True), 1],
    }
    assert (run.seed, run.objectives, run.state) == (None, None, UNFINISHED)


def test_tables_of_trl_are_samples_tables_of_numbers_are_not() -> None:
    table = [{"step": 3, "query": "Hi", "model response": "Hello", "score": 1.0}]

    assert select_samples(table) == [{"update": 3, "prompt": "Hi", "response": "Hello", "score": 1.0}]
    assert select_samples([{"parameter": "lr", "importance": 1.0}]) == []


def log(start: float, rows: list[dict[str, Any]], **changes: Any) -> WandbLog:
    return WandbLog("a", rows=rows, start_time=start, **changes)


def test_a_later_start_replaces_what_came_after_its_checkpoint() -> None:
    first = log(1, [{"update": update, "x": 1} for update in (1, 2, 3, 4)], exit_code=0, summary={"status": "stopped"})
    second = log(2, [{"update": 3, "x": 2}])

    merged = merge_logs([second, first])

    assert [(row["update"], row["x"]) for row in merged.rows] == [(1, 1), (2, 1), (3, 2)]
    assert (merged.exit_code, merged.summary, merged.start_time) == (None, {}, 1)


def test_a_start_that_logged_nothing_replaces_nothing() -> None:
    first = log(1, [{"update": 1}], config={"seed": 1})

    merged = merge_logs([first, log(2, [])])

    assert (merged.rows, merged.config) == ([{"update": 1}], {"seed": 1})


def test_steps_count_on_where_there_is_no_other_axis() -> None:
    rows = [{"_step": 0, "x": 1}, {"_step": 1, "x": 2}]

    appended = merge_logs([log(1, rows), log(2, rows, is_resumed=True)])
    replaced = merge_logs([log(1, rows), log(2, rows)])

    assert [row["_step"] for row in appended.rows] == [0, 1, 2, 3]
    assert [row["_step"] for row in replaced.rows] == [0, 1]


BACK = "the updates go back from 6 to 4: taken for a continued run, so the later values count"


@pytest.mark.parametrize("axis", ["update", "train/global_step", "_step"])
def test_what_was_logged_beyond_the_point_to_which_a_run_went_back_is_dead(axis: str) -> None:
    """Updates 1 to 6 with an evaluation at 6, then 4 and 5 again."""
    rows = [{axis: update, "x": float(n)} for n, update in enumerate([1, 2, 3, 4, 5, 6, 4, 5])]
    rows.insert(6, {axis: 6, "eval/score": 9.0})
    run = make_run({}, rows, {}, "running")

    assert {name: values.tolist() for name, values in run.metrics.items()} == {
        "update": [1, 2, 3, 4, 5],
        "x": [0, 1, 2, 6, 7],
    }
    assert BACK in run.problems


def test_an_evaluation_that_is_logged_late_takes_nothing_back() -> None:
    rows: list[dict[str, Any]] = [{"update": n, "train/epoch": n, "x": n} for n in range(10)]
    rows.insert(8, {"update": 6, "train/epoch": 6, "eval/score": 2.0})
    rows.append({"update": 3, "train/epoch": 3, "eval/score": 1.0})
    run = make_run({}, rows, {}, "finished")

    assert run.metrics["x"].tolist() == list(range(10))
    assert [values.tolist() for values in run.select_points("eval/score")] == [[3, 6], [1, 2]]
    assert run.problems == ()


def test_a_resumed_start_whose_steps_go_on_is_not_moved() -> None:
    merged = merge_logs([log(1, [{"_step": 0}, {"_step": 1}]), log(2, [{"_step": 2}], is_resumed=True)])

    assert [row["_step"] for row in merged.rows] == [0, 1, 2]


@pytest.mark.parametrize("is_resumed", [False, True])
def test_what_came_before_a_restart_stays_although_wandb_counts_its_steps_from_0_again(is_resumed: bool) -> None:
    """Two offline starts of one id, updates 1 to 10, then 8 to 12: W&B's steps are 0 to 9, then 0 to 4."""
    first = [{"_step": step, "update": step + 1, "x": step + 1} for step in range(10)]
    second = [{"_step": step, "update": step + 8, "x": step + 108} for step in range(5)]
    merged = merge_logs([log(1, first), log(2, second, is_resumed=is_resumed)])
    run = make_run({}, merged.rows, {}, "finished")

    assert run.updates.tolist() == list(range(1, 13))
    assert run.metrics["x"].tolist() == [*range(1, 8), *range(108, 113)]
    assert run.problems == ()


def test_steps_that_go_back_end_what_lay_beyond_although_the_updates_go_on() -> None:
    rows = [{"_step": step, "update": update, "x": update} for step, update in [(0, 1), (1, 2), (2, 3), (1, 4)]]
    run = make_run({}, rows, {}, "finished")

    assert run.metrics["x"].tolist() == [1, 4]
    assert run.problems == (
        "W&B's steps go back from 2 to 1: taken for a continued run, so the later values count",
    )  # fmt: skip
