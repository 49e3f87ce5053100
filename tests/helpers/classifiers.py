"""Classifiers made for tests: with the embedded tokenizer, or one of their own."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Compose
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from rlhf_sweeps.config.reward_models import ClassifierConfig
from rlhf_sweeps.config.schema import Config
from rlhf_sweeps.models import loading as models

CPU = torch.device("cpu")
TALK = [{"role": "user", "content": "how are you"}]


@pytest.fixture
def config(compose_config: Compose) -> Config:
    return compose_config()


@pytest.fixture
def tokenizer(config: Config) -> PreTrainedTokenizerBase:
    return models.load_tokenizer(config.model)


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    """A classifier with another tokenizer, segments and two outputs, as sentiment models have them."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "how", "are", "you", "fine", "thanks", "bad"]
    words_to_ids = {word: number for number, word in enumerate(words)}
    inner = Tokenizer(WordLevel(words_to_ids, unk_token="[UNK]"))
    inner.pre_tokenizer = Whitespace()
    inner.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokens = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    names = ["input_ids", "token_type_ids", "attention_mask"]
    PreTrainedTokenizerFast(tokenizer_object=inner, model_input_names=names, **tokens).save_pretrained(tmp_path)
    shape = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=12,
        id2label={0: "NEGATIVE", 1: "POSITIVE"},
        initializer_range=0.5,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertForSequenceClassification(shape).save_pretrained(tmp_path)
    return tmp_path


def bert_config(config: Config, path: Path, label: str | None = "POSITIVE") -> ClassifierConfig:
    return replace(config.reward_model, path=str(path), label=label)


def saved(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def decoder(config_class: type, **changes: Any) -> PreTrainedModel:
    """A random decoder with one output and the embedded vocabulary."""
    sizes: dict[str, Any] = {
        "vocab_size": 2048,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "initializer_range": 0.5,
        "pad_token_id": 0,
        "num_labels": 1,
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model: PreTrainedModel = AutoModelForSequenceClassification.from_config(config_class(**sizes | changes))
        return model.eval()
