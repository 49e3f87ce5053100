"""A sweep's own W&B run, as the real client sends it to a local stand-in for the server."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.wandb_stub import StubRun, Tracking, WandbStub

from rlhf_sweeps.sweep.study.trials import COMPLETE, FAILED, PRUNED, RUNNING, SweepTrial
from rlhf_sweeps.sweep.wandb_run import SweepTracker
from rlhf_sweeps.tracking import wandb_run as tracking
from rlhf_sweeps.verdicts.left_out_seeds import LeftOut

pytestmark = pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning")  # wandb's own, from Table


def start(folder: Path, mode: str = "online", **changes: Any) -> SweepTracker:
    config: Any = Tracking(mode)
    objectives = {"metrics": ["eval/score"], "directions": ["maximize"], **changes}
    return SweepTracker(config, folder=folder / "sweep", run_id="abc", settings={"sampler": "tpe"}, **objectives)


def make(number: int, state: str = RUNNING, settings: dict[str, str] | None = None, **changes: Any) -> SweepTrial:
    settings = settings or {"ppo.lr": f"{number}e-5"}
    return SweepTrial(
        number, params={}, settings=settings, folder=Path(str(number)), state=state, seconds=10.0, **changes
    )


TRIALS = [
    make(0, COMPLETE, objectives=[1.0], by_seed={0: [0.5], 1: [1.5]}),
    make(1, FAILED, cause="diverged"),
    make(2, COMPLETE, objectives=[3.0], settings={"ppo.lr": "2e-5", "x": "[1,2]"}),
    make(3, PRUNED),
    make(4),
]


def table(run: StubRun, name: str) -> dict[str, Any]:
    (row,) = [row for row in run.history if name in row]
    content: dict[str, Any] = json.loads(run.files[row[name]["path"]])
    return content


def test_a_sweep_from_start_to_end(server: WandbStub, tmp_path: Path) -> None:
    tracker = start(tmp_path)
    tracker.log(TRIALS[:1])
    tracker.log(TRIALS)
    tracker.conclude(TRIALS, {"ppo.kl_coef": 0.25, "ppo.lr": 0.75})
    tracker.finish(exit_code=0)

    run = server.runs["abc"]
    first = run.upserts[0]
    assert (first["groupName"], first["jobType"], first["displayName"]) == ("sweep", "sweep", "sweep")
    assert run.config == {"sampler": "tpe"}
    expected = [
        {"trial": 1, "sweep/best": 1.0, "sweep/complete": 1, "sweep/pruned": 0, "sweep/failed": 0, "sweep/seconds": 10},
        {"trial": 4, "sweep/best": 3.0, "sweep/complete": 2, "sweep/pruned": 1, "sweep/failed": 1, "sweep/seconds": 50},
    ]
    assert [{key: row[key] for key in expected[0]} for row in run.history[:2]] == expected
    trials = table(run, "sweep/trials")
    assert trials["columns"] == ["trial", "ppo.lr", "x", "state", "cause", "objective", "seeds", "seconds"]
    assert trials["data"] == [
        [0, 0, None, "complete", None, 1, "0, 1", 10],
        [1, 1e-5, None, "failed", "diverged", None, "", 10],
        [2, 2e-5, "[1, 2]", "complete", None, 3, "", 10],
        [3, 3e-5, None, "pruned", None, None, "", 10],
        [4, 4e-5, None, "running", None, None, "", 10],
    ]
    assert table(run, "sweep/importance")["data"] == [["ppo.lr", 0.75], ["ppo.kl_coef", 0.25]]
    assert (run.summary["importance/ppo.lr"], run.summary["importance/ppo.kl_coef"]) == (0.75, 0.25)
    assert run.summary["sweep/best"] == 3.0
    assert run.exit_code == 0
    defined = json.loads(run.upserts[-1]["config"])["_wandb"]["value"]["m"]
    # W&B's numbering: 1 name, 2 pattern, 5 the x axis as a position in this list (from 1)
    x_axes = {m.get("1") or m.get("2"): defined[m["5"] - 1]["1"] for m in defined if "5" in m}
    assert x_axes["*"] == "trial"


def test_a_continued_sweep_attaches_to_its_run(server: WandbStub, tmp_path: Path) -> None:
    for num_trials in (1, 4):
        tracker = start(tmp_path)
        tracker.log(TRIALS[:num_trials])
        tracker.conclude(TRIALS[:num_trials], {})
        tracker.finish(exit_code=1)
    assert list(server.runs) == ["abc"]
    run = server.runs["abc"]
    assert [row["trial"] for row in run.history if "sweep/best" in row] == [1, 4]
    assert not any("sweep/importance" in row for row in run.history)
    assert run.exit_code == 1


@pytest.mark.parametrize(
    ("metrics", "ends"), [(["eval/score"], [""]), (["eval/score", "eval/kl"], ["/eval/score", "/eval/kl"])]
)
def test_a_best_that_is_none_any_more_is_taken_back(
    metrics: list[str], ends: list[str], server: WandbStub, tmp_path: Path
) -> None:
    """Of an earlier configuration; while its end is not known, it stands."""
    found = make(0, COMPLETE, objectives=[1.0, 2.0][: len(metrics)], tested={7: [3.0, 4.0][: len(metrics)]})
    told, names = [], [f"sweep/{kind}{end}" for kind in ("best", "to_report") for end in ends]
    for trials in ([found], None, [replace(found, is_compared=False)]):
        tracker = start(tmp_path, metrics=metrics, directions=["maximize"] * len(metrics))
        if trials is not None:
            tracker.log(trials)
            tracker.conclude(trials, {})
        tracker.finish(exit_code=0)
        told.append([server.runs["abc"].summary.get(name) for name in names])
    values = [1.0, 2.0][: len(metrics)] + [3.0, 4.0][: len(metrics)]
    assert told == [values, values, [None] * len(names)]
    assert server.runs["abc"].summary["sweep/complete"] == 1


class Recorder:
    """In the place of a tracker: keeps what it is given."""

    def __init__(self) -> None:
        self.metrics: list[dict[str, Any]] = []
        self.columns: list[str] = []

    def log(self, metrics: dict[str, Any]) -> None:
        self.metrics.append(metrics)

    def log_table(self, name: str, columns: list[str], data: list[list[Any]], at: dict[str, Any]) -> None:
        self.columns = columns

    def finish(self, **_: Any) -> None:
        pass


def test_several_objectives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder()
    monkeypatch.setattr(tracking, "start", lambda *_, **__: recorder)
    tracker = start(tmp_path, metrics=["eval/score", "eval/kl"], directions=["maximize", "minimize"])
    trials = [make(number, COMPLETE, objectives=values) for number, values in enumerate([[1.0, 2.0], [3.0, 4.0]])]
    tracker.log([make(9)])
    tracker.log(trials)
    tracker.conclude(trials, {})
    tracker.finish(exit_code=0)
    assert [key for key in recorder.metrics[0] if "best" in key] == []
    assert (recorder.metrics[1]["sweep/best/eval/score"], recorder.metrics[1]["sweep/best/eval/kl"]) == (3.0, 2.0)
    assert recorder.columns == ["trial", "ppo.lr", "state", "cause", "eval/score", "eval/kl", "seeds", "seconds"]


def test_a_wandb_that_raises_does_not_reach_the_sweep(
    server: WandbStub, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    import wandb

    tracker = start(tmp_path)
    monkeypatch.setattr(wandb.Run, "log", lambda *_: 1 / 0)
    tracker.log(TRIALS)
    tracker.conclude(TRIALS, {"ppo.lr": 1.0})
    tracker.finish(exit_code=0)
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "ZeroDivisionError" in warning


def test_disabled_sends_nothing(server: WandbStub, tmp_path: Path) -> None:
    tracker = start(tmp_path, mode="disabled")
    tracker.log(TRIALS)
    tracker.conclude(TRIALS, {"ppo.lr": 1.0})
    tracker.finish(exit_code=0)
    assert server.requests == []
    assert list(tmp_path.iterdir()) == []


def test_the_number_to_report_is_that_of_the_test_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chosen by 3, the first is worth 1 on the test seeds; the second, chosen by 2, is worth 1.5 there."""
    recorder = Recorder()
    monkeypatch.setattr(tracking, "start", lambda *_, **__: recorder)
    trials = [make(0, COMPLETE, objectives=[3.0]), make(1, COMPLETE, objectives=[2.0])]
    tracker = start(tmp_path)
    tracker.log(trials)
    trials[0].tested, trials[1].tested = {7: [0.5], 8: [1.5]}, {7: [1.0], 8: [2.0]}
    tracker.log(trials)
    best = [{key: row[key] for key in row if key in ("sweep/best", "sweep/to_report")} for row in recorder.metrics]
    assert best == [{"sweep/best": 3.0}, {"sweep/best": 2.0, "sweep/to_report": 1.5}]


