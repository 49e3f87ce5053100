"""A reward model is trained on the tokens that it will score, whatever its tokenizer knows."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.reward_trainings import ComposeTraining, watch_batches, words
from helpers.reward_trainings import compose_training as compose_training
from helpers.reward_trainings import small as small
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertModel,
    LlamaConfig,
    LlamaForCausalLM,
)

from rlhf_sweeps.assets import folder as asset
from rlhf_sweeps.config.reward_models import make_plain_classifier
from rlhf_sweeps.data import encode, load_pairs
from rlhf_sweeps.ppo.memory import BatchSize
from rlhf_sweeps.reward_models.classifier import load_classifier
from rlhf_sweeps.reward_training import training
from rlhf_sweeps.reward_training.pair_tokens import collate, set_pad_token
from rlhf_sweeps.training.base_policy import make_exchanges


@pytest.mark.parametrize("max_length", [28, 512])
def test_the_trainer_sees_what_the_reward_model_reads(
    max_length: int,
    compose_training: ComposeTraining,
    small: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every pair of the file once, templated as for scoring; short and long ones alike."""
    batches = watch_batches(monkeypatch)
    training.train(compose_training(*small, f"reward_model.max_length={max_length}"), tmp_path / "trained")
    seen = [
        tuple(ids[mask.bool()].tolist())
        for batch in batches
        for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True)
    ]
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "trained")
    expected, num_long = [], 0
    for line in (tmp_path / "train.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        for answer in (row["chosen"], row["rejected"]):
            chat = [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": answer}]
            ids = tokenizer.apply_chat_template(chat, return_dict=False)
            num_long += len(ids) > max_length
            expected.append(ids)
    assert (0 < num_long < 48) == (max_length == 28)
    assert len(seen) == 48
    whole = sorted(tuple(ids) for ids in expected if len(ids) <= max_length)
    assert [ids for ids in sorted(seen) if list(ids) in expected] == whole
    assert all(len(ids) <= max_length and ids[-1] == tokenizer.eos_token_id for ids in seen)


def test_ppo_scores_the_tokens_that_were_trained_on(
    compose_training: ComposeTraining, small: list[str], tmp_path: Path
) -> None:
    """Under a template that puts a newline after the end token, which no policy samples, as ChatML does."""
    shutil.copytree(asset("tiny_policy"), tmp_path / "base")
    template = (tmp_path / "base" / "chat_template.jinja").read_text(encoding="utf-8")
    with_newline = template.replace("'<|end|>' }}", "'<|end|>\\n' }}")
    assert with_newline != template
    (tmp_path / "base" / "chat_template.jinja").write_text(with_newline, encoding="utf-8")
    config = compose_training(*small, f"reward_model.base={tmp_path}/base", "reward_model.lr=0.001")
    training.train(config, tmp_path / "trained")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "trained").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "trained")
    (newline,) = tokenizer("\n", add_special_tokens=False)["input_ids"]
    loaded = load_classifier(
        make_plain_classifier(str(tmp_path / "trained"), "x", "float32"),
        tokenizer,
        BatchSize("", 4),
        torch.device("cpu"),
    )
    pairs = load_pairs(config.dataset).held_out
    prompts = encode([pair.prompt for pair in pairs], tokenizer, 200).ids
    responses, expected = [], []
    for pair, prompt in zip(pairs, prompts, strict=True):
        chat = [*pair.prompt, {"role": "assistant", "content": pair.chosen}]
        ids = tokenizer.apply_chat_template(chat, return_dict=False)
        assert ids[-2:] == [tokenizer.eos_token_id, newline]
        responses.append(ids[len(prompt) : -1])  # what a policy would have sampled
        expected.append(model(torch.tensor([ids])).logits.item())
    end_ids, ended = [tokenizer.eos_token_id], [True] * len(pairs)
    exchanges = make_exchanges([pair.prompt for pair in pairs], prompts, responses, ended, end_ids, tokenizer)
    assert loaded.reads_tokens
    assert loaded.score(exchanges).tolist() == pytest.approx(expected, abs=1e-5)
    as_trl = replace(exchanges, ended=None)
    assert max(abs(loaded.score(as_trl) - torch.tensor(expected))).item() > 0.01


