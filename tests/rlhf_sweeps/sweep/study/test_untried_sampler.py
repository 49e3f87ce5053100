"""Searches of few settings try each once; settings that cannot be cost nothing but their suggestion."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
from helpers.sweeping import sweep, trials
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from rlhf_sweeps.sweep import SweepFailedError, engine, schedule
from rlhf_sweeps.sweep.search.samplers import SAMPLERS
from rlhf_sweeps.sweep.search.search_space import SearchSpace
from rlhf_sweeps.sweep.study.study import Study
from rlhf_sweeps.sweep.study.untried_sampler import UntriedSampler

PRUNED, FAIL = TrialState.PRUNED, TrialState.FAIL
FOUR_BY_FOUR = ("ppo.lr=1e-5,1e-4,5e-4,1e-3", "ppo.kl_coef=0.001,0.01,0.1,1.0")
# 49 batch sizes, of which 4 divides 13.
DIVIDED = ("ppo.batch_size=tag(int,interval(16,64))", "ppo.num_minibatches=4", "ppo.microbatch_size=4")


def ran(folder: Path) -> list[Mapping[str, Any]]:
    """The settings that were run."""
    return [trial.params for trial in trials(folder) if (folder / str(trial.number) / "starts").exists()]


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "sampler", ["tpe", *(pytest.param(name, marks=pytest.mark.slow) for name in sorted(SAMPLERS) if name != "tpe")]
)
def test_twelve_trials_of_sixteen_points_are_twelve_settings(tmp_path: Path, sampler: str, seed: int) -> None:
    sweep(tmp_path, *FOUR_BY_FOUR, "hydra.sweeper.n_trials=12", f"hydra.sweeper.sampler={sampler}",
          f"hydra.sweeper.seed={seed}")  # fmt: skip
    found = ran(tmp_path)
    assert len(trials(tmp_path)) == len(found) == len({tuple(one.items()) for one in found}) == 12


def test_a_search_ends_when_all_its_settings_were_tried(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep(tmp_path, "ppo.num_ppo_epochs=tag(int,interval(1,3))", "ppo.lr=1e-4,5e-4", "hydra.sweeper.n_trials=20")
    found = ran(tmp_path)
    assert len(trials(tmp_path)) == len(found) == len({tuple(one.items()) for one in found}) == 6
    assert "6 trials: " in capsys.readouterr().out
    sweep(tmp_path, "ppo.num_ppo_epochs=tag(int,interval(1,3))", "ppo.lr=1e-4,5e-4", "hydra.sweeper.n_trials=20")
    assert len(trials(tmp_path)) == 6


def test_conditions_count() -> None:
    """Three learning rates, two batch sizes, and where the batch is 16 four numbers of epochs: 3 * (4 + 1)."""
    arguments = ["ppo.lr=1e-4,2e-4,3e-4", "ppo.batch_size=16,32", "ppo.num_ppo_epochs=tag(int,interval(1,4))"]
    space = SearchSpace.parse(arguments, {}, {"ppo.num_ppo_epochs": {"ppo.batch_size": 16}}, [], None)
    found = space.choices(most=15)
    assert found is not None
    assert len({tuple(sorted(point.items())) for point in found}) == len(found) == 15
    assert space.choices(most=14) is None
    assert SearchSpace.parse([*arguments, "ppo.gamma=interval(0.9,1)"], {}, {}, [], None).choices(10_000) is None


@pytest.mark.parametrize(
    "sampler", ["tpe", *(pytest.param(name, marks=pytest.mark.slow) for name in ("random", "qmc"))]
)
def test_settings_that_cannot_be_are_told_to_the_sampler_and_are_no_failures(
    tmp_path: Path, sampler: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep(tmp_path, *DIVIDED, "ppo.lr=tag(log,interval(1e-4,1e-3))", "hydra.sweeper.n_trials=8",
          f"hydra.sweeper.sampler={sampler}", "hydra.sweeper.max_failure_rate=0.1")  # fmt: skip
    found = trials(tmp_path)
    bad = [trial for trial in found if trial.state == FAIL]
    assert len(ran(tmp_path)) == 8
    assert len(bad) == len(found) - 8 > 0
    (counts,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith(f"{len(found)} trials: ")]
    assert "failed" not in counts
    assert counts.endswith(f"; {len(bad)} settings impossible")
    for trial in bad:
        assert trial.params["ppo.batch_size"] % 4 != 0
        assert trial.user_attrs["cause"] == "config"
        assert not (tmp_path / str(trial.number)).exists()


def test_samplers_see_a_setting_that_cannot_be_as_the_worst_there_is(tmp_path: Path) -> None:
    """As pruned before any report; what failed for reasons that a setting does not tell stays failed."""
    study = Study(
        f"journal:{tmp_path / 'j'}", "s", ["eval/score"], ["maximize"], lambda number: RandomSampler(seed=number)
    )
    for notes in (
        {"cause": "config", "has_run": False},
        {"cause": "config"},
        {"cause": "diverged"},
        {"cause": "error"},
    ):
        number, _ = study.ask(lambda suggest: {"x": suggest("x", FloatDistribution(0, 1))})
        study.note(number, **notes)
        study.tell(number, "failed")
    seen = [(trial.state, trial.intermediate_values) for trial in study._study.trials]
    assert seen == [(PRUNED, {}), (FAIL, {}), (PRUNED, {}), (FAIL, {})]
    assert [trial.state for trial in study.trials()] == [FAIL] * 4


def test_a_search_that_finds_nothing_to_run_ends_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in (engine, schedule):
        monkeypatch.setattr(module, "MOST_FUTILE", 4)
    arguments = ("ppo.batch_size=tag(int,interval(16,48))", "ppo.num_minibatches=16", "hydra.sweeper.sampler=random")
    message = (
        r"none of 4 settings in a row could be run; trial \d+: ppo\.num_minibatches=16: must divide ppo\.batch_size="
    )
    with pytest.raises(SweepFailedError, match=message):
        sweep(tmp_path, *arguments, "ppo.lr=tag(log,interval(1e-4,1e-3))", "hydra.sweeper.n_trials=50")
    assert len(trials(tmp_path)) < 50
    assert "trials: " in capsys.readouterr().out


def test_the_nearest_setting_that_is_left_is_taken() -> None:
    """The sampler would have 3 and c; of what is left 4 is nearer than 1, and there b is nearer than a."""
    wanted = {"x": 3, "y": "c"}

    class Fixed(RandomSampler):
        def sample_independent(self, study: Any, trial: Any, name: str, distribution: Any) -> Any:
            return wanted[name]

    left = [{"x": 1, "y": "c"}, {"x": 4, "y": "a"}, {"x": 4, "y": "b"}]
    study = optuna.create_study(sampler=UntriedSampler(Fixed(), left))
    trial = study.ask({"x": IntDistribution(1, 5), "y": CategoricalDistribution(["a", "b", "c"])})
    assert trial.params == {"x": 4, "y": "b"}
    left.append({"x": 3, "y": "c"})
    again = study.ask({"x": IntDistribution(1, 5), "y": CategoricalDistribution(["a", "b", "c"])})
    assert again.params == wanted
