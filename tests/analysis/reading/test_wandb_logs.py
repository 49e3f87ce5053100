"""Reading W&B's local files: real ones, written by our own trackers and W&B's client, and damaged or made-up ones."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.records import axes
from helpers.wandb_stub import Tracking
from wandb.proto import wandb_internal_pb2

from analysis.reading.wandb_logs import read_log, read_logs, read_runs_from_logs
from analysis.records.runs import COMPLETE, UNFINISHED
from rlhf_sweeps.record.axes import as_data
from rlhf_sweeps.sweep.study.trials import COMPLETE as TRIAL_COMPLETE
from rlhf_sweeps.sweep.study.trials import FAILED as TRIAL_FAILED
from rlhf_sweeps.sweep.study.trials import SweepTrial
from rlhf_sweeps.sweep.wandb_run import SweepTracker
from rlhf_sweeps.tracking import wandb_run as tracking

pytestmark = pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning")  # wandb's own, from Table
proto: Any = wandb_internal_pb2
BLOCK = 32768


CONFIG: Any = Tracking("offline")


def settings(kl_coef: float, seed: int) -> dict[str, Any]:
    return {
        "name": "tiny",
        "seed": seed,
        "ppo": {"kl_coef": kl_coef, "lr": 1e-4, "kl_target": None},
        "reward_model": {"name": "tiny"},
        "objective": {"metrics": ["eval/score"], "directions": ["maximize"]},
        "overrides": [f"ppo.kl_coef={kl_coef}", f"seed={seed}"],
        "versions": {"torch": "2.13.0"},
    }


def metrics(update: int, shift: float = 0.0) -> dict[str, float]:
    """A row of a run; many metrics, so that a file has several blocks."""
    row = {
        "update": update,
        "objective/kl": 0.5 * update + shift,
        "eval/score": update / 10 if update % 5 == 0 else None,
    }
    return {
        **{name: value for name, value in row.items() if value is not None},
        **{f"m/{n}": n + update for n in range(25)},
    }


def samples(update: int) -> list[dict[str, Any]]:
    return [{"update": update, "prompt": "Hi", "response": f"at {update} 💛", "score": update / 10}]


def track(
    folder: Path, run_id: str, group: str, config: dict[str, Any], updates: Sequence[int], shift: float = 0.0
) -> None:
    tracker = tracking.start(
        CONFIG, run_dir=folder, run_id=run_id, name=f"run {run_id}", group=group, job_type="train", settings=config
    )
    for update in updates:
        if update % 5 == 0:
            tracker.log_samples(samples(update))
        tracker.log(metrics(update, shift))
    tracker.finish(exit_code=0, summary={"status": "complete", "objective": updates[-1] / 10, "stop_reason": None})


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A sweep of two trials as W&B's client leaves it; trial 0 was continued from update 20, 1 is on a test seed."""
    home = tmp_path_factory.mktemp("home")
    folder = tmp_path_factory.mktemp("outputs") / "my_sweep"
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("WANDB_")]:
            patch.delenv(name)
        for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
            patch.setenv(name, str(home))
        patch.setenv("WANDB_DISABLE_GIT", "true")
        track(folder / "0", "aaa", "my_sweep", settings(0.1, 0), range(1, 26))
        track(folder / "0" / "again", "aaa", "my_sweep", settings(0.1, 0), range(21, 31), shift=100)
        track(folder / "test" / "1_seed_7", "bbb", "my_sweep", settings(0.2, 7), range(1, 4))
        start = {
            "axes": as_data(axes({"ppo.kl_coef": "choice(0.1,0.2)"})),
            "config": {"objective.metrics": ["eval/score"], "objective.directions": ["maximize"]},
        }
        tracker = SweepTracker(
            CONFIG, folder=folder, run_id="sss", settings=start, metrics=["eval/score"], directions=["maximize"]
        )
        made: dict[str, Any] = {"params": {}, "folder": folder}
        trials = [
            SweepTrial(
                0, settings={"ppo.kl_coef": "0.1"}, state=TRIAL_COMPLETE, objectives=[2.5], seconds=60.0, **made
            ),
            SweepTrial(
                1, settings={"ppo.kl_coef": "0.2"}, state=TRIAL_FAILED, cause="out_of_memory", seconds=9.0, **made
            ),
        ]
        tracker.conclude(trials, {"ppo.kl_coef": 1.0})
        tracker.finish(exit_code=0)
        yield folder
        sys.modules["wandb"].teardown()


def file_of(folder: Path) -> Path:
    (path,) = (folder / "wandb").glob("*run-*/*.wandb")
    return path


