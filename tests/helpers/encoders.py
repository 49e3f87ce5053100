"""A sentence encoder small enough for tests, and the pairs that its head learns from."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizer,
)
from transformers import logging as transformers_logging

from rlhf_sweeps.config.reward_models import EncoderConfig
from rlhf_sweeps.config.schema import DatasetConfig
from rlhf_sweeps.data import PreferencePair
from rlhf_sweeps.reward_models import encoder as encoder_module
from rlhf_sweeps.reward_models.encoder import EncoderRewardModel, load_encoder

WORDS = ["red", "green", "blue", "cat", "dog", "bird", "runs", "sleeps", "eats", "the", "a", "very"]
CPU = torch.device("cpu")
DATASET = DatasetConfig(name="own")


def pair(prompt: str, chosen: str, rejected: str) -> PreferencePair:
    return PreferencePair([{"role": "user", "content": prompt}], chosen, rejected)


# The rule: whoever sleeps is preferred.
TRAIN = [pair(f"{a} {b}", f"the {a} {b} sleeps", f"the {b} {a} runs") for a in WORDS[:3] for b in WORDS[3:6]]
# Two that follow it, and one the other way round.
HELD_OUT = [
    pair("green red", "the green red sleeps", "the red green runs"),
    pair("cat dog", "the cat dog sleeps", "the dog cat runs"),
    pair("bird cat", "the cat bird runs", "the bird cat sleeps"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A random encoder of 16 numbers and 24 positions, and a tokenizer that knows twelve words."""
    transformers_logging.disable_progress_bar()
    path = tmp_path / "encoder"
    save_tokenizer(path, WORDS)
    torch.manual_seed(0)
    BertModel(tiny()).save_pretrained(path)
    return path


def save_tokenizer(path: Path, words: list[str]) -> None:
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    tokenizer = BertTokenizer(vocab={word: i for i, word in enumerate(vocabulary)}, model_max_length=24)
    tokenizer.save_pretrained(path)


def tiny() -> BertConfig:
    return BertConfig(
        vocab_size=17, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=24, initializer_range=0.5,
    )  # fmt: skip


@pytest.fixture
def config(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EncoderConfig:
    monkeypatch.setenv("RLHF_SWEEPS_CACHE", str(tmp_path / "cache"))
    found = SimpleNamespace(train=TRAIN, held_out=HELD_OUT)
    monkeypatch.setattr(encoder_module, "load_pairs", lambda *_: found)
    return EncoderConfig(
        kind="encoder", name="tiny", normalize=None, path=str(folder), revision=None, pypi_wheel=None, sha256=None,
        dtype="float32", max_length=10, num_pairs=100, pairs=None,
    )  # fmt: skip


def load(config: EncoderConfig) -> EncoderRewardModel:
    return load_encoder(config, DATASET, batch_size=4, device=CPU, key="reward_model")
