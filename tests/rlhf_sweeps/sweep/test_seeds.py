"""A seed is never a setting: a grid over seeds averages each setting over them, in every output alike."""

from pathlib import Path

import pytest
import yaml
from helpers import fake_trainer
from helpers.sweeping import starts, sweep, trials
from omegaconf import OmegaConf
from optuna import load_study
from optuna.trial import TrialState

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.record import Sweep
from rlhf_sweeps.sweep.search.search_space import SearchSpace

# KL coefficient -> seed -> what a run is worth. 0.02 has the luckiest run; by their means, 0.01 is worth 1.1, 0.02 1.0.
LUCKY = {0.01: {0: 1.0, 1: 1.2, 2: 1.1}, 0.02: {0: 0.5, 1: 0.4, 2: 2.1}}
SETTINGS, SEEDS = "ppo.kl_coef=0.01,0.02", "seed=0,1,2"
SHORT = "ppo.total_episodes=160"  # 5 updates


@pytest.fixture
def lucky(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake_trainer, "value", lambda lr, kl_coef, seed: LUCKY[kl_coef][seed])


def test_a_grid_over_seeds_names_the_setting_that_is_best_in_the_mean(
    lucky: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep(tmp_path, SETTINGS, SEEDS, SHORT)
    assert [trial.value for trial in trials(tmp_path)] == pytest.approx([1.1, 1.0])
    assert [trial.params for trial in trials(tmp_path)] == [{"ppo.kl_coef": 0.01}, {"ppo.kl_coef": 0.02}]
    assert load_study(study_name=tmp_path.name, storage=f"sqlite:///{tmp_path}/study.db").best_trial.number == 0
    printed = capsys.readouterr().out
    assert (
        "leading (not decided): trial 0, objective 1.1 (mean of 3 seeds: 1 to 1.2)\n    ppo.kl_coef=0.01\n" in printed
    )
    results = yaml.safe_load((tmp_path / "optimization_results.yaml").read_text())
    assert results["best_params"] == {"ppo.kl_coef": 0.01}
    assert (results["best_trial"], results["best_value"]) == (0, pytest.approx(1.1))
    assert sorted(path.name for path in (tmp_path / "1").iterdir()) == ["seed_0", "seed_1", "seed_2"]


def test_seeds_alone_are_one_trial(tmp_path: Path) -> None:
    sweep(tmp_path, "seed=7,3", SHORT)
    (trial,) = trials(tmp_path)
    assert trial.params == {}
    config = OmegaConf.load(tmp_path / "0" / "seed_3" / ".hydra" / "config.yaml")
    assert config.seed == 3
    worths = [fake_trainer.value(config.ppo.lr, config.ppo.kl_coef, seed) for seed in (7, 3)]
    assert trial.value == pytest.approx(sum(worths) / 2)
    assert Sweep(tmp_path).start()["seeds"] == [7, 3]  # type: ignore[index]


@pytest.mark.parametrize("seeds", ["+seed=4,5", "++seed=4,5", "seed=range(4,6)", "seed=choice(4,5)", "seed=4,5,4"])
def test_a_swept_seed_is_the_list_of_seeds_however_it_is_written(seeds: str) -> None:
    space = SearchSpace.parse([SETTINGS, seeds], {}, {}, [], same=lambda key, value, text: text)
    assert space.seeds == (4, 5)
    assert space.grid() == [{"ppo.kl_coef": 0.01}, {"ppo.kl_coef": 0.02}]
    assert space.fixed == ["seed=4"]
    assert "seed" not in space.describe()


def test_seeds_may_stand_in_the_sweepers_params() -> None:
    for given in ("4,5", {"type": "categorical", "choices": [4, 5]}):
        space = SearchSpace.parse([SETTINGS], {"seed": given}, {}, [])
        assert space.seeds == (4, 5)
    assert SearchSpace.parse([SETTINGS, "seed=6"], {"seed": "4,5"}, {}, []).seeds is None


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["seed=0.5,1"], r"seed=0\.5,1: seeds must be whole numbers >= 0 and < 2147483648"),
        (["seed=-1,1"], "seed=-1,1: seeds must be whole numbers"),
        (["seed=true,1"], "seed=True,1: seeds must be whole numbers"),
        (["seed=0,2147483648"], "seeds must be whole numbers"),
        (["seed=0,1", "hydra.sweeper.ties=[[seed,ppo.kl_coef]]"], "seed=0,1: every setting is averaged over all seeds"),
        (["seed=0,1", "hydra.sweeper.conditions={ppo.kl_coef: {seed: 1}}"], "ties and conditions cannot have seed"),
        (["++seed=0,1", "hydra.sweeper.conditions={seed: {ppo.kl_coef: 0.01}}"], r"\+\+seed=0,1: every setting"),
        (["hydra.sweeper.params={seed: [0,1]}"], "seed"),
        (
            ["seed=0,1", "sweep.seeds=2"],
            r"^seed=0,1: chooses seeds, and .* sweep\.seeds=2, which chooses its own, from seed in the config on",
        ),
        (["seed=0,1000000", "sweep.test_seeds=1"], r"sweep\.test_seeds=1: .*chosen by seed 1000000, too"),
    ],
)
def test_what_cannot_be_averaged_over_is_one_line(arguments: list[str], says: str, tmp_path: Path) -> None:
    with pytest.raises(Exception, match=says) as error:
        sweep(tmp_path / "s", SETTINGS, *arguments)
    if isinstance(error.value, ConfigError):
        assert "\n" not in str(error.value)
    assert not (tmp_path / "s").exists()


