"""Trainings of reward models of three steps, and what is seen of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import open_dict
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoModelForSequenceClassification,
    PreTrainedTokenizerFast,
)

from rlhf_sweeps import cli
from rlhf_sweeps.assets import folder as asset
from rlhf_sweeps.reward_training import config as training_config
from rlhf_sweeps.reward_training.config import RewardTrainingConfig
from rlhf_sweeps.reward_training.pair_tokens import collate

ComposeTraining = Callable[..., RewardTrainingConfig]


@pytest.fixture
def compose_training() -> ComposeTraining:
    """Overrides -> checked config."""
    cli.register()
    training_config.register()

    def composed(*overrides: str) -> RewardTrainingConfig:
        with initialize_config_dir(cli.conf_dir(), version_base="1.3"):
            config = compose("reward_model_training", overrides=list(overrides))
            with open_dict(config):
                config.pop("hydra", None)
            return training_config.from_hydra(config)

    return composed


@pytest.fixture
def small(tmp_path: Path) -> list[str]:
    """A training of three steps: 24 of the embedded pairs, 20 held out, one thread."""
    for split, num in (("train", 24), ("test", 20)):
        lines = (asset("human_like_mini") / f"{split}.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
        (tmp_path / f"{split}.jsonl").write_text("".join(lines[:num]), encoding="utf-8")
    data = [f"dataset.path={tmp_path}/train.jsonl", f"dataset.eval_path={tmp_path}/test.jsonl"]
    return [*data, "device=cpu", "reward_model.batch_size=8", "reward_model.microbatch_size=8"]


def watch_batches(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, torch.Tensor]]:
    """A list into which every batch comes that the trainer is given."""
    batches: list[dict[str, torch.Tensor]] = []

    def watched(rows: list[dict[str, Any]], pad_id: int) -> dict[str, torch.Tensor]:
        batches.append(collate(rows, pad_id))
        return batches[-1]

    monkeypatch.setattr("rlhf_sweeps.reward_training.fitting.collate", watched)
    return batches


def weights(folder: Path) -> dict[str, torch.Tensor]:
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    return dict(model.named_parameters())


def words(tmp_path: Path, **special: str) -> PreTrainedTokenizerFast:
    """A tokenizer of the embedded pairs' words, without a chat template."""
    text = (tmp_path / "train.jsonl").read_text(encoding="utf-8")
    known = dict.fromkeys([*special.values(), *(part for part in text.split() if part.isalpha())])
    backend = Tokenizer(models.WordLevel({word: place for place, word in enumerate(known)}, special["unk_token"]))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if "sep_token" in special:
        begin, separate = special["cls_token"], special["sep_token"]
        backend.post_processor = processors.BertProcessing((separate, known_place(known, separate)), (begin, 1))
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, model_max_length=64, model_input_names=["input_ids", "token_type_ids"], **special
    )


def known_place(known: dict[str, None], word: str) -> int:
    return list(known).index(word)
