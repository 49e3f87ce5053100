"""The head on a sentence encoder: fitted where calculus has the best one, once, and again when its inputs differ."""

import logging
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.at_once import at_once
from helpers.encoders import CPU, HELD_OUT, TRAIN, WORDS, load, pair, save_tokenizer
from helpers.encoders import config as config
from helpers.encoders import folder as folder
from transformers import (
    BertModel,
)

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.reward_models import EncoderConfig
from rlhf_sweeps.config.schema import DatasetConfig
from rlhf_sweeps.reward_models import encoder as encoder_module
from rlhf_sweeps.reward_models import pair_head
from rlhf_sweeps.reward_models.base import Exchanges
from rlhf_sweeps.reward_models.encoder import Encoder, load_encoder


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
    assert "reward_model: head on 9 pairs, held-out accuracy 66.7 % (3 pairs), fitted in" in caplog.text
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
