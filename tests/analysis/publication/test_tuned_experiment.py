"""A setting as an experiment: Hydra composes from its file the config that the best trial had."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, CommandLine
from helpers.checkouts import make_checkout
from helpers.sweeping import sweep

from analysis.publication.publish import publish
from analysis.reading.conversion import flatten
from analysis.wording.errors import AnalysisError
from rlhf_sweeps.process import activity
from rlhf_sweeps.record import Run

# They belong to a run, its sweep or its machine and not to its setting.
OTHERS = ("name", "seed", "device", "sweep", "tracking")
GRID = ("ppo.lr=1e-3,5e-4", "ppo.total_episodes=64")
DEFAULT = 0.1  # ppo.kl_coef of the embedded model


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep, to be copied into checkouts; of its swept values one is the default."""
    folder = tmp_path_factory.mktemp("finished") / "grid"
    sweep(folder, f"ppo.kl_coef={DEFAULT},1", "ppo.total_episodes=64")
    return folder


@pytest.fixture(autouse=True)
def _in_a_checkout(tmp_path: Path, finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(make_checkout(tmp_path / "project"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    shutil.copytree(finished, "outputs/finished")


def read_setting(text: str) -> dict[str, Any]:
    return flatten({key: value for key, value in yaml.safe_load(text).items() if key not in OTHERS})


def compose(command_line: CommandLine, *words: str) -> dict[str, Any]:
    done = command_line("--cfg", "job", "--config-dir", "conf", *words, cwd=Path.cwd())
    assert done.returncode == 0, done.stderr
    return read_setting(done.stdout)


@pytest.mark.parametrize(
    "words",
    [
        ("ppo=n_details", "model.suggested_lr=2e-5", "objective.constraints=['eval/length<=40']"),
        ("experiment=compare_reward_models", "reward_model=length", "reward_model.target=7"),
        ("sweep.test_seeds=2", "sweep.num_tested=1", "eval.judges=[length,{reward_model: length, target: 3, name: b}]"),
    ],
    ids=["choices", "experiment", "lists"],
)
def test_the_file_composes_the_config_of_the_best_trial(words: tuple[str, ...], command_line: CommandLine) -> None:
    sweep(Path("outputs/grid"), *GRID, *words)
    publish(Path("outputs/grid"), "grid", "my_tuned")
    best = next(Path("outputs/grid/1").rglob(".hydra")).parent  # lr 5e-4 is the best one of the fake trainer
    assert compose(command_line, "experiment=my_tuned") == read_setting(Run(best).config_file.read_text("utf-8"))
    lines = Path("conf/experiment/my_tuned.yaml").read_text("utf-8").splitlines()
    assert lines[:2] == ["# @package _global_", "# python -m rlhf_sweeps experiment=my_tuned"]
    assert "# Record: outputs/showcase/grid" in lines


def test_a_tuned_value_is_written_even_if_it_is_the_default() -> None:
    publish(Path("outputs/finished"), "grid", "my_tuned")
    model = yaml.safe_load(Path("conf/model/tiny.yaml").read_text("utf-8"))
    assert model["suggested_kl_coef"] == DEFAULT
    written = yaml.safe_load(Path("conf/experiment/my_tuned.yaml").read_text("utf-8"))
    assert written["ppo"] == {"kl_coef": DEFAULT, "total_episodes": 64}


def test_the_same_record_may_write_its_experiment_again_and_another_may_not() -> None:
    file = Path("conf/experiment/my_tuned.yaml")
    file.write_text("# Record: outputs/showcase/grid\n", encoding="utf-8")
    with pytest.raises(AnalysisError, match=r"^conf/experiment/my_tuned\.yaml: is not the setting of this record"):
        publish(Path("outputs/finished"), "other", "my_tuned")
    assert file.read_text("utf-8") == "# Record: outputs/showcase/grid\n"
    assert not Path("outputs/showcase").exists()
    publish(Path("outputs/finished"), "grid", "my_tuned")
    assert "name: my_tuned" in file.read_text("utf-8")


def test_reward_models_have_no_best_setting_but_one_of_their_trials_can_be_published() -> None:
    sweep(Path("outputs/grid"), "reward_model=tiny,length", "ppo.total_episodes=64")
    with pytest.raises(AnalysisError, match=r"^grid: has no best setting, since scores of different reward models"):
        publish(Path("outputs/grid"), "grid", "my_tuned")
    assert not Path("outputs/showcase").exists()
    publish(Path("outputs/grid/1"), "grid_1", "my_tuned")
    assert "override /reward_model: length" in Path("conf/experiment/my_tuned.yaml").read_text("utf-8")


def test_a_choice_that_is_not_in_the_project_is_refused() -> None:
    Path("conf/ppo/default.yaml").unlink()
    with pytest.raises(
        AnalysisError, match=r"^ppo=default: its file must be in the project: add conf/ppo/default\.yaml"
    ):
        publish(Path("outputs/finished"), "grid", "my_tuned")


def test_a_config_that_no_file_can_compose_is_refused() -> None:
    """A key that was removed: a file can only add and change keys."""
    file = Run(Path("outputs/finished/0")).config_file
    config = yaml.safe_load(file.read_text("utf-8"))
    del config["ppo"]["gamma"]
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    with pytest.raises(AnalysisError, match=r"^experiment=my_tuned: .* which differs from it in ppo\.gamma$"):
        publish(Path("outputs/finished"), "grid", "my_tuned")
    assert not Path("conf/experiment/my_tuned.yaml").exists()


def test_a_key_with_a_dot_is_refused() -> None:
    """A file could say it only as a key within a key, which is another setting."""
    file = Run(Path("outputs/finished/0")).config_file
    config = yaml.safe_load(file.read_text("utf-8"))
    config["reward_model"]["arguments"] = {"a.b": 1}
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    with pytest.raises(AnalysisError, match=r"^0: no experiment can hold the key 'a\.b', since it contains a dot"):
        publish(Path("outputs/finished"), "grid", "my_tuned")
    assert not Path("outputs/showcase").exists()


def test_an_argument_that_is_called_storage_is_written(command_line: CommandLine) -> None:
    words = ("reward_model=callable", "reward_model.function=rewards.score", "+reward_model.arguments.storage=disk")
    recorded = yaml.safe_load(command_line("--cfg", "job", *words, cwd=Path.cwd()).stdout)
    Run(Path("outputs/finished/0")).config_file.write_text(yaml.safe_dump(recorded), encoding="utf-8")
    hydra_file = Run(Path("outputs/finished/0")).hydra_file
    hydra = yaml.safe_load(hydra_file.read_text("utf-8"))
    hydra["hydra"]["runtime"]["choices"]["reward_model"] = "callable"
    hydra_file.write_text(yaml.safe_dump(hydra), encoding="utf-8")
    publish(Path("outputs/finished"), "grid", "my_tuned")
    composed = compose(command_line, "experiment=my_tuned")
    assert composed["reward_model.arguments.storage"] == "disk"


def test_who_waits_for_the_composed_config_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(activity, "FIRST_LINE", 0.05)
    publish(Path("outputs/finished"), "grid", "my_tuned")
    assert "composing the config of an experiment (for 0 s)" in capsys.readouterr().err
