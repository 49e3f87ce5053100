"""Training a reward model: it sees the tokens that it will score, and what is saved is what was trained."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from conftest import ROOT, CommandLine
from hydra import compose, initialize_config_dir
from omegaconf import open_dict
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertModel,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    PreTrainedTokenizerFast,
)
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from rlhf_sweeps import cli
from rlhf_sweeps.assets import folder as asset
from rlhf_sweeps.base_policy import exchanges_of
from rlhf_sweeps.data import encode, load_pairs
from rlhf_sweeps.fields import ConfigError, TooLargeError
from rlhf_sweeps.ppo import DivergedError
from rlhf_sweeps.ppo.memory import Halving
from rlhf_sweeps.reward_model_config import plain_classifier
from rlhf_sweeps.reward_models import command, fitting, pair_trainer, training, training_config
from rlhf_sweeps.reward_models.classifier import load_classifier
from rlhf_sweeps.reward_models.fitting import fit
from rlhf_sweeps.reward_models.pair_tokens import collate, set_pad_token
from rlhf_sweeps.reward_models.pair_trainer import take_pairs
from rlhf_sweeps.reward_models.training_config import RewardTrainingConfig
from rlhf_sweeps.runs import claim

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

    monkeypatch.setattr("rlhf_sweeps.reward_models.fitting.collate", watched)
    return batches


def weights(folder: Path) -> dict[str, torch.Tensor]:
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    return dict(model.named_parameters())


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
    assert f"| reward model | {report.accuracy.value:.3f} |" in card
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


def watch_passes(monkeypatch: pytest.MonkeyPatch, fails: Callable[[list[int]], bool]) -> list[int]:
    """A list into which the pairs of every pass come; what it holds says whether the last one did not fit."""
    passes: list[int] = []
    forward = LlamaDecoderLayer.forward

    def watched(layer: Any, hidden: torch.Tensor, *arguments: Any, **options: Any) -> Any:
        if torch.is_grad_enabled() and layer.self_attn.layer_idx == 1:
            passes.append(len(hidden) // 2)
            if fails(passes):
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 7 bytes.")
        return forward(layer, hidden, *arguments, **options)

    monkeypatch.setattr(LlamaDecoderLayer, "forward", watched)
    return passes


def test_microbatches_are_halved_and_the_numbers_stay(
    compose_training: ComposeTraining, small: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = compose_training(*small, "reward_model.batch_size=12", "reward_model.microbatch_size=6")
    caplog.set_level("INFO")
    passes, lines = {}, {}
    # A batch's second pass does not fit, where its first one has been counted already.
    for name, second in {"plenty": [], "short": [6, 6]}.items():
        caplog.clear()
        with pytest.MonkeyPatch.context() as patched:
            passes[name] = watch_passes(patched, second.__eq__)
            training.train(config, tmp_path / name)
        lines[name] = [line for line in caplog.messages if line.startswith("step ")]
    assert passes == {"plenty": [6, 6, 6, 6], "short": [6, 6, *[3] * 8]}
    found = {name: weights(tmp_path / name) for name in passes}
    for name, value in found["plenty"].items():
        assert torch.allclose(value, found["short"][name], atol=1e-4), name
    # What an attempt that failed has measured is not counted.
    assert lines["plenty"] == lines["short"]
    assert "reward_model.microbatch_size is 3 from here on; the numbers stay the same" in caplog.text


@pytest.mark.slow
def test_a_training_that_fits_in_no_way_says_so_in_a_line(
    compose_training: ComposeTraining, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = watch_passes(monkeypatch, bool)
    with pytest.raises(TooLargeError, match=r"^reward_model.microbatch_size=1: out of memory .*must be a smaller") as e:
        training.train(compose_training(*small), tmp_path / "trained")
    assert passes == [8, 4, 2, 1]
    assert "\n" not in str(e.value)


def test_pairs_are_taken_from_a_batch_by_hand() -> None:
    """Four pairs: chosen answers first, then the rejected ones; the second and third need two columns."""
    ids = torch.tensor([[1, 2, 3], [4, 0, 0], [5, 0, 0], [6, 0, 0], [1, 2, 0], [4, 5, 0], [6, 0, 0], [7, 8, 9]])
    part = take_pairs({"input_ids": ids, "attention_mask": (ids > 0).long()}, range(1, 3))
    assert part["input_ids"].tolist() == [[4, 0], [5, 0], [4, 5], [6, 0]]
    assert part["attention_mask"].tolist() == [[1, 0], [1, 0], [1, 1], [1, 0]]


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
    monkeypatch.setattr(pair_trainer, "SECONDS_BETWEEN_LINES", 0.001)
    monkeypatch.setattr(fitting, "SECONDS_BETWEEN_LINES", 0.0)
    changes = ["reward_model.microbatch_size=2", "reward_model.num_epochs=7"]  # 21 steps, a line after every second
    training.train(compose_training(*small, *changes), tmp_path / "trained")
    lines = [line for line in caplog.messages if line.startswith("step ")]
    assert any(re.fullmatch(r"step \d+: [246] of 8 pairs done", line) for line in lines)
    assert [line.split(":")[0] for line in lines if ": loss" in line] == [f"step {n} of 21" for n in range(1, 22)]


def train_on_a_pretended_machine(gibibytes: float, folder: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    """A step of the README's own training of a real model, in a process that may come to have so many GiB."""
    code = f"""
import atexit, sys
from rlhf_sweeps.platforms.memory import room
room.share = int({gibibytes} * 2**30)
def tell():
    with open("/proc/self/status") as file:
        print("PEAK", next(line.split()[1] for line in file if line.startswith("VmHWM")))
atexit.register(tell)
from rlhf_sweeps.reward_models.command import main
main()
"""
    given = ["train", "model=smollm2_135m_pypi", "reward_model.lora_rank=16", "device=cpu", f"hydra.run.dir={folder}"]
    command = [sys.executable, "-c", code, *given, *overrides]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder.parent, env=environment, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody knows what there is")
