"""Reading a W&B project: the real client against a local stand-in for the server.

What the stand-in cannot show: how the real server authenticates, which filters and orders it understands, how it splits
histories between its database and parquet files and when, its rate limits, its errors beyond the few here, and whether
it still answers in this form. The operations, their variables and the paging are those that wandb 0.31 really uses.
"""

import json
import os

import numpy as np
import pytest
from helpers.stored_projects import Serve, config, rows, summary, table, table_file, three_runs
from helpers.stored_projects import machine as machine
from helpers.stored_projects import serve as serve
from helpers.wandb_read_stub import StoredRun

from analysis.reading.sources import read
from analysis.reading.wandb_projects import ProjectPlace, parse_project, read_project
from analysis.records.runs import COMPLETE, FAILED, PRUNED, STOPPED, UNFINISHED
from analysis.wording.errors import AnalysisError
from rlhf_sweeps.record import Axis


def test_runs_are_read_with_their_whole_histories(serve: Serve) -> None:
    stub = serve(*three_runs(), page=2)

    source = read("wandb:entity/ppo")

    assert [run.name for run in source.runs] == ["kl_coef=0.1", "kl_coef=0.2", "kl_coef=0.3"]
    long, pruned, crashed = source.runs
    np.testing.assert_array_equal(long.updates, np.arange(1, 2501))
    np.testing.assert_array_equal(long.metrics["objective/kl"], 0.5 * np.arange(2500))
    assert set(long.metrics) == {"update", "objective/kl"}
    assert long.config == {
        "seed": 0,
        "ppo.kl_coef": 0.1,
        "objective.metrics": ["eval/score"],
        "objective.directions": ["maximize"],
    }
    assert (long.overrides, long.summary) == (("ppo.kl_coef=0.1",), {"status": "complete", "objective": 1.5})
    assert [run.state for run in source.runs] == [COMPLETE, PRUNED, UNFINISHED]
    assert [run.objectives for run in source.runs] == [[1.5], [1.0], None]
    assert [len(run.updates) for run in source.runs] == [2500, 6, 0]
    assert pruned.read_samples() == [{"update": 5, "prompt": "Hi", "response": "Hello", "score": 1.5}]
    assert (crashed.read_samples(), crashed.problems) == ([], ())
    # Two pages of runs, three of the long history.
    assert [asked["cursor"] for asked in stub.asked("Runs")] == [None, "2"]
    pages = [(page["minStep"], page["maxStep"]) for page in stub.asked("HistoryPage") if page["run"] == "aa"]
    assert pages == [(0, 1000), (1000, 2000), (2000, 2500)]


def test_one_group_is_a_sweep(serve: Serve) -> None:
    stub = serve(*three_runs())

    source = read_project("entity/ppo/group:s1")

    assert source.name == "s1"
    assert [json.loads(asked["filters"]) for asked in stub.asked("Runs")] == [{"group": "s1"}]
    assert [(trial.number, trial.state, trial.settings) for trial in source.trials] == [
        (0, "complete", {"ppo.kl_coef": "0.1"}),
        (1, "pruned", {"ppo.kl_coef": "0.2"}),
        (2, "unfinished", {"ppo.kl_coef": "0.3"}),
    ]


def test_several_groups_are_told_apart(serve: Serve) -> None:
    runs = [StoredRun(name, "lr=1", {}, rows(1), group) for name, group in [("a", "s1"), ("b", "s2"), ("c", None)]]
    serve(*runs)

    source = read_project("entity/ppo")

    assert [(run.name, run.config) for run in source.runs] == [
        ("no group/lr=1", {"group": ""}),
        ("s1/lr=1", {"group": "s1"}),
        ("s2/lr=1", {"group": "s2"}),
    ]
    assert source.trials == ()


def test_the_sweeps_own_run_numbers_the_trials(serve: Serve) -> None:
    columns = ["trial", "ppo.kl_coef", "state", "cause", "objective", "seeds", "seconds"]
    content = table(
        columns, [4, "1e-1", "complete", None, 2.5, "0, 1", 60.0], [5, 0.2, "failed", "lost_process", None, "", 9]
    )
    path = "media/table/sweep/trials_2.table.json"
    sweep = StoredRun(
        "ss",
        "s1",
        {"space": {"ppo.kl_coef": "interval(0.1,0.4)"}, "config": {"objective.metrics": ["eval/score"]}},
        rows(1),
        "s1",
        job_type="sweep",
        summary={"sweep/trials": table_file(path)},
        files={path: content},
    )
    test = StoredRun("dd", "kl_coef=0.1,seed=7", config(0.1, seed=7), rows(3), "s1", summary=summary(1.2))
    serve(*three_runs(), sweep, test)

    source = read_project("entity/ppo")

    assert source.space == (Axis("ppo.kl_coef", (), 0.1, 0.4),)  # which a sweep of version 1 has told in words
    assert {run.name: (run.trial, run.is_test) for run in source.runs} == {
        "kl_coef=0.1": (4, False),
        "kl_coef=0.2": (5, False),
        "kl_coef=0.3": (None, False),  # not in the table, which is written when a trial ends
        "kl_coef=0.1,seed=7": (4, True),
    }
    assert [(t.number, t.state, t.cause, t.objectives, t.seconds) for t in source.trials] == [
        (4, "complete", None, [2.5], 60.0),
        (5, "failed", "lost_process", None, 9.0),
    ]