def test_in_the_end_the_number_to_report_is_that_of_seeds_that_did_not_choose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "start", lambda *_, **__: Recorder())
    tracker = start(tmp_path)
    trials = [make(0, COMPLETE, objectives=[3.0], tested={7: [1.0]}), make(1, COMPLETE, objectives=[2.0])]
    tracker.conclude(trials, {}, left_out={"": LeftOut(0.25, [0, 1], False, None)})
    assert (tracker._summary["sweep/best"], tracker._summary["sweep/to_report"]) == (3.0, 0.25)
    tracker.conclude(trials, {}, left_out={"a": LeftOut(0.25, [0, 1], False, None)})  # that of a reward model
    assert tracker._summary["sweep/to_report"] == 1.0
    trials[1].tested = {8: [0.5]}  # the test seeds have chosen, and no seed can be left out
    tracker.conclude(trials, {})
    assert tracker._summary["sweep/to_report"] is None


def test_of_several_objectives_the_number_to_report_is_that_of_the_trial_that_is_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trial 0 has the best score, 1, and is worth (0.4 + 0.6) / 2 on the test seeds, where trial 1 is luckier: 0.8.

    Trial 2 has the best KL, and was not tested.
    """
    recorder = Recorder()
    monkeypatch.setattr(tracking, "start", lambda *_, **__: recorder)
    tracker = start(tmp_path, metrics=["eval/score", "eval/kl"], directions=["maximize", "minimize"])
    tracker.log(
        [
            make(0, COMPLETE, objectives=[1.0, 5.0], tested={7: [0.4, 6.0], 8: [0.6, 7.0]}),
            make(1, COMPLETE, objectives=[0.9, 3.0], tested={7: [0.8, 3.0], 8: [0.8, 3.0]}),
            make(2, COMPLETE, objectives=[0.1, 1.0]),
        ]
    )
    found = {name: value for name, value in recorder.metrics[0].items() if "best" in name or "report" in name}
    assert found == {
        "sweep/best/eval/score": 1.0,
        "sweep/best/eval/kl": 1.0,
        "sweep/to_report/eval/score": pytest.approx(0.5),
    }


def test_where_reward_models_are_compared_none_is_the_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder()
    monkeypatch.setattr(tracking, "start", lambda *_, **__: recorder)
    tracker = start(tmp_path, is_comparison=True)
    trials = [make(0, COMPLETE, objectives=[1.0], tested={7: [2.0]}), make(1, COMPLETE, objectives=[300.0])]
    tracker.log(trials)
    tracker.conclude(trials, {})
    assert list(recorder.metrics[0]) == ["trial", "sweep/complete", "sweep/pruned", "sweep/failed", "sweep/seconds"]
    assert (tracker._summary["sweep/best"], tracker._summary["sweep/to_report"]) == (None, None)
