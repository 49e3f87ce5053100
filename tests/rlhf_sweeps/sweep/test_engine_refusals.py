"""What the engine refuses before anything starts, in words that say what is wrong."""

from pathlib import Path

import pytest
from helpers.sweeping import SEARCH, contents, starts, sweep, trials
from optuna.trial import TrialState

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.record import Sweep

COMPLETE, FAIL = TrialState.COMPLETE, TrialState.FAIL


def test_another_space_or_config_is_refused_with_the_difference_or_accepted(tmp_path: Path) -> None:
    sweep(tmp_path, "ppo.kl_coef=0.01,0.02")
    before = contents(tmp_path)
    with pytest.raises(
        ConfigError, match=r"ppo\.kl_coef was choice\(0\.01,0\.02\), is choice\(0\.01,0\.05\)\).*accept_changes"
    ):
        sweep(tmp_path, "ppo.kl_coef=0.01,0.05")
    with pytest.raises(ConfigError, match=r"ppo\.clip_range was 0\.2, is 0\.1"):
        sweep(tmp_path, "ppo.kl_coef=0.01,0.02", "ppo.clip_range=0.1")
    with pytest.raises(ConfigError, match=r"\(ppo\.lr was None, is choice\(0\.1,0\.2\)\)"):
        sweep(tmp_path, "ppo.kl_coef=0.01,0.02", "ppo.lr=0.1,0.2")
    assert contents(tmp_path) == before
    sweep(tmp_path, "ppo.kl_coef=0.01,0.05", "hydra.sweeper.accept_changes=true")
    found = trials(tmp_path, f"{tmp_path.name}.2")
    assert [(t.number, t.params.get("ppo.kl_coef"), t.state) for t in found] == [
        (0, 0.01, COMPLETE),
        (1, None, FAIL),
        (2, 0.05, COMPLETE),
    ]
    assert [starts(tmp_path / str(number)) for number in range(3)] == [1] * 3


def test_a_second_sweeper_is_refused_with_the_firsts_process_and_host(tmp_path: Path) -> None:
    with Sweep(tmp_path).claim(), pytest.raises(ConfigError, match="another process is sweeping there; choose"):
        sweep(tmp_path, "ppo.kl_coef=0.01,0.02")
    sweep(tmp_path, "ppo.kl_coef=0.01,0.02")
    with Sweep(tmp_path).claim(), pytest.raises(ConfigError, match=r"process \d+ on \S+ is sweeping there since"):
        sweep(tmp_path, "ppo.kl_coef=0.01,0.02")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("hydra.sweeper.n_trials=0", "hydra.sweeper.n_trials=0: must be >= 1"),
        ("hydra.sweeper.sampler=magic", "hydra.sweeper.sampler=magic: "),
        ("hydra.sweeper.pruner=magic", "hydra.sweeper.pruner=magic: "),
        ("hydra.sweeper.direction=up", "hydra.sweeper.direction=up: "),
        ("hydra.sweeper.prune_on=eval/kl", "hydra.sweeper.prune_on=eval/kl: must be one of objective.metrics"),
        ("hydra.sweeper.n_jobs=3", "hydra.sweeper.workers=0: the same as"),
        ("hydra.sweep.subdir=x", "hydra.sweep.subdir: "),
        ("hydra.sweeper.ties=3", "hydra.sweeper.ties=3: must be null or a list"),
        ("hydra.sweeper.storage=nonsense://x", "hydra.sweeper.storage=nonsense://x: "),
        ("ppo.clip_range=interval(0.1,1.5)", "ppo.clip_range=1.5: must be > 0 and < 1"),
        ("objective.constraints=['eval/kl=3']", "objective.constraints=eval/kl=3: must be"),
        ("objective.metrics=[]", "objective.metrics"),
    ],
)
def test_bad_settings_are_told_before_anything_starts(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        sweep(tmp_path / "s", "ppo.lr=1e-4,1e-3", override)
    assert message in str(error.value)
    assert not list(tmp_path.glob("s/[0-9]*"))


def test_seeds_are_chosen_in_one_way(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"chooses seeds, and so does sweep\.seeds=2, "):
        sweep(tmp_path, "seed=0,1", "sweep.seeds=2")
    with pytest.raises(ConfigError, match="seed: a search does not choose seeds"):
        sweep(tmp_path, "seed=0,1", *SEARCH)


def test_a_sweep_of_one_run_is_refused(tmp_path: Path) -> None:
    for words in ([], ["ppo.lr=1e-4"]):
        with pytest.raises(
            ConfigError, match=r"^-m: nothing is swept; give .* \(sweep\.seeds=3\); a single run needs no -m$"
        ):
            sweep(tmp_path / "s", *words)
    assert not list(tmp_path.iterdir())


def test_a_search_that_sets_other_keys_is_refused(tmp_path: Path) -> None:
    """The command that runs its best setting again is without the search, and so would lose them."""
    for name, keys in (("bad", "ppo: {batch_size: 4}\n"), ("good", "name: mine\n")):
        file = tmp_path / "own" / "search" / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(
            f"# @package _global_\n{keys}hydra: {{sweeper: {{params: {{ppo.lr: '1e-4,1e-3'}}}}}}\n", "utf-8"
        )
    path = f"hydra.searchpath=[file://{tmp_path / 'own'}]"
    with pytest.raises(
        ConfigError, match=r"^search=bad: .*\(ppo\.batch_size was 32, is 4\); move them to an experiment$"
    ):
        sweep(tmp_path / "s", path, "search=bad")
    sweep(tmp_path / "s", path, "search=good")
