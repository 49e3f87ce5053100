"""The engine with a trainer that takes no time: which settings are run, in which order and how often."""

from pathlib import Path

import pytest
import yaml
from helpers.fake_trainer import value
from helpers.sweeping import SEARCH, starts, states, sweep, trials
from optuna.trial import TrialState

from rlhf_sweeps.record import Run
from rlhf_sweeps.sweep.display import Display

COMPLETE, PRUNED = TrialState.COMPLETE, TrialState.PRUNED


def test_a_grid_runs_every_point_once_in_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep(tmp_path, "ppo.lr=1e-4,5e-4", "ppo.kl_coef=0.01,0.02,0.1")
    points = [(lr, kl) for lr in (1e-4, 5e-4) for kl in (0.01, 0.02, 0.1)]
    found = trials(tmp_path)
    assert [(t.params["ppo.lr"], t.params["ppo.kl_coef"]) for t in found] == points
    assert [t.value for t in found] == pytest.approx([value(lr, kl, 0) for lr, kl in points])
    assert [starts(tmp_path / str(number)) for number in range(6)] == [1] * 6
    overrides = yaml.safe_load((tmp_path / "3" / ".hydra" / "overrides.yaml").read_text())
    assert overrides == ["tracking=disabled", "sweep.report=false", "ppo.lr=0.0005", "ppo.kl_coef=0.01"]
    best = max(points, key=lambda point: value(*point, 0))
    results = yaml.safe_load((tmp_path / "optimization_results.yaml").read_text())
    assert (results["name"], results["best_params"]) == ("optuna", {"ppo.lr": best[0], "ppo.kl_coef": best[1]})
    assert results["best_value"] == pytest.approx(value(*best, 0))
    assert (
        f"leading (not decided): trial {points.index(best)}, objective {value(*best, 0):.3g}" in capsys.readouterr().out
    )


@pytest.mark.slow
def test_a_search_finds_the_best_setting_and_prunes_bad_ones(tmp_path: Path) -> None:
    sweep(tmp_path, *SEARCH, "hydra.sweeper.n_trials=40")
    found = trials(tmp_path)
    assert len(found) == 40
    best = max(t.value for t in found if t.state == COMPLETE)
    assert best > 2 - 0.04
    pruned = [t for t in found if t.state == PRUNED]
    assert len(pruned) >= 10
    assert all(max(t.intermediate_values) < 30 for t in pruned)
    assert all((Run(tmp_path / str(t.number)).summary() or {})["stop_reason"] == "pruned" for t in pruned)


def test_seeds_are_averaged_and_pruned_between_and_test_seeds_are_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("ppo.lr=1e-4,5e-4,7e-4", "sweep.seeds=3", "sweep.test_seeds=2", "sweep.num_tested=2", "seed=10")
    counts: list[tuple[int, int]] = []
    monkeypatch.setattr(Display, "show", lambda _, trials, seconds_left, num_tests: counts.append(num_tests))
    sweep(tmp_path, *arguments)
    assert list(dict.fromkeys(counts)) == [(0, 0), (0, 4), (1, 4), (2, 4), (3, 4)]  # before the last one's end
    means = [sum(value(lr, 0.1, seed) for seed in (10, 11, 12)) / 3 for lr in (1e-4, 5e-4, 7e-4)]
    assert [t.value for t in trials(tmp_path)] == pytest.approx(means)
    assert all(starts(tmp_path / "0" / f"seed_{seed}") == 1 for seed in (10, 11, 12))
    tested = sorted(path.name for path in (tmp_path / "test").iterdir())
    assert tested == [f"{number}_seed_{seed}" for number in (1, 2) for seed in (1000010, 1000011)]
    best = (1e-4, 5e-4, 7e-4)[means.index(max(means))]
    held_out = [value(best, 0.1, seed) for seed in (1000010, 1000011)]
    results = yaml.safe_load((tmp_path / "optimization_results.yaml").read_text())
    assert results["test"]["mean"] == pytest.approx(sum(held_out) / 2)
    error = abs(held_out[0] - held_out[1]) / 2
    assert f"objective {sum(held_out) / 2:.3g} +- {error:.3g}" in capsys.readouterr().out
    sweep(tmp_path, *arguments)
    assert all(starts(tmp_path / "test" / name) == 1 for name in tested)


def test_a_setting_can_be_pruned_between_seeds(tmp_path: Path) -> None:
    sweep(
        tmp_path, "ppo.lr=1e-5,5e-4", "sweep.seeds=6", "hydra.sweeper.pruner=wilcoxon",
    )  # fmt: skip
    assert states(tmp_path) == [COMPLETE, COMPLETE]
    worse = tmp_path / "worse"
    sweep(worse, "ppo.lr=5e-4,1e-5", "sweep.seeds=6", "hydra.sweeper.pruner=wilcoxon")
    assert states(worse) == [COMPLETE, PRUNED]
    assert sorted(path.name for path in (worse / "1").glob("seed_*")) == [f"seed_{seed}" for seed in range(4)]


def test_a_sweep_in_a_folder_of_any_name(tmp_path: Path) -> None:
    """What stands for something in a URL stands for itself in a path."""
    folder = tmp_path / "a?b%20c"
    sweep(folder, "ppo.lr=1e-4,1e-3")
    assert (folder / "study.db").exists()


def test_fewer_trials_than_points_search_the_lists(tmp_path: Path) -> None:
    sweep(tmp_path, "ppo.kl_coef=0.01,0.02,0.03,0.04", "ppo.lr=1e-4,2e-4,3e-4", "hydra.sweeper.n_trials=5")
    assert len(trials(tmp_path)) == 5


def test_a_setting_is_run_once(tmp_path: Path) -> None:
    space = ("ppo.kl_coef=0.01,0.02,0.03", "ppo.lr=tag(step:1e-4,interval(1e-4,2e-4))")
    sweep(tmp_path, *space, "hydra.sweeper.n_trials=9", "hydra.sweeper.sampler=random", "hydra.sweeper.pruner=none")
    found = trials(tmp_path)
    values = [value(trial.params["ppo.lr"], trial.params["ppo.kl_coef"], 0) for trial in found]
    assert [trial.value for trial in found] == pytest.approx(values)
    settings = {tuple(trial.params.values()) for trial in found}
    assert len(found) == len(list(tmp_path.glob("[0-9]*"))) == len(settings) == 6  # all there are
