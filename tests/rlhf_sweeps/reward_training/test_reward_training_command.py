"""The command that trains a reward model: its last line, and what it refuses before anything is made."""

import os
import sys
from pathlib import Path

import pytest
from conftest import CommandLine
from helpers.reward_trainings import ComposeTraining
from helpers.reward_trainings import compose_training as compose_training
from helpers.reward_trainings import small as small
from transformers import (
    AutoTokenizer,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
)

from rlhf_sweeps.assets import folder as asset
from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.record import claim
from rlhf_sweeps.reward_models.__main__ import main
from rlhf_sweeps.reward_training import command, training


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["reward_model.microbatch_size=3"], "reward_model.microbatch_size=3: must divide reward_model.batch_size=32"),
        (["reward_model.lr=0"], "reward_model.lr=0.0: must be > 0"),
        (["reward_model.warmup_ratio=1"], "reward_model.warmup_ratio=1.0: must be >= 0 and < 1"),
        (["device=gpu"], "device=gpu: must be auto, cpu, cuda, cuda:<number> or mps"),
        (["dataset=local"], "dataset.path: no value given; it is required (dataset.path=...)"),
        (["dataset.path=null"], "dataset.path=None: either a path or dataset.sources must be given, and not both"),
        (["dataset=mixture", "dataset.sources=[nothing]"], "dataset.sources[0]=nothing: "),
    ],
)
def test_values_that_cannot_work(overrides: list[str], message: str, compose_training: ComposeTraining) -> None:
    with pytest.raises(ConfigError) as caught:
        compose_training(*overrides)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_what_is_checked_before_a_folder_is_made(
    compose_training: ComposeTraining, small: list[str], tmp_path: Path
) -> None:
    command.check(compose_training(*small), tmp_path / "new")
    (tmp_path / "empty").mkdir()
    few = tmp_path / "few.jsonl"
    few.write_text((tmp_path / "test.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)[0], encoding="utf-8")
    refused = {
        f"reward_model.base={tmp_path}/none": "no such file or folder",
        f"reward_model.base={tmp_path}/empty": "must be a folder with a config.json",
        f"dataset.eval_path={few}": "must have at least 20 held-out pairs to report on, has 1",
        "dataset.chosen_column=good": "dataset.chosen_column=good: ",
    }
    for override, message in refused.items():
        with pytest.raises(ConfigError) as caught:
            command.check(compose_training(*small, override), tmp_path / "new")
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="holds a model already"):
        command.check(compose_training(*small), asset("tiny_policy"))


def test_bases_that_cannot_be_trained(compose_training: ComposeTraining, small: list[str], tmp_path: Path) -> None:
    LlamaForCausalLM.from_pretrained(asset("tiny_policy")).save_pretrained(tmp_path / "mute")
    three = LlamaForSequenceClassification.from_pretrained(
        asset("tiny_reward_model"), num_labels=3, ignore_mismatched_sizes=True
    )
    three.save_pretrained(tmp_path / "three")
    AutoTokenizer.from_pretrained(asset("tiny_policy")).save_pretrained(tmp_path / "three")
    for base, message in {"mute": "AutoTokenizer cannot load it", "three": "a classifier with one output"}.items():
        with pytest.raises(ConfigError, match=message) as caught:
            training.train(compose_training(*small, f"reward_model.base={tmp_path}/{base}"), tmp_path / "trained")
        assert str(caught.value).startswith(f"reward_model.base={tmp_path}/{base}: ")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("device", "visible", "left", "then"),
    [
        ("auto", None, "0", "auto"),
        ("cuda:1", None, "1", "cuda"),
        ("cuda:1", "4,7", "7", "cuda"),
        ("cuda", "4,7", "4", "cuda"),
        ("cpu", "4,7", "4,7", "cpu"),
        ("auto", "", "", "auto"),
    ],
)
def test_one_gpu_is_left_in_sight(
    device: str,
    visible: str | None,
    left: str,
    then: str,
    compose_training: ComposeTraining,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible or "")
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    config = compose_training(f"device={device}")
    command.show_one_gpu(config)
    assert (os.environ["CUDA_VISIBLE_DEVICES"], config.device) == (left, then)


def test_the_command_trains_and_its_last_line_says_how_to_use_it(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    quiet = ["hydra/job_logging=none", "hydra/hydra_logging=none"]
    words = ["train", *small, "hydra.run.dir=my folder", "reward_model.max_steps=1", *quiet]
    monkeypatch.setattr(sys, "argv", ["python -m rlhf_sweeps.reward_models", *words])
    monkeypatch.chdir(tmp_path)
    main()
    assert capsys.readouterr().out.splitlines()[-1] == (
        "Use it with: python -m rlhf_sweeps reward_model=local 'reward_model.path=my folder'"
    )
    assert (tmp_path / "my folder" / "model.safetensors").exists()


def test_a_folder_where_another_process_trains_is_left_to_it(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    quiet = ["hydra/job_logging=none", "hydra/hydra_logging=none"]
    monkeypatch.setattr(
        sys, "argv", ["python -m rlhf_sweeps.reward_models", "train", *small, "hydra.run.dir=r", *quiet]
    )
    monkeypatch.chdir(tmp_path)
    with claim(tmp_path / "r", ""), pytest.raises(SystemExit):
        main()
    assert "hydra.run.dir=r: another process is training there; choose another folder" in capsys.readouterr().err
    assert not (tmp_path / "r" / "config.json").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["teach"], "teach: must be train or screen (see --help)"),
        (["train", "reward_model.base=no/such/folder", "hydra.run.dir=run"], "no such file or folder"),
        (["train", "reward_model.rank=1"], "reward_model.rank: there is no such key"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_made(
    arguments: list[str], expected: str, command_line: CommandLine, tmp_path: Path
) -> None:
    result = command_line(*arguments, module="rlhf_sweeps.reward_models")
    (line,) = result.stderr.splitlines()
    assert (result.returncode, line.startswith("error: "), expected in line) == (2, True, True), line
    assert not list(tmp_path.iterdir())