def flattened(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in content.items():
        found |= flattened(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return found


def test_a_file_is_read_as_wandbs_own_command_reads_it(sweep: Path) -> None:
    path = file_of(sweep / "0")
    log = read_log(path)

    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(path)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    found = [json.loads(line) for line in lines]
    rows = [record["history"]["item"] for record in found if record["type"] == "history"]
    summary: dict[str, Any] = {}
    for record in found:
        if record["type"] == "summary":
            summary |= record["summary"].get("update", {})
            for item in record["summary"].get("remove", []):
                summary.pop(item["key"], None)
    (run,) = (record["run"] for record in found if record["type"] == "run")

    assert len(rows) == 25 + 5
    assert log.rows == rows
    assert log.summary == summary
    config = flattened(run["config"]["update"])
    assert {key: value for key, value in flattened(log.config).items() if key != "_wandb"} == {
        key: value for key, value in config.items() if key != "_wandb"
    }
    assert log.exit_code == next(record["exit"].get("exit_code", 0) for record in found if record["type"] == "exit")
    assert (log.id, log.name, log.group, log.job_type, log.project) == ("aaa", "run aaa", "my_sweep", "train", "ppo")
    assert log.problems == ()


def test_a_continued_run_has_the_later_values_from_where_it_went_on(sweep: Path) -> None:
    run = read_runs_from_logs([sweep])[0]

    np.testing.assert_array_equal(run.updates, np.arange(1, 31))
    np.testing.assert_array_equal(run.metrics["objective/kl"][:20], 0.5 * np.arange(1, 21))
    np.testing.assert_array_equal(run.metrics["objective/kl"][20:], 0.5 * np.arange(21, 31) + 100)
    updates, scores = run.select_points("eval/score")
    np.testing.assert_array_equal(updates, [5, 10, 15, 20, 25, 30])
    np.testing.assert_allclose(scores, updates / 10)


def test_a_run_is_the_record_that_its_folder_held(sweep: Path) -> None:
    first, second = read_runs_from_logs([sweep])

    assert (first.name, first.trial, first.is_test, first.seed) == ("0", 0, False, 0)
    assert (second.name, second.trial, second.is_test, second.seed) == ("test/1_seed_7", 1, True, 7)
    assert first.config == {
        "name": "tiny",
        "seed": 0,
        "ppo.kl_coef": 0.1,
        "ppo.lr": 1e-4,
        "ppo.kl_target": None,
        "reward_model.name": "tiny",
        "objective.metrics": ["eval/score"],
        "objective.directions": ["maximize"],
    }
    assert first.overrides == ("ppo.kl_coef=0.1", "seed=0")
    assert first.summary == {"status": "complete", "objective": 3.0, "versions": {"torch": "2.13.0"}}
    assert (first.state, first.objectives, first.problems) == (COMPLETE, [3.0], ())
    assert set(first.metrics) == {"update", "objective/kl", "eval/score", *(f"m/{n}" for n in range(25))}


def test_samples_come_from_the_tables_each_once(sweep: Path) -> None:
    run = read_runs_from_logs([sweep])[0]

    assert run.read_samples() == [row for update in (5, 10, 15, 20, 25, 30) for row in samples(update)]


@pytest.mark.parametrize("place", ["0", "0/wandb", "0/again/wandb"])
def test_a_place_may_be_a_run_a_wandb_folder_or_a_file(sweep: Path, place: str) -> None:
    (run,) = read_runs_from_logs([sweep / place])
    (same,) = read_runs_from_logs([file_of(sweep / place.removesuffix("/wandb")), sweep / place])

    assert len(run.updates) == len(same.updates) == {"0": 30, "0/wandb": 25, "0/again/wandb": 10}[place]


def test_the_sweeps_own_run_tells_its_trials(sweep: Path) -> None:
    source = read_logs(sweep)

    assert (source.name, source.kind, source.space) == ("my_sweep", "wandb", axes({"ppo.kl_coef": "choice(0.1,0.2)"}))
    assert (source.metrics, source.directions) == (["eval/score"], ["maximize"])
    complete, failed = source.trials
    assert (complete.number, complete.state, complete.objectives, complete.seconds) == (0, "complete", [2.5], 60.0)
    assert (failed.number, failed.state, failed.cause, failed.objectives) == (1, "failed", "out_of_memory", None)
    assert [run.name for run in complete.runs] == ["0"]
    assert [run.name for run in failed.tests] == ["test/1_seed_7"]
    assert len(source.study.trials) == 2


# Damage. Expectations: which bytes were touched.


def test_a_file_that_was_cut_gives_the_rows_before_the_cut_and_no_complaint(sweep: Path, tmp_path: Path) -> None:
    content = file_of(sweep / "0").read_bytes()
    whole = read_log(file_of(sweep / "0")).rows
    path = tmp_path / "run-aaa.wandb"
    counts = []
    for share in (0.3, 0.5, 0.7, 0.9, 0.999):
        path.write_bytes(content[: int(share * len(content))])
        log = read_log(path)
        assert log.rows == whole[: len(log.rows)]
        assert log.exit_code is None
        assert log.problems == ()
        counts.append(len(log.rows))
    assert counts == sorted(counts)
    assert 0 < counts[0] < counts[-1]
    assert read_runs_from_logs([path])[0].state == UNFINISHED


def test_no_damage_raises(sweep: Path, tmp_path: Path) -> None:
    content = file_of(sweep / "test" / "1_seed_7").read_bytes()
    path = tmp_path / "run-bbb.wandb"
    generator = random.Random(0)
    for _ in range(100):
        damaged = bytearray(content)
        for _ in range(generator.choice([1, 3, 30])):
            damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        path.write_bytes(damaged[: generator.randrange(len(damaged))])
        read_runs_from_logs([path])