def test_a_real_model_on_a_small_machine_ends_well(tmp_path: Path) -> None:
    """16 pairs at once take about 3 GiB, of which 2.2 are there; on 0.7 GiB not even the model and one pair fit."""
    lines = (asset("human_like_mini") / "train.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    for split, chosen in (("train", lines[:16]), ("test", lines[16:36])):
        (tmp_path / f"{split}.jsonl").write_text("".join(chosen), encoding="utf-8")
    data = ["dataset=local", f"dataset.path={tmp_path}/train.jsonl", f"dataset.eval_path={tmp_path}/test.jsonl"]
    data += ["reward_model.batch_size=16", "reward_model.microbatch_size=16"]
    small = train_on_a_pretended_machine(2.2, tmp_path / "small", *data)
    assert small.returncode == 0, small.stderr
    assert "reward_model.microbatch_size is 8 from here on; the numbers stay the same" in small.stdout
    assert (tmp_path / "small" / "report.json").exists()
    peak = int(small.stdout.rpartition("PEAK ")[2]) / 2**20
    assert peak < 2.2 + 0.8  # the weights' file, and libraries, are in nobody's way
    tiny = train_on_a_pretended_machine(0.7, tmp_path / "tiny", *data)
    assert tiny.returncode == 2
    errors = [line for line in tiny.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "out of memory (more is needed than the 0.7 GiB that this process may have); must be " in errors[0]
    assert "Traceback" not in tiny.stderr


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
        plain_classifier(str(tmp_path / "trained"), "x", "float32"), tokenizer, Halving("", 4), torch.device("cpu")
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
    exchanges = exchanges_of([pair.prompt for pair in pairs], prompts, responses, ended, end_ids, tokenizer)
    assert loaded.reads_tokens
    assert loaded.score(exchanges).tolist() == pytest.approx(expected, abs=1e-5)
    as_trl = replace(exchanges, ended=None)
    assert max(abs(loaded.score(as_trl) - torch.tensor(expected))).item() > 0.01


def test_rules_are_fixed_on_the_training_pairs(compose_training: ComposeTraining, small: list[str]) -> None:
    """Turned round there, they rank the held-out pairs wrong; the embedded reward model does not care."""
    pairs = load_pairs(compose_training(*small).dataset)
    turned = [replace(pair, chosen=pair.rejected, rejected=pair.chosen) for pair in pairs.train]
    report = training.evaluate(asset("tiny_reward_model"), replace(pairs, train=turned), 8, torch.device("cpu"))
    found = {one.rule: one.accuracy.value for one in report.comparisons}
    assert found["longer words"] < 0.1
    assert found["longer"] < 0.5
    assert report.accuracy.value > 0.95


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
    command.main()
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
        command.main()
    assert "hydra.run.dir=r: another process is training there; choose another folder" in capsys.readouterr().err
    assert not (tmp_path / "r" / "config.json").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["teach"], "teach: must be train (see --help)"),
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


@pytest.mark.slow
def test_the_default_ranks_the_embedded_pairs_right(command_line: CommandLine, tmp_path: Path) -> None:
    result = command_line("train", "hydra.run.dir=trained", module="rlhf_sweeps.reward_models")
    assert result.returncode == 0, result.stderr
    report = json.loads((tmp_path / "trained" / "report.json").read_text(encoding="utf-8"))
    assert report["accuracy"]["low"] > 0.95
