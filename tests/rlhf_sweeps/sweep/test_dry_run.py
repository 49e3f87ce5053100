"""What a sweep would take: by hand, from times that the test gives."""

import os
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import SMALL
from helpers.simulated_runs import World
from helpers.simulation import Simulation, defaults
from helpers.sweeping import sweep

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.schema import Config, TrackingConfig
from rlhf_sweeps.record import Run
from rlhf_sweeps.sweep import dry_run
from rlhf_sweeps.sweep.composition import Composer
from rlhf_sweeps.tracking import wandb_run as tracking
from rlhf_sweeps.tracking.wandb_run import Tracker


@pytest.fixture(autouse=True)
def own_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sweeper has taken two seconds to start."""
    monkeypatch.setattr(dry_run.time, "process_time", lambda: 2.0)


def test_it_says_what_would_run_and_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep(
        tmp_path / "s",
        "ppo.kl_coef=0.01,0.02,0.03",
        "hydra.sweeper.dry_run=true",
        "sweep.seeds=2",
        "sweep.cost_per_hour=3600",
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "a grid of 3 trials, 2 seeds each"
    assert lines[1:4] == [f"    {n}: ppo.kl_coef={kl}" for n, kl in enumerate(("0.01", "0.02", "0.03"))]
    assert lines[4].startswith("once: 2")
    assert "30 updates of 0.01 s, 6 evaluations of 0 s" in lines[5]  # what the fake trainer says it takes
    assert lines[6].startswith("6 runs, 1 at a time: 0:00:0")
    assert lines[7].startswith("cost: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["sampler", "pruner"])
def test_rules_that_the_sweep_would_refuse_are_refused(kind: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"^hydra.sweeper.{kind}_args.n_warm.*=-1: "):
        sweep(
            tmp_path / "s",
            "ppo.lr=interval(1e-5,1e-4)",
            "hydra.sweeper.dry_run=true",
            f"+hydra.sweeper.{kind}_args.n_warmup=-1",
        )
    assert list(tmp_path.iterdir()) == []


def test_what_is_found_out_once_is_charged_once_and_left_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    changes = ("sweep.seeds=2", "sweep.test_seeds=1", "sweep.num_tested=2", "hydra.sweeper.dry_run=true")
    sweep(Path("s"), "ppo.kl_coef=0.01,0.02,0.03", *changes, "hydra.sweeper.trial=helpers.fake_trials.find_once")
    text = capsys.readouterr().out
    (once,) = map(float, re.findall("once: ([0-9.]+) s", text))
    (start,) = map(float, re.findall("a run: ([0-9.e-]+) s to start", text))
    # Of processes in real time: 2 s of its own and one that the first run takes longer; a busy machine moves both.
    assert 2.6 < once < 3.9
    assert start < 0.8  # 1 would be what is found out once
    assert "30 updates of 0.1 s, 6 evaluations of 0.1 s: 0:00:04" in text  # 3.6
    (total,) = map(int, re.findall("8 runs, 1 at a time: 0:00:([0-9]+)", text))
    assert total == pytest.approx(once + 8 * (start + 3.6), abs=0.6)
    assert list(tmp_path.iterdir()) == []


def test_wandb_is_tried_offline_for_every_run_and_the_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tried = []

    def start(config: TrackingConfig, run_dir: Path, **fields: Any) -> Tracker:
        time.sleep(0.5)
        tried.append((config.mode, run_dir, {key: os.environ[key] for key in os.environ if key.startswith("WANDB_")}))
        return Tracker(None)

    monkeypatch.setattr(tracking, "start", start)
    monkeypatch.setenv("WANDB_DIR", "elsewhere")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    changes = ("tracking.mode=online", "hydra.sweeper.trial=helpers.fake_trials.find_once")
    sweep(tmp_path / "s", "ppo.kl_coef=0.01,0.02", "hydra.sweeper.dry_run=true", *changes)
    text = capsys.readouterr().out
    ((mode, folder, environment),) = tried
    assert (mode, environment.pop("WANDB_MODE")) == ("auto", "offline")
    assert {Path(place).parent for key, place in environment.items() if key.endswith("DIR")} == {folder}
    assert (os.environ["WANDB_DIR"], os.environ.get("WANDB_MODE")) == ("elsewhere", None)
    (once,) = map(float, re.findall("once: ([0-9.]+) s", text))
    (begin,) = map(float, re.findall("a run: ([0-9.e-]+) s to start", text))
    # 2 s of its own, one for what is found out, half a second for W&B: a second or half of one less, were it forgotten.
    assert 3.2 < once < 3.9
    assert 0.5 <= begin < 1.3
    assert not folder.exists()


@pytest.mark.parametrize(
    "changes",
    [
        ["tracking=wandb"],
        ["tracking.mode=online"],
        ["tracking=offline", "++tracking.mode=online"],
        ["tracking.mode=offline,online"],
    ],
)
def test_measured_runs_track_nothing_whatever_was_given(
    changes: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes = []

    def write(self: Composer, *given: Any, **named: Any) -> Config:
        config = composed(self, *given, **named)
        modes.append(config.tracking.mode)
        return config

    composed = Composer.write
    monkeypatch.setattr(Composer, "write", write)
    monkeypatch.setattr(tracking, "start", lambda *_, **__: Tracker(None))
    sweep(tmp_path / "s", "ppo.kl_coef=0.01,0.02", "hydra.sweeper.dry_run=true", *changes)
    assert modes == ["disabled", "disabled"]


@pytest.mark.parametrize(("mode", "wandb_mode", "num_tried"), [("auto", "disabled", 0), ("online", "disabled", 1)])
def test_a_mode_that_was_given_wins_over_the_environments(
    mode: str, wandb_mode: str, num_tried: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []
    monkeypatch.setenv("WANDB_MODE", wandb_mode)
    monkeypatch.setattr(tracking, "start", lambda *_, **__: tried.append(1) or Tracker(None))
    sweep(
        tmp_path / "s", "ppo.kl_coef=0.01,0.02", "hydra.sweeper.dry_run=true", "tracking=wandb", f"tracking.mode={mode}"
    )
    assert len(tried) == num_tried


@pytest.mark.slow
def test_a_real_run_that_is_measured_tells_wandb_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def start(config: TrackingConfig, *, run_id: str, **_: Any) -> Tracker:
        if config.mode != "disabled":
            tried.append(run_id)
        return Tracker(None)

    monkeypatch.setattr(tracking, "start", start)
    monkeypatch.chdir(tmp_path)
    real = ("hydra.sweeper.trial=rlhf_sweeps.trial.run", *SMALL, "tracking.mode=offline")
    sweep(Path("s"), *real, "ppo.kl_coef=0.01,0.02", "hydra.sweeper.dry_run=true")
    assert tried == ["dry_run"]  # W&B's own seconds, in the folder that is gone
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("hours", "seconds", "end"),
    [
        (1, 2 + 20 * 0.3, ""),
        # 3.6 s less 2 s: 5 runs of 0.3 s, each of 30 updates of 0.01 s.
        (0.001, 3.6, "; sweep.budget_hours=0.001: time for about 5 whole runs"),
    ],
)
def test_a_sweep_takes_no_longer_than_its_budget(
    hours: float,
    seconds: float,
    end: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(dry_run, "_run", lambda *_: [(0.01, 0.01, 0.0)])  # in all, of the update, of its evaluation
    changes = ("hydra.sweeper.n_trials=20", f"sweep.budget_hours={hours}", "sweep.cost_per_hour=3600")
    sweep(tmp_path / "s", "ppo.kl_coef=interval(0.1,0.5)", "hydra.sweeper.dry_run=true", *changes)
    *_, runs, cost = capsys.readouterr().out.splitlines()
    assert runs == f"20 runs, 1 at a time: 0:00:08, less where some are pruned{end}"
    assert cost.startswith(f"cost: {seconds:.2f} at ")


@pytest.mark.parametrize(
    ("space", "num_runs"),
    [
        (["ppo.num_ppo_epochs=tag(int,interval(1,3))"], 3),
        (["ppo.num_ppo_epochs=tag(int,interval(1,3))", "ppo.kl_coef=0.1,0.2"], 6),
        (["ppo.kl_coef=tag(step:0.1,interval(0.1,0.5))"], 5),
        (["ppo.kl_coef=interval(0.1,0.1)"], 1),
        (["ppo.kl_coef=interval(0.1,0.5)"], 20),
        (["ppo.kl_coef=0.1,0.2,0.1,1e-1"], 2),
    ],
)
def test_copies_of_a_setting_cost_nothing(
    space: list[str], num_runs: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep(tmp_path / "s", *space, "hydra.sweeper.dry_run=true", "hydra.sweeper.n_trials=20")
    assert f"\n{num_runs} runs, 1 at a time: " in capsys.readouterr().out


def test_a_search_is_described(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep(tmp_path / "s", "search=lr_kl_clip", "hydra.sweeper.dry_run=true", "sweep.budget_hours=1")
    text = capsys.readouterr().out
    assert "a search by tpe, pruned by asha: as many trials as the time allows" in text
    assert "ppo.lr: tag(log,interval(5e-05,0.005))" in text
    assert "sweep.budget_hours=1: time for about " in text


def test_a_measured_run_that_fails_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Run, row: dict[str, float]) -> None:
        self.write_summary({"status": "failed", "cause": "error", "message": "ValueError: no"})
        raise ValueError("no")

    monkeypatch.setattr(Run, "append_metrics", fail)
    with pytest.raises(ConfigError, match=r"hydra\.sweeper\.dry_run=true: the measured update failed: ValueError: no"):
        sweep(tmp_path / "s", "ppo.kl_coef=0.01,0.02", "hydra.sweeper.dry_run=true")


def lines_of(folder: Path, workers: int, **limits: Any) -> list[str]:
    """Of five settings, two seeds each; a run takes 2 + 30 * 1 + 4 * 0.5 = 34 s, the sweep itself 6."""
    config, settings = defaults()
    config = replace(config, sweep=replace(config.sweep, seeds=2, **limits))
    plan = Simulation(World(folder), config, settings, ("ppo.lr=1e-4,2e-4,3e-4,4e-4,5e-4",)).plan()
    return dry_run._describe_time(plan, dry_run.RunTime(6.0, 2.0, 1.0, 0.5, 30, 4), workers)


def test_the_time_and_its_price_by_hand(tmp_path: Path) -> None:
    """On three workers ten runs are four rounds; the tests, four runs, begin when these are over and are two."""
    lines = lines_of(tmp_path, 3, test_seeds=2, num_tested=2, cost_per_hour=5.0)
    total = 6 + (4 + 2) * 34
    assert lines[2] == f"14 runs, 3 at a time: 0:0{total // 60}:{total % 60:02d}"
    assert lines[3].startswith(f"cost: {5 * total / 3600 * 3:.2f} at 5 an hour of one worker")
    assert lines_of(tmp_path, 1)[2] == f"10 runs, 1 at a time: 0:0{346 // 60}:{346 % 60:02d}"


def test_the_last_update_is_evaluated_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep(tmp_path / "s", "ppo.kl_coef=0.01,0.02", "hydra.sweeper.dry_run=true", "eval.every=7")
    assert "30 updates of 0.01 s, 5 evaluations" in capsys.readouterr().out
