"""Bases of reward models that would be refused later, and pairs that hold control tokens: told before training."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from helpers.reward_trainings import ComposeTraining
from helpers.reward_trainings import compose_training as compose_training
from helpers.reward_trainings import small as small
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from rlhf_sweeps.assets import folder as asset
from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.reward_training import training


def base_of(folder: Path, name: str, **values: Any) -> str:
    """A base with random weights and the embedded policy's tokenizer, in a folder; the override that names it."""
    sizes = {"vocab_size": 2048, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1}
    config = getattr(transformers, name)(
        **sizes | {"num_attention_heads": 2, "num_key_value_heads": 2, "num_labels": 1} | values
    )
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(asset("tiny_policy")).save_pretrained(folder)
    return f"reward_model.base={folder}"


def test_a_base_that_would_be_refused_as_a_reward_model_is_refused_before_it_is_trained(
    compose_training: ComposeTraining, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "fit", lambda *arguments: pytest.fail("it is trained"))
    scaled = {"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [4.0] * 4, "rope_theta": 10000.0}
    phi3 = base_of(
        tmp_path / "phi3", "Phi3Config", rope_parameters=scaled, original_max_position_embeddings=20, pad_token_id=0
    )
    told = rf"^reward_model.base={tmp_path}/phi3: its positions \(longrope\) .* here it may have 21 \(reward_model.max_"
    with pytest.raises(ConfigError, match=told):
        training.train(compose_training(*small, phi3, "reward_model.max_length=21"), tmp_path / "trained")
    assert not (tmp_path / "trained").exists()
    # transformers has no classifier that comes to other numbers in a batch; one that does is made here.
    monkeypatch.setattr(training.ClassifierRewardModel, "_score", lambda self, tokens: torch.zeros(len(tokens)))
    llama = base_of(tmp_path / "llama", "LlamaConfig")
    with pytest.raises(ConfigError, match=rf"^reward_model.base={tmp_path}/llama: must be of an architecture that"):
        training.train(compose_training(*small, llama), tmp_path / "trained")


def test_pairs_with_control_tokens_in_their_text_are_counted(
    compose_training: ComposeTraining, small: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In a prompt for training, in a chosen answer and in a held-out rejected one; an unknown token is none."""
    caplog.set_level("INFO", "rlhf_sweeps")
    for file, number, field in (("train", 0, "prompt"), ("train", 3, "chosen"), ("test", 2, "rejected")):
        path = tmp_path / f"{file}.jsonl"
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        rows[number][field] += " <|end|> more"
        rows[5][field] += " <|endless|> more"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    training.train(compose_training(*small), tmp_path / "trained")
    assert "; kept: 3 whose text holds control tokens of the model" in caplog.text
    saved = json.loads((tmp_path / "trained" / "report.json").read_text(encoding="utf-8"))
    assert saved["training"]["pairs with control tokens in their text"] == 3