def test_listed_seeds_and_test_seeds_go_together(tmp_path: Path) -> None:
    sweep(tmp_path, SETTINGS, "seed=5,2", "sweep.test_seeds=2", "sweep.num_tested=1", SHORT)
    best = max(trials(tmp_path), key=lambda trial: trial.value).number
    tested = sorted(path.name for path in (tmp_path / "test").iterdir())
    assert tested == [f"{best}_seed_1000005", f"{best}_seed_1000006"]


def test_seeds_are_numbers_however_they_are_written() -> None:
    assert SearchSpace.parse(["seed=007,8"], {}, {}, []).seeds == (7, 8)


def test_one_listed_seed_is_that_of_every_run(tmp_path: Path) -> None:
    sweep(tmp_path, SETTINGS, "seed=choice(9)", SHORT)
    configs = [yaml.safe_load((tmp_path / n / ".hydra" / "config.yaml").read_text()) for n in ("0", "1")]
    assert [config["seed"] for config in configs] == [9, 9]


def test_the_order_of_seeds_is_theirs_who_typed_them(tmp_path: Path) -> None:
    sweep(tmp_path, SETTINGS, "seed=1,0", SHORT)
    with pytest.raises(ConfigError, match=r"seed was 1, is 0; seeds was \[1, 0\], is \[0, 1\]"):
        sweep(tmp_path, SETTINGS, "seed=0,1", SHORT)
    sweep(tmp_path, SETTINGS, "seed=1,0", SHORT)
    assert starts(tmp_path / "0" / "seed_1") == 1


def as_before(folder: Path) -> None:
    """Make a sweep over one seed's record that of a version which had a trial for each seed: its space has the seed."""
    start = Sweep(folder).start()
    assert start is not None
    for record in (start, *start["configurations"]):
        record["axes"] = [*record["axes"], {"key": "seed", "kind": "list", "choices": ["0", "1"]}]
    Sweep(folder).write_start(start)


def test_a_sweep_with_a_trial_for_each_seed_is_not_gone_on_with_by_accident(tmp_path: Path) -> None:
    sweep(tmp_path, SETTINGS, SHORT)
    as_before(tmp_path)
    with pytest.raises(ConfigError, match="holds another sweep") as error:
        sweep(tmp_path, SETTINGS, "seed=0,1", SHORT)
    assert "begun by a version that had a trial for each seed" in str(error.value)
    assert "\n" not in str(error.value)
    sweep(tmp_path, SETTINGS, "seed=0,1", SHORT, "hydra.sweeper.accept_changes=true")
    assert [trial.state for trial in trials(tmp_path)] == [TrialState.COMPLETE] * 4
    assert (tmp_path / "3" / "seed_1").is_dir()
