"""Test seeds that failed: told in the answer, the file and the exit status; expected numbers by hand."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from helpers import fake_trainer
from helpers.fake_trainer import value
from helpers.sweeping import sweep
from omegaconf import OmegaConf

from rlhf_sweeps.sweep import SweepFailedError
from rlhf_sweeps.sweep.study.tested import describe_tests as text_of
from rlhf_sweeps.sweep.study.tested import is_nothing_measured
from rlhf_sweeps.sweep.study.tested import make_test_entry as entry_of

GRID = ("ppo.kl_coef=0.01,0.02", "ppo.total_episodes=160", "sweep.test_seeds=2", "sweep.num_tested=1")
TEST_SEEDS = (1_000_000, 1_000_001)


def fail_on(seeds: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have runs on these seeds fail."""
    train = fake_trainer.run

    def run(folder: Path, after_update: Callable[[], None]) -> None:
        if OmegaConf.load(folder / ".hydra" / "config.yaml").seed in seeds:
            raise RuntimeError("on a test seed")
        train(folder, after_update)

    monkeypatch.setattr(fake_trainer, "run", run)


def test_test_seeds_that_all_failed_are_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_on(TEST_SEEDS, monkeypatch)
    with pytest.raises(SweepFailedError, match=r"^every run on the test seeds failed, so there is nothing to report$"):
        sweep(tmp_path / "sweep", *GRID, "sweep.retries=0")
    printed = capsys.readouterr().out
    causes = "1000000 lost_process, 1000001 lost_process"
    assert f"    nothing to report: all test seeds failed ({causes})\n" in printed
    assert "have not been run" not in printed
    results = yaml.safe_load((tmp_path / "sweep" / "optimization_results.yaml").read_text(encoding="utf-8"))
    assert results["test"] == {"failed": dict.fromkeys(TEST_SEEDS, "lost_process")}


def test_the_seeds_that_are_left_are_reported_and_the_others_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_on(TEST_SEEDS[1:], monkeypatch)
    sweep(tmp_path / "sweep", *GRID, "sweep.retries=0")
    assert "on 1 test seed; 1 more failed (1000001 lost_process)\n" in capsys.readouterr().out
    results = yaml.safe_load((tmp_path / "sweep" / "optimization_results.yaml").read_text(encoding="utf-8"))
    assert (results["test"]["seeds"], results["test"]["failed"]) == ([1_000_000], {1_000_001: "lost_process"})


def test_mean_and_error_are_of_the_seeds_that_gave_values() -> None:
    """Of 1 and 3 the deviation is the root of 2, and so the standard error is 1."""
    by_seed = {7: [1.0], 9: "diverged", 8: [3.0]}
    assert text_of(by_seed, ["objective"], is_to_report=True) == (
        "to report: objective 2 +- 1 (standard error), on 2 test seeds; 1 more failed (9 diverged)"
    )
    expected = {"seeds": [7, 8], "mean": 2.0, "standard_error": 1.0, "failed": {9: "diverged"}}
    assert entry_of(by_seed) == {"test": expected}
    assert entry_of({}) == {}


@pytest.mark.parametrize(
    ("tested", "is_nothing"),
    [
        ([], False),
        ([{}, {7: "error"}], True),
        ([{7: "error"}, {7: "timeout"}], True),
        ([{7: "error"}, {7: [0.0]}], False),
    ],
)
def test_nothing_is_measured_where_no_run_gave_a_value(
    tested: list[dict[int, list[float] | str]], is_nothing: bool
) -> None:
    assert is_nothing_measured(tested) == is_nothing


def test_a_sweep_that_is_extended_knows_the_tests_of_its_earlier_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The setting that is added is worth more on the seed that chooses, and less on the test seed."""
    rates = [round(x * 1e-6, 8) for x in range(440, 500, 3)]
    first, added = next(
        (a, b)
        for a, b in itertools.permutations(rates, 2)
        if value(a, 0.02, 0) + 0.002 < value(b, 0.02, 0) and value(a, 0.02, 1_000_000) > value(b, 0.02, 1_000_000)
    )
    common = ("sweep.test_seeds=1", "sweep.num_tested=1", "ppo.kl_coef=0.02", "seed=0")
    sweep(tmp_path, f"ppo.lr={first},1e-5", *common)
    capsys.readouterr()
    sweep(tmp_path, f"ppo.lr={first},{added},1e-5", *common, "hydra.sweeper.accept_changes=true")
    printed = capsys.readouterr().out
    assert "leading (not decided): trial 0, objective " in printed
    # Without the only test seed, the seed that chooses would choose the setting that is worse on it.
    reported = (
        f"    to report: objective {value(added, 0.02, 1_000_000):.3g}, what a setting chosen in this way comes to"
    )
    assert f"{reported} on a seed that did not choose it (test seed 1000000 left out)\n" in printed
    assert yaml.safe_load((tmp_path / "optimization_results.yaml").read_text())["best_trial"] == 0
