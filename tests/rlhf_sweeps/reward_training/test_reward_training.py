"""Training a reward model: what is saved is what was trained, and the seed fixes it."""

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import CommandLine
from helpers.reward_trainings import ComposeTraining, watch_batches, weights
from helpers.reward_trainings import compose_training as compose_training
from helpers.reward_trainings import small as small
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    TrainerState,
)

from rlhf_sweeps.assets import folder as asset
from rlhf_sweeps.data import load_pairs
from rlhf_sweeps.process.failures import DivergedError
from rlhf_sweeps.reward_training import fitting, pair_trainer, training
from rlhf_sweeps.reward_training.fitting import fit


def test_the_folder_holds_a_reward_model_a_report_and_a_card(
    compose_training: ComposeTraining, small: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = compose_training(*small)
    report = training.train(config, tmp_path / "trained")
    saved = json.loads((tmp_path / "trained" / "report.json").read_text(encoding="utf-8"))
    assert saved["accuracy"]["value"] == report.accuracy.value
    assert saved["accuracy"]["num_pairs"] == 20
    assert saved["training"]["training pairs"] == 24
    assert saved["training"]["steps"] == 3
    # The default asks for 512, and the base reads half of it.
    assert (config.reward_model.max_length, saved["training"]["tokens at most"]) == (512, 256)
    assert json.loads((tmp_path / "trained" / "config.json").read_text(encoding="utf-8"))["use_cache"] is True
    card = (tmp_path / "trained" / "README.md").read_text(encoding="utf-8")
    assert "| base | `embedded:tiny_policy` |" in card
    assert "| lr | 0.0005 |" in card
    assert f"| reward model | {100 * report.accuracy.value:.3g} % |" in card
    assert "rule: shorter words" in capsys.readouterr().out
    assert (tmp_path / "trained" / "model.safetensors").exists()
    # Scored by transformers itself, one answer at a time.
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "trained").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "trained")
    num_right = 0
    for line in (tmp_path / "test.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        scores = []
        for answer in (row["chosen"], row["rejected"]):
            chat = [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": answer}]
            ids = tokenizer.apply_chat_template(chat, return_tensors="pt", return_dict=False)
            scores.append(model(ids).logits.item())
        num_right += scores[0] > scores[1]
    assert report.accuracy.value == num_right / 20


def test_a_training_that_is_cut_short_leaves_nothing_that_passes_for_a_model(
    compose_training: ComposeTraining, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, seen = tmp_path / "trained", []

    def die(made: Path, *_: object) -> None:
        seen.append((made / "model.safetensors").is_file() and not (folder / "config.json").exists())
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "evaluate", die)
    with pytest.raises(KeyboardInterrupt):
        training.train(compose_training(*small, "reward_model.max_steps=1"), folder)
    assert seen == [True]
    assert list(folder.iterdir()) == []


@pytest.mark.slow
def test_the_seed_fixes_the_weights_and_microbatches_do_not_matter(
    compose_training: ComposeTraining, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = watch_batches(monkeypatch)
    first: dict[str, list[list[int]]] = {}
    variants = {"a": [], "b": [], "seed": ["seed=1"], "micro": ["reward_model.microbatch_size=2"]}
    for name, changes in variants.items():
        batches.clear()
        training.train(compose_training(*small, "reward_model.max_steps=2", *changes), tmp_path / name)
        first[name] = batches[0]["input_ids"].tolist()
    found = {name: weights(tmp_path / name) for name in variants}
    assert first["a"] == first["b"] != first["seed"]
    assert all(torch.equal(value, found["b"][name]) for name, value in found["a"].items())
    assert not torch.equal(found["a"]["score.weight"], found["seed"]["score.weight"])
    for name, value in found["a"].items():
        assert torch.allclose(value, found["micro"][name], atol=1e-4), name


def test_adapters_are_merged_and_the_head_is_trained(
    compose_training: ComposeTraining, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = compose_training(*small, "reward_model.lora_rank=2", "reward_model.max_steps=2")
    assert config.highest_lr == pytest.approx(5e-3)
    fitted: dict[str, Any] = {}

    def watched(*arguments: Any) -> Any:
        fitted["head"] = arguments[1].score.weight.clone()
        fitted["model"], num_steps = fit(*arguments)
        return fitted["model"], num_steps

    monkeypatch.setattr(training, "fit", watched)
    training.train(config, tmp_path / "trained")
    assert json.loads((tmp_path / "trained" / "report.json").read_text(encoding="utf-8"))["training"]["steps"] == 2
    saved, base = weights(tmp_path / "trained"), weights(asset("tiny_policy"))
    assert not any("lora" in name for name in saved)
    assert torch.equal(saved["model.embed_tokens.weight"], base["model.embed_tokens.weight"])
    name = "model.layers.0.self_attn.q_proj.weight"
    assert torch.linalg.matrix_rank(saved[name] - base[name], rtol=1e-3) == 2
    assert not torch.equal(saved["score.weight"], fitted["head"])
    for name, value in fitted["model"].named_parameters():
        assert torch.equal(value, saved[name]), name


@pytest.mark.slow
def test_slow_steps_are_told_as_they_go_on(
    compose_training: ComposeTraining,
    small: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """While a step lasts, and after each of them; of many quick ones only ten lines tell."""
    caplog.set_level("INFO")
    monkeypatch.setattr(pair_trainer, "SECONDS_WITHIN_STEP", 0.001)
    monkeypatch.setattr(fitting, "SECONDS_BETWEEN_LOG_LINES", 0.0)
    changes = ["reward_model.microbatch_size=2", "reward_model.num_epochs=7"]  # 21 steps, a line after every second
    training.train(compose_training(*small, *changes), tmp_path / "trained")
    lines = [line for line in caplog.messages if line.startswith("step ")]
    assert any(re.fullmatch(r"step \d+ of 21, 8 pairs \((25|50|75) % after .*\)", line) for line in lines)
    assert [line.split(":")[0] for line in lines if ": loss" in line] == [f"step {n} of 21" for n in range(1, 22)]


def test_the_time_left_is_said_by_hand() -> None:
    """Two steps took 90 s, so that the fourteen others take 630 s; the last of three minutes' sixty takes 3 s."""
    assert fitting.describe_time_left(90.0, 2, 16) == ", about 10 min left"
    assert fitting.describe_time_left(177.0, 59, 60) == ""
    assert fitting.describe_time_left(720.0, 16, 16) == ""


def test_the_time_before_the_first_step_does_not_count(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Two steps in 90 s are 45 s a step, so 14 more take 10.5 min; with 200 s before the first they would take 34."""
    caplog.set_level("INFO")
    clock = iter([0.0, 200.0, 290.0])
    monkeypatch.setattr(fitting, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    log = fitting._Log("dataset")
    state = TrainerState(global_step=2, max_steps=16)
    log.on_train_begin()
    log.on_log(None, state, None, {"loss": 0.5, "accuracy": 0.75})  # type: ignore[arg-type]
    assert caplog.messages == ["step 2 of 16: loss 0.5, 75 % of the pairs right, about 10 min left"]


def test_rules_are_fixed_on_the_training_pairs(compose_training: ComposeTraining, small: list[str]) -> None:
    """Turned round there, they rank the held-out pairs wrong; the embedded reward model does not care."""
    pairs = load_pairs(compose_training(*small).dataset)
    turned = [replace(pair, chosen=pair.rejected, rejected=pair.chosen) for pair in pairs.train]
    report = training.evaluate(asset("tiny_reward_model"), replace(pairs, train=turned), 8, torch.device("cpu"))
    found = {one.rule: one.accuracy.value for one in report.comparisons}
    assert found["longer words"] < 0.1
    assert found["longer"] < 0.5
    assert report.accuracy.value > 0.95


@pytest.mark.slow
def test_a_loss_that_is_no_number_ends_the_training(
    compose_training: ComposeTraining, small: list[str], tmp_path: Path
) -> None:
    for num_epochs, message in {1: "not all weights are numbers after step 3", 2: "the loss is nan at step 4"}.items():
        config = compose_training(*small, "reward_model.lr=1e30", f"reward_model.num_epochs={num_epochs}")
        with pytest.raises(DivergedError) as caught:
            training.train(config, tmp_path / "trained")
        assert str(caught.value) == f"reward_model.lr=1e+30: {message}"
    assert not (tmp_path / "trained" / "model.safetensors").exists()


def test_the_name_and_the_learning_rate_follow_the_base(compose_training: ComposeTraining) -> None:
    chosen = compose_training("model=smollm2_135m")
    assert (chosen.name, chosen.highest_lr) == ("smollm2_135m", 1e-5)
    assert chosen.base.path == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert chosen.base_key == "model.path"
    given = compose_training("reward_model.base=embedded:tiny_reward_model", "reward_model.lora_rank=4")
    assert (given.name, given.base.path) == ("tiny_reward_model", "embedded:tiny_reward_model")
    assert given.highest_lr == pytest.approx(1e-4)
    assert given.base_key == "reward_model.base"
    assert compose_training("reward_model.base=my/folder", "reward_model.lr=0.1").highest_lr == 0.1


@pytest.mark.slow
def test_the_default_ranks_the_embedded_pairs_right(command_line: CommandLine, tmp_path: Path) -> None:
    result = command_line("train", "hydra.run.dir=trained", module="rlhf_sweeps.reward_models")
    assert result.returncode == 0, result.stderr
    report = json.loads((tmp_path / "trained" / "report.json").read_text(encoding="utf-8"))
    assert report["accuracy"]["low"] > 0.95