def test_what_the_server_has_moved_to_a_parquet_file_is_read_from_there(serve: Serve) -> None:
    stub = serve(StoredRun("aa", "long", config(0.1), rows(1500), exported=1200))

    (run,) = read_project("entity/ppo").runs

    np.testing.assert_array_equal(run.updates, np.arange(1, 1501))
    np.testing.assert_array_equal(run.metrics["objective/kl"], 0.5 * np.arange(1500))
    assert min(page["minStep"] for page in stub.asked("HistoryPage")) >= 1000


def test_one_run(serve: Serve) -> None:
    stub = serve(*three_runs())

    source = read_project("entity/ppo/bb")

    assert (source.name, [run.name for run in source.runs]) == ("bb", ["kl_coef=0.2"])
    assert stub.asked("Runs") == []


@pytest.mark.parametrize(("state", "expected"), [("failed", FAILED), ("running", UNFINISHED), ("finished", COMPLETE)])
def test_state_of_a_run_without_a_status(serve: Serve, state: str, expected: str) -> None:
    serve(StoredRun("aa", "a", {}, rows(1), state=state))

    assert read_project("entity/ppo").runs[0].state == expected


def test_a_run_that_says_how_it_ended_is_believed(serve: Serve) -> None:
    """An interrupted run's process fails, and so the run of W&B."""
    serve(
        StoredRun("aa", "a", {}, rows(1), state="failed", summary={"status": "stopped", "stop_reason": "interrupted"})
    )

    assert read_project("entity/ppo").runs[0].state == STOPPED


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("entity/ppo", ProjectPlace("entity", "ppo")),
        ("entity/ppo/abc", ProjectPlace("entity", "ppo", run="abc")),
        ("entity/ppo/group:s1", ProjectPlace("entity", "ppo", group="s1")),
        ("https://wandb.ai/entity/ppo", ProjectPlace("entity", "ppo")),
        ("https://wandb.ai/entity/ppo/workspace?nw=x", ProjectPlace("entity", "ppo")),
        ("https://wandb.ai/entity/ppo/runs/abc/overview", ProjectPlace("entity", "ppo", run="abc")),
        ("http://localhost:8080/entity/ppo/groups/s1/workspace", ProjectPlace("entity", "ppo", group="s1")),
    ],
)
def test_places(text: str, place: ProjectPlace) -> None:
    assert parse_project(text) == place


@pytest.mark.parametrize("text", ["", "ppo", "/ppo", "entity/", "a/b/c/d", "https://wandb.ai/entity"])
def test_other_places_are_refused(text: str) -> None:
    with pytest.raises(AnalysisError, match=r"names no project \(allowed: entity/project, "):
        parse_project(text)


def test_a_group_without_a_name_is_refused() -> None:
    with pytest.raises(AnalysisError, match="names no group"):
        parse_project("entity/ppo/group:")


def test_the_environment_is_left_as_it_was(serve: Serve) -> None:
    serve(*three_runs()[1:])
    os.environ["WANDB_MODE"] = "offline"  # which is about what is logged, not about what is read
    before = dict(os.environ)

    read_project("entity/ppo")

    assert dict(os.environ) == before


@pytest.mark.parametrize("is_rewound", [True, False])
def test_rows_and_samples_beyond_a_rewind_are_dead(serve: Serve, is_rewound: bool) -> None:
    """Updates 1 to 10, then 5 and 6 again; after a rewind at the same steps, after a kill at further ones.

    The client gives the rows by their steps, those that a parquet file holds before the others.
    """
    again = [{**row, "objective/kl": 100.0 + row["update"], "_timestamp": 50.0} for row in rows(10)[4:6]]
    again = again if is_rewound else [{**row, "_step": row["_step"] + 6} for row in again]
    logged = [*rows(10), *again]
    files = {}
    for position, update in ((3, 4), (8, 9), (11, 6)):
        path = f"media/table/samples_{position}.table.json"
        files[path] = table(["update", "prompt", "response", "score"], [update, "Hi", f"at {position}", 1.5])
        logged[position]["samples"] = table_file(path)
    serve(StoredRun("aa", "a", config(0.1), logged, files=files, exported=10 if is_rewound else 0))

    (run,) = read("wandb:entity/ppo/aa").runs

    assert run.updates.tolist() == [1, 2, 3, 4, 5, 6]
    assert run.select_points("objective/kl")[1].tolist() == [0, 0.5, 1, 1.5, 105, 106]
    responses = [row["response"] for row in run.read_samples()]
    assert responses == (["at 11"] if is_rewound else ["at 3", "at 11"])  # tables are not in a parquet file
