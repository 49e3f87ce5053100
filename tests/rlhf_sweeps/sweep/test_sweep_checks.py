"""What a sweep asks for that cannot be is told in a line before the first run."""

import time
from pathlib import Path

import pytest
from helpers.sweeping import sweep

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.record import Sweep

KL, SHORT = "ppo.kl_coef=0.01,0.02", "ppo.total_episodes=64"
SEARCH = ("ppo.kl_coef=interval(0.01,0.1)", "hydra.sweeper.n_trials=2", SHORT)


def args(text: str) -> str:
    return f"+hydra.sweeper.sampler_args={text}"


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        ((KL, 'objective.constraints=["eval/length<=1.2.3"]'), "objective.constraints=eval/length<=1.2.3: must be"),
        ((KL, 'objective.constraints=["eval/length<=1e999"]'), "objective.constraints=eval/length<=1e999: must be"),
        (
            (KL, "hydra.sweeper.trial=helpers.fake_trainer.runn"),
            "hydra.sweeper.trial=helpers.fake_trainer.runn: must be the dotted path",
        ),
        ((KL, "hydra.sweeper.trial=no_such_module.run"), "hydra.sweeper.trial=no_such_module.run: must be the dotted"),
        (
            (KL, "hydra.sweeper.trial=helpers.fake_trainer"),
            "hydra.sweeper.trial=helpers.fake_trainer: must be the dotted path",
        ),
        ((KL, "hydra.sweeper.trial=helpers.fake_trainer.EVALUATED_EVERY"), "EVALUATED_EVERY: must be the dotted path"),
        ((*SEARCH, "hydra.sweeper.sampler=tpe", args("{n_startup_trials:-4}")), "n_startup_trials=-4: must be >= 0"),
        ((*SEARCH, "hydra.sweeper.sampler=tpe", args("{gamma:3}")), "sampler_args.gamma=3: must be"),
        ((*SEARCH, "hydra.sweeper.sampler=nsgaii", args("{swapping_prob:7}")), "swapping_prob"),
        ((*SEARCH, "hydra.sweeper.sampler=tpe", args("{n_ei_candidates:0}")), "n_ei_candidates=0"),
        ((*SEARCH, "hydra.sweeper.sampler=cmaes", args("{sigma0:nan}")), "sigma0=nan: must be >= 0"),
        ((KL, "hydra.sweeper.trial=json.JSONDecoder"), "hydra.sweeper.trial=json.JSONDecoder: must be the dotted path"),
        (
            (*SEARCH, "hydra.sweeper.sampler=tpe", args("{n_ei_candidates:1000000000}")),
            "=1000000000: must be <= 100000",
        ),
        ((KL, "sweep.seeds=2147483647"), "sweep.seeds=2147483647: must be >= 1 and <= 10000"),
        ((KL, "ppo.response_length=99999999999"), "ppo.response_length=99999999999: "),
        (
            (KL, "seed=2147483647", "sweep.seeds=2"),
            "seed=2147483647: with sweep.seeds=2 and sweep.test_seeds=0 the last",
        ),
        ((KL, "seed=2147000000", "sweep.test_seeds=2"), "the last one is 2148000001; must be < 2147483648"),
        ((KL, "ppo.batch_size=2000000000"), "ppo.batch_size=2000000000: so many responses of ppo.response_length="),
        (("ppo.kl_coef=range(0,1,0.001)", "ppo.lr=range(0.001,1,0.001)"), "a grid of more than 10000 settings"),
        (
            ("objective.kl_budget=5,15", SHORT),
            "objective.kl_budget=5.0,15.0: must be the same for all settings of a sweep, which are ranked by it; give "
            "one value for all, such as objective.kl_budget=5.0",
        ),
        (
            (KL, "model=tiny,smollm2_135m_pypi", SHORT),
            "objective.kl_budget=5.0,15.0 (by model=tiny and model=smollm2_135m_pypi): must be the same",
        ),
        ((*SEARCH, "model=choice(tiny,smollm2_135m_pypi)"), "(by model=tiny and model=smollm2_135m_pypi): must be"),
        ((*SEARCH, "objective.reduction=choice(best,last)"), "objective.reduction=best,last: must be the same"),
    ],
)
def test_it_is_refused_and_nothing_is_written(overrides: tuple[str, ...], problem: str, tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(ConfigError) as refused:
        sweep(tmp_path / "sweep", *overrides)
    assert problem in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "sweep").exists()
    assert time.monotonic() - began < 60


def test_the_last_seeds_there_are_can_be_had(tmp_path: Path) -> None:
    sweep(tmp_path / "sweep", KL, SHORT, "seed=2147483646", "sweep.seeds=2")
    assert Sweep(tmp_path / "sweep").run(1, 2147483647).summary() is not None


@pytest.mark.parametrize(
    ("axis", "kept"),
    [
        ("ppo.kl_coef=1,1.0,0.5", "1,0.5"),
        ("ppo.whiten_rewards=true,yes,false", "True,False"),
        ("eval.every=007,7,8", "007,8"),
        ("name=007,7", None),
        ("reward_model=tiny,tiny,length", "tiny,length"),
        ("ppo.value_lr=null,0.5,5e-1", "null,0.5"),
    ],
)
def test_a_value_that_is_given_twice_is_run_once(
    axis: str, kept: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sweep(tmp_path / "sweep", axis, SHORT)
    told = f"a value is given more than once; each is run once ({kept})"
    assert (told in caplog.text) == (kept is not None)
    assert len(Sweep(tmp_path / "sweep").trials()) == 2
