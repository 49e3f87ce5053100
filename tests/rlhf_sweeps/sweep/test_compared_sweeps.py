"""A sweep over reward models names no trial the best of all: what it prints, writes and tests."""

from pathlib import Path

import pytest
import yaml
from helpers import fake_trainer
from helpers.sweeping import sweep

from analysis.watch.sweep import FollowedSweep
from rlhf_sweeps.record import Run, Sweep

# By the KL coefficient alone: trials 0 (tiny, 0.01), 1 (tiny, 0.02), 2 (length, 0.01), 3 (length, 0.02).
WORTH = {0.01: 1.0, 0.02: 3.0}
GRID = ("reward_model=tiny,length", "ppo.kl_coef=0.01,0.02", "ppo.total_episodes=160", "sweep.num_tested=1")


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake_trainer, "value", lambda lr, kl_coef, seed: WORTH[kl_coef])


def diverge_on_length(folder: Path, update: int, record: Run, lr: float) -> None:
    if yaml.safe_load((folder / ".hydra" / "config.yaml").read_text())["reward_model"]["name"] == "length":
        record.write_summary({"status": "diverged", "message": "no", "objective": None})
        raise RuntimeError("diverged")


def folders_of_tests(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "test").iterdir())


def test_the_best_setting_of_each_reward_model_is_tested_and_none_is_the_best(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep(tmp_path, *GRID, "sweep.test_seeds=2")
    assert folders_of_tests(tmp_path) == [f"{trial}_seed_{seed}" for trial in (1, 3) for seed in (1_000_000, 1_000_001)]
    results = yaml.safe_load((tmp_path / "optimization_results.yaml").read_text())
    assert (results["best_params"], results["best_value"], results["best_trial"]) == (None, None, None)
    assert results["comparison"] == []  # the fake trainer leaves no samples to be judged
    printed = capsys.readouterr().out
    assert "objective 3 on 2 test seeds, chosen by objective 3" in printed
    assert "best: trial" not in printed
    assert "leading" not in printed
    assert FollowedSweep(Sweep(tmp_path)).look("").is_complete


def test_a_later_start_tests_the_reward_models_of_an_earlier_one(tmp_path: Path) -> None:
    sweep(tmp_path, *GRID)
    sweep(tmp_path, *GRID, "sweep.test_seeds=1")
    assert folders_of_tests(tmp_path) == ["1_seed_1000000", "3_seed_1000000"]


def test_watch_waits_for_no_test_of_a_reward_model_whose_trials_all_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake_trainer, "_misbehave", diverge_on_length)
    sweep(tmp_path, *GRID, "sweep.test_seeds=2", "hydra.sweeper.max_failure_rate=1")
    assert folders_of_tests(tmp_path) == ["1_seed_1000000", "1_seed_1000001"]
    assert FollowedSweep(Sweep(tmp_path)).look("").is_complete
