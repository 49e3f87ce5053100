"""Which reward models a sweep compares, what each run is told of the others, and the setting that stands for each."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from rlhf_sweeps.cli import conf_dir, register
from rlhf_sweeps.config.schema import Config
from rlhf_sweeps.record import Sweep
from rlhf_sweeps.sweep.composition import Composer
from rlhf_sweeps.sweep.contenders import find_best_settings, read_reward_model
from rlhf_sweeps.sweep.plan import Plan
from rlhf_sweeps.sweep.study.trials import COMPLETE, PRUNED, SweepTrial
from rlhf_sweeps.sweep.sweeper import make_plan


@pytest.fixture
def hydra() -> Iterator[None]:
    register()
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        yield


def planned(*overrides: str) -> tuple[Plan, Composer]:
    loader = GlobalHydra.instance().config_loader()
    master = loader.load_configuration("config", list(overrides), RunMode.MULTIRUN)
    composer = Composer(loader, master)
    return make_plan(master, loader, composer, list(master.hydra.overrides.task)), composer


def configs(*overrides: str) -> list[Config]:
    """Of every point of the sweep."""
    plan, composer = planned(*overrides)
    assert plan.points is not None
    return [composer.config(plan.overrides(point, None)) for point in plan.points]


@pytest.mark.usefixtures("hydra")
def test_each_reward_model_judges_all_on_a_common_scale() -> None:
    found = configs("reward_model=tiny,vader,length", "ppo.kl_coef=0.01,0.02", "eval.judges=[vader]")
    assert [config.reward_model.name for config in found] == ["tiny", "tiny", "vader", "vader", "length", "length"]
    for config in found:
        assert sorted(judge.name for judge in config.eval.judges) == ["length", "tiny", "vader"]
        assert config.reward_model.normalize is True
        assert not any(judge.normalize for judge in config.eval.judges)


@pytest.mark.usefixtures("hydra")
@pytest.mark.parametrize("overrides", [["ppo.kl_coef=0.01,0.02"], ["reward_model=tiny", "seed=0,1"]])
def test_one_reward_model_has_nothing_to_be_compared_with(overrides: list[str]) -> None:
    found = [([j.name for j in config.eval.judges], config.reward_model.normalize) for config in configs(*overrides)]
    assert found in ([(["grammar"], None)], [(["grammar"], None)] * 2)  # seeds are runs of one setting


@pytest.mark.usefixtures("hydra")
def test_what_is_asked_for_stands() -> None:
    given = ("reward_model.normalize=false", "eval.judge_each_other=false", "eval.judges=[tiny]")
    both = [
        ([judge.name for judge in config.eval.judges], config.reward_model.normalize)
        for config in configs("reward_model=vader,length", *given)
    ]
    assert both == [(["tiny"], False), (["tiny"], False)]


@pytest.mark.usefixtures("hydra")
def test_folders_and_values_tell_reward_models_apart() -> None:
    folders = configs("reward_model=local", "reward_model.path=a/first,b/second")
    assert [config.reward_model.name for config in folders] == ["first", "second"]
    namesakes = configs("reward_model=local", "reward_model.path=a/model,b/model")
    assert [config.reward_model.name for config in namesakes] == ["model[path=a:model]", "model[path=b:model]"]
    judges = {judge.name for judge in namesakes[0].eval.judges}
    assert judges == {"grammar", *(config.reward_model.name for config in namesakes)}
    weights = configs("reward_model=length,vader", "reward_model.name=same")
    assert [config.reward_model.name for config in weights] == ["same[kind=length]", "same[kind=vader]"]


@pytest.mark.usefixtures("hydra")
def test_the_experiment_turns_the_comparison_on() -> None:
    found = configs("reward_model=tiny,length", "experiment=compare_reward_models")
    assert {config.name for config in found} == {"compare_reward_models"}
    assert all(config.sweep.seeds > 1 and config.reward_model.normalize for config in found)


@pytest.mark.usefixtures("hydra")
def test_one_setting_of_each_reward_model_is_tested_unless_a_judge_of_all_compares_them() -> None:
    """Of three reward models on four test seeds twelve runs; by a judge five settings are tested, twenty runs."""
    sweep = ("reward_model=tiny,vader,length", "ppo.kl_coef=0.01,0.02", "sweep.test_seeds=4", "sweep.num_tested=5")
    plan, _ = planned(*sweep)
    assert (plan.reward_models, plan.has_own_scales, plan.recorded([]).num_tests) == (
        ["tiny", "vader", "length"],
        True,
        12,
    )
    plan, _ = planned(*sweep, "objective.metrics=[judge/vader/score]")
    assert (plan.is_comparison, plan.has_own_scales, plan.recorded([]).num_tests) == (True, False, 20)
    plan, _ = planned(*sweep[1:])
    assert (plan.is_comparison, plan.has_own_scales, plan.recorded([]).num_tests) == (False, False, 20)


def test_what_a_run_was_trained_on_is_told_by_its_record(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path)
    assert read_reward_model(sweep.run(0, None)) is None  # which has not begun
    for number, config in enumerate(
        ({"reward_model": {"name": "a"}}, {"reward_model": {"name": 1}}, {"reward_model": 1}, {})
    ):
        sweep.run(number, None).begin(config)
    assert [read_reward_model(sweep.run(number, None)) for number in range(4)] == ["a", None, None, None]


def trial(sweep: Sweep, number: int, objective: float, state: str = COMPLETE, **settings: str) -> SweepTrial:
    config: dict[str, Any] = {"reward_model": {"name": settings["reward_model"]}, "seed": settings.get("seed", 0)}
    sweep.run(number, None).begin(config)
    name = read_reward_model(sweep.run(number, None))
    return SweepTrial(number, {}, settings, sweep.trial(number), state, objectives=[objective], reward_model=name)


def test_the_best_setting_stands_for_a_reward_model(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path)
    trials = [
        trial(sweep, 0, 1.0, reward_model="a", lr="1"),
        trial(sweep, 1, 9.0, reward_model="b", lr="1"),
        trial(sweep, 2, 2.0, reward_model="a", lr="2"),
        trial(sweep, 3, 7.0, reward_model="a", lr="3", state=PRUNED),
    ]
    found = find_best_settings(trials, sweep, [0], ["maximize"])
    assert [(one.reward_model, one.trial) for one in found] == [("a", 2), ("b", 1)]
    assert [one.trial for one in find_best_settings(trials, sweep, [0], ["minimize"])] == [0, 1]


def test_a_setting_has_a_run_for_each_seed(tmp_path: Path) -> None:
    sweep, seeds = Sweep(tmp_path), [4, 2]
    trials = []
    for number, (lr, objective) in enumerate((("1", 4.5), ("2", 5.5))):
        settings = {"reward_model": "a", "lr": lr}
        for seed in seeds:
            sweep.run(number, seed).begin({"reward_model": {"name": "a"}, "seed": seed})
        fields: dict[str, Any] = {"objectives": [objective], "reward_model": "a"}
        trials.append(SweepTrial(number, {}, settings, sweep.trial(number), COMPLETE, **fields))
    (best,) = find_best_settings(trials, sweep, seeds, ["maximize"])
    assert [run.folder for run in best.runs] == [tmp_path / "1" / "seed_4", tmp_path / "1" / "seed_2"]


def test_a_setting_that_breaks_a_constraint_stands_for_nothing(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path)
    trials = [trial(sweep, 0, 9.0, reward_model="a", lr="1"), trial(sweep, 1, 2.0, reward_model="a", lr="2")]
    trials[0].violations = {"eval/kl<=3": 0.5}
    assert [one.trial for one in find_best_settings(trials, sweep, [0], ["maximize"])] == [1]