def test_padding_is_not_the_end_token() -> None:
    rows = [{"chosen_ids": [3, 4, 1], "rejected_ids": [0, 1]}]
    tokenizer = AutoTokenizer.from_pretrained(asset("tiny_policy"))
    assert not set_pad_token(tokenizer, rows)
    assert tokenizer.pad_token == "<|pad|>"  # its own, whoever uses it
    tokenizer.pad_token = tokenizer.eos_token
    # 0 and 1 are used, 2 is <|system|>.
    assert not set_pad_token(tokenizer, rows)
    assert tokenizer.pad_token == "<|system|>"
    tokenizer.pad_token = None
    assert set_pad_token(tokenizer, [{"chosen_ids": [0, 1, 2, 3, 4], "rejected_ids": []}])
    assert tokenizer.pad_token_id == 2048  # the embedded ones have 2048 tokens


def test_a_batch_by_hand() -> None:
    rows = [
        {"chosen_ids": [5], "rejected_ids": [6, 7], "chosen_types": [0], "rejected_types": [0, 1]},
        {"chosen_ids": [8, 8, 8], "rejected_ids": [9], "chosen_types": [0, 0, 1], "rejected_types": [1]},
    ]
    batch = collate(rows, pad_id=4)
    assert batch["input_ids"].tolist() == [[5, 4, 4], [8, 8, 8], [6, 7, 4], [9, 4, 4]]
    assert batch["attention_mask"].tolist() == [[1, 0, 0], [1, 1, 1], [1, 1, 0], [1, 0, 0]]
    assert batch["token_type_ids"].tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]]
    plain = [{**rows[0], "chosen_types": [], "rejected_types": []}]
    assert set(collate(plain, pad_id=4)) == {"input_ids", "attention_mask"}


@pytest.mark.slow
def test_a_base_whose_only_special_token_is_the_end(
    compose_training: ComposeTraining, small: list[str], tmp_path: Path
) -> None:
    """Padding is added, the embedding grows, and transformers itself scores padded and alone the same."""
    tokenizer: Any = words(tmp_path, eos_token="</s>", unk_token="</s>", pad_token="</s>")
    num_tokens = len(tokenizer)
    shape = LlamaConfig(
        vocab_size=num_tokens,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=64,
        eos_token_id=0,
        bos_token_id=None,
    )
    LlamaForCausalLM(shape).save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    config = compose_training(*small, f"reward_model.base={tmp_path}/base", "reward_model.lr=0.01")
    training.train(config, tmp_path / "trained")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "trained")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "trained").eval()
    assert tokenizer.pad_token_id == model.config.pad_token_id == num_tokens
    assert model.get_input_embeddings().num_embeddings == num_tokens + 1
    alone = [model(torch.tensor([ids])).logits.item() for ids in ([5, 6, 7, 8], [5, 0])]
    padded = model(torch.tensor([[5, 6, 7, 8], [5, 0, num_tokens, num_tokens]])).logits.squeeze(-1).tolist()
    assert padded == pytest.approx(alone, abs=1e-5)


@pytest.mark.slow
def test_an_encoder_is_told_prompt_from_answer(
    compose_training: ComposeTraining, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    special = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]"}
    tokenizer = words(tmp_path, **special)
    shape = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=64,
    )
    BertModel(shape).save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    batches = watch_batches(monkeypatch)
    base = f"reward_model.base={tmp_path}/base"
    training.train(compose_training(*small, base, "reward_model.max_length=16"), tmp_path / "trained")
    columns = [batches[0][key] for key in ("input_ids", "token_type_ids", "attention_mask")]
    for ids, types, mask in zip(*columns, strict=True):
        assert ids[0] == 1  # [CLS], however much is cut
        first, second = (ids == 2).nonzero().flatten().tolist()  # [SEP] ends prompt and answer
        assert types.tolist() == [0] * (first + 1) + [1] * (second - first) + [0] * (len(ids) - second - 1)
        assert mask.sum() == second + 1
