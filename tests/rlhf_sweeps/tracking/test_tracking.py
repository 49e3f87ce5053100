"""The real wandb client against a local stand-in for its server: what a run sends, and what it takes back."""

import json
import math
import os
from pathlib import Path

import pytest
from helpers.trackers import machine as machine
from helpers.trackers import said, start
from helpers.trackers import server as server
from helpers.wandb_stub import WandbStub

pytestmark = pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning")  # wandb's own, from Table


def test_an_online_run_sends_everything(
    server: WandbStub, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")  # an explicit mode wins
    before = dict(os.environ)
    tracker = start(mode="online", log_model=True)
    tracker.log({"update": 1, "eval/score": 3.0, "eval/kl": 0.5, "loss/policy_avg": 0.1})
    tracker.log({"update": 2, "eval/score": 2.0, "eval/kl": 0.7, "loss/policy_avg": float("nan")})
    rows = [
        {"update": 2, "prompt": "Hi", "response": "Ho", "score": 1, "base_response": None, "base_score": None},
        {"update": 2, "prompt": "A", "response": "B", "score": -0.5, "base_response": "C", "base_score": "x"},
    ]
    tracker.log_samples(rows)
    model = Path("model")
    model.mkdir()
    (model / "config.json").write_text("{}")
    tracker.finish(exit_code=3, summary={"objective": 1.5, "status": "done", "nested": {"no": 1}}, model_dir=model)

    run = server.runs["abc"]
    first = run.upserts[0]
    assert first["project"] == "ppo"
    assert first["groupName"] == "sweep"
    assert first["displayName"] == "lr=1e-5"
    assert first["jobType"] == "train"
    assert first["tags"] == ["toy"]
    assert run.config == {"seed": 1, "ppo": {"lr": 1e-5, "betas": [0.9, 0.95]}, "note": None}
    assert [row["update"] for row in run.history] == [1, 2, 2]
    assert run.history[0]["loss/policy_avg"] == 0.1
    assert math.isnan(run.history[1]["loss/policy_avg"])
    assert run.summary["eval/score"] == {"max": 3, "last": 2}
    assert run.summary["eval/kl"] == {"last": 0.7}
    assert run.summary["objective"] == 1.5
    assert run.summary["status"] == "done"
    assert "nested" not in run.summary
    assert run.exit_code == 3
    table = json.loads(run.files[run.history[2]["samples"]["path"]])
    assert table["columns"] == ["update", "prompt", "response", "score", "base_response", "base_score"]
    assert table["data"] == [[2, "Hi", "Ho", 1, None, None], [2, "A", "B", -0.5, "C", "x"]]
    artifacts = [variables["input"] for name, variables in server.requests if name == "CreateArtifact"]
    assert ("model-abc", "model") in {(a["artifactCollectionName"], a["artifactTypeName"]) for a in artifacts}
    assert said(caplog) == []
    assert dict(os.environ) == before


def test_update_is_the_x_axis_of_every_metric(server: WandbStub) -> None:
    tracker = start()
    tracker.log({"update": 7, "eval/score": 1.0})
    tracker.finish(exit_code=0, summary={})
    defined = json.loads(server.runs["abc"].upserts[-1]["config"])["_wandb"]["value"]["m"]
    # W&B's numbering: 1 name, 2 pattern, 5 the x axis as a position in this list (from 1)
    x_axes = {m.get("1") or m.get("2"): defined[m["5"] - 1]["1"] for m in defined if "5" in m}
    assert x_axes["*"] == "update"
    assert x_axes["eval/score"] == "update"


def test_a_table_on_another_axis(server: WandbStub) -> None:
    tracker = start(axis="trial")
    tracker.log_table("trials", ["trial", "lr"], [(0, 0.5), (1, None), (2, "auto")], at={"trial": 3})
    tracker.finish(exit_code=0, summary={})
    run = server.runs["abc"]
    (row,) = run.history
    assert row["trial"] == 3
    table = json.loads(run.files[row["trials"]["path"]])
    assert table["columns"] == ["trial", "lr"]
    assert table["data"] == [[0, 0.5], [1, None], [2, "auto"]]
    defined = json.loads(run.upserts[-1]["config"])["_wandb"]["value"]["m"]
    assert {m.get("1") or m.get("2"): defined[m["5"] - 1]["1"] for m in defined if "5" in m}["*"] == "trial"


def test_the_same_id_attaches_to_the_same_run(server: WandbStub) -> None:
    for update in (1, 2):
        tracker = start()
        tracker.log({"update": update})
        tracker.finish(exit_code=0, summary={})
    assert list(server.runs) == ["abc"]
    assert [(row["_step"], row["update"]) for row in server.runs["abc"].history] == [(0, 1), (1, 2)]


def test_two_open_runs_in_one_process_stay_apart(server: WandbStub) -> None:
    first, second = start("one"), start("two")
    first.log({"update": 1})
    second.log({"update": 10})
    first.log({"update": 2})
    second.finish(exit_code=0, summary={})
    first.finish(exit_code=1, summary={})
    assert {run_id: [row["update"] for row in run.history] for run_id, run in server.runs.items()} == {
        "one": [1, 2],
        "two": [10],
    }
    assert (server.runs["one"].exit_code, server.runs["two"].exit_code) == (1, 0)


def test_a_run_that_goes_on_has_not_ended(server: WandbStub) -> None:
    """What an earlier start has said of its end is taken back at once, as the record does: the next may be killed."""
    first = {"status": "stopped", "stop_reason": "waiting", "objective": 1.5, "seconds": 3.0}
    start().finish(exit_code=0, summary=first | {"confirmed": {"eval/score": 1.25, "eval/kl": 3.0, "num_prompts": 72}})
    first |= {"confirmed_score": 1.25, "confirmed_kl": 3.0}
    assert server.runs["abc"].summary.items() >= first.items()
    tracker = start()
    tracker.log({"update": 1})
    tracker.finish(exit_code=1, summary={})
    assert not first.keys() & server.runs["abc"].summary.keys()


def test_what_is_none_is_taken_back(server: WandbStub) -> None:
    start().finish(exit_code=0, summary={"importance/lr": 0.5, "importance/kl": 0.5})
    start().finish(exit_code=0, summary={"importance/lr": 1.0, "importance/kl": None, "importance/never": None})
    assert {key: x for key, x in server.runs["abc"].summary.items() if key.startswith("imp")} == {"importance/lr": 1.0}
