"""What is looked at before a run: keys that may change on continuing, lengths that just fit, models by their keys."""

import dataclasses
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Compose
from safetensors.torch import save_file

from rlhf_sweeps import assets
from rlhf_sweeps.config.differences import describe_differences, flatten
from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.resolvers import register_resolvers
from rlhf_sweeps.config.schema import Config, as_dict
from rlhf_sweeps.platforms import memory
from rlhf_sweeps.preflight import check_folder, check_inputs
from rlhf_sweeps.record import Run

FREE = {"name"}
FREE_SECTIONS = {"tracking", "checkpoint", "sweep"}


def model_folder(folder: Path, **content: Any) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def test_each_key_but_the_free_ones_keeps_a_run_from_being_continued(compose_config: Compose, tmp_path: Path) -> None:
    config = compose_config()
    plain = as_dict(config)
    Run(tmp_path).begin(plain)
    for key in flatten(plain):
        *above, name = key.split(".")
        changed = json.loads(json.dumps(plain))
        node = changed
        for part in above:
            node = node[part]
        node[name] = "odd"
        is_free = key in FREE or key.split(".")[0] in FREE_SECTIONS
        assert (describe_differences(plain, changed) == "") == is_free, key
    other = replace(config, eval=replace(config.eval, every=7))
    with pytest.raises(
        ConfigError, match=r"holds a run with other settings \(eval.every was 5, is 7\); choose another"
    ):
        check_folder(other, tmp_path)
    check_folder(replace(config, name="odd", sweep=replace(config.sweep, retries=7)), tmp_path)


def test_a_run_of_an_earlier_version_is_continued(compose_config: Compose, tmp_path: Path) -> None:
    config = compose_config()
    earlier = as_dict(config)
    del (
        earlier["objective"]["kl_price"],
        earlier["model"]["suggested_kl_budget"],
        earlier["dataset"]["suggested_judges"],
    )
    Run(tmp_path).begin(earlier)
    check_folder(config, tmp_path)
    dearer = replace(config, objective=replace(config.objective, kl_price=0.5))
    with pytest.raises(ConfigError, match=r"other settings \(objective.kl_price was 0.1, is 0.5\); choose another"):
        check_folder(dearer, tmp_path)


def checked(config: Config, **changes: Any) -> None:
    check_inputs(replace(config, **changes))


def test_a_prompt_and_its_response_may_fill_the_context(compose_config: Compose, tmp_path: Path) -> None:
    config = compose_config()
    assert (config.dataset.max_prompt_length, config.ppo.response_length) == (64, 32)
    for context in (96, 95):
        folder = model_folder(tmp_path / str(context), max_position_embeddings=context)
        model = replace(config.model, path=str(folder))
        if context == 96:
            checked(config, model=model)
        else:
            with pytest.raises(ConfigError, match=r"ppo.response_length=32: .*=64 must fit the model's context of 95"):
                checked(config, model=model)


def test_adapters_may_be_as_wide_as_the_models_layers(compose_config: Compose, tmp_path: Path) -> None:
    config = compose_config("ppo.lora_rank=8")
    for width, key in ((8, "hidden_size"), (7, "hidden_size"), (7, "n_embd")):
        model = replace(config.model, path=str(model_folder(tmp_path / f"{width}{key}", **{key: width})))
        if width == 8:
            checked(config, model=model)
        else:
            with pytest.raises(ConfigError, match=r"^ppo.lora_rank=8: must be at most 7, the width of the model"):
                checked(config, model=model)


@pytest.mark.parametrize("name", ["LlamaForSequenceClassification", "BertForMaskedLM", "GPT2ForTokenClassification"])
def test_a_reward_model_is_no_policy(name: str, compose_config: Compose, tmp_path: Path) -> None:
    config, wrong = compose_config(), model_folder(tmp_path / "wrong", architectures=[name])
    with pytest.raises(ConfigError, match=rf"^model.path={wrong}: must be a causal language model, is a {name}$"):
        checked(config, model=replace(config.model, path=str(wrong)))


def test_a_batch_may_take_what_memory_is_left(compose_config: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    """A response of 32 tokens of 32 bytes is a KiB, so that 32 of them are 32 KiB."""
    config = compose_config()
    assert (config.ppo.batch_size, config.ppo.response_length) == (32, 32)
    monkeypatch.setattr(memory, "measure_free_memory", lambda: 2**15)
    checked(config)
    monkeypatch.setattr(memory, "measure_free_memory", lambda: 2**15 - 1)
    with pytest.raises(ConfigError, match=r"^ppo.batch_size=32: so many responses .*; must be at most 31$"):
        checked(config)
    monkeypatch.setattr(memory, "measure_free_memory", lambda: None)
    checked(config)


def test_each_model_is_looked_at_under_its_key(compose_config: Compose, tmp_path: Path) -> None:
    config = compose_config("eval.judges=[{reward_model: local, path: x}]")
    wrong = str(model_folder(tmp_path / "wrong", architectures=["LlamaForCausalLM"]))
    judge = replace(config.eval.judges[0], path=wrong)
    cases = {
        "reward_model.path": {"reward_model": replace(config.reward_model, path=wrong)},
        "eval.judges[0].path": {"eval": replace(config.eval, judges=[judge])},
        "ppo.value_path": {"ppo": replace(config.ppo, value_model="path", value_path=wrong)},
    }
    plain = replace(config, eval=replace(config.eval, judges=[]))
    for key, changes in cases.items():
        with pytest.raises(ConfigError) as error:
            checked(dataclasses.replace(plain, **changes))
        assert str(error.value) == f"{key}={wrong}: must be a sequence classifier, is a LlamaForCausalLM"


def test_what_was_checked_for_another_run_is_known_by_all_that_it_depends_on(
    compose_config: Compose, tmp_path: Path
) -> None:
    config, seen = compose_config(), set[str]()
    check_inputs(config, seen)
    num_seen = len(seen)
    check_inputs(config, seen)
    assert len(seen) == num_seen == 4  # the data set, the policy, the reward model, the judge
    wrong = model_folder(tmp_path / "wrong", architectures=["LlamaForCausalLM"])
    with pytest.raises(ConfigError, match="must be a sequence classifier"):
        check_inputs(replace(config, reward_model=replace(config.reward_model, path=str(wrong))), seen)
    with pytest.raises(ConfigError, match="must fit the model's context"):
        check_inputs(replace(config, ppo=replace(config.ppo, response_length=10_000)), seen)


@pytest.mark.parametrize(
    ("name", "value", "noun"),
    [
        ("architectures", 5, "a list"),
        ("architectures", "LlamaForCausalLM", "a list"),
        ("max_position_embeddings", "x", "an integer"),
        ("hidden_size", [8], "an integer"),
        ("id2label", ["a"], "an object"),
        ("text_config", "x", "an object"),
    ],
)
def test_a_config_with_values_of_another_kind_is_refused_in_a_line(
    name: str, value: object, noun: str, compose_config: Compose, tmp_path: Path
) -> None:
    config, wrong = compose_config("ppo.lora_rank=4"), str(model_folder(tmp_path / "wrong", **{name: value}))
    for key, changes in {
        "model.path": {"model": replace(config.model, path=wrong)},
        "reward_model.path": {"reward_model": replace(config.reward_model, path=wrong)},
    }.items():
        with pytest.raises(ConfigError) as told:
            checked(dataclasses.replace(config, **changes))
        assert str(told.value) == f"{key}={wrong}: its config.json must have {noun} as {name}, has {value}"


@pytest.mark.parametrize(
    "key", ["ppo.stop_strings", "objective.metrics", "objective.directions", "objective.constraints", "tracking.tags"]
)
def test_a_list_of_texts_holds_texts(key: str, compose_config: Compose) -> None:
    with pytest.raises(ConfigError, match=rf"^{re.escape(key)}\[0\]=\['a'\]: must be a text"):
        compose_config(f"{key}=[[a]]")


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Copies of the embedded policy and reward model."""
    policy, reward_model = (assets.folder(name) for name in ("tiny_policy", "tiny_reward_model"))
    return shutil.copytree(policy, tmp_path / "policy"), shutil.copytree(reward_model, tmp_path / "reward_model")


def at(config: Config, policy: Path, reward_model: Path) -> Config:
    reward = replace(config.reward_model, path=str(reward_model))
    return replace(config, model=replace(config.model, path=str(policy)), reward_model=reward)


def rewritten(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | changes), encoding="utf-8")


@pytest.mark.parametrize("which", [0, 1])
def test_ids_without_an_embedding_are_told_from_the_files_alone(
    which: int, compose_config: Compose, folders: tuple[Path, Path]
) -> None:
    config, key = at(compose_config(), *folders), ("model.path", "reward_model.path")[which]
    check_inputs(config)
    file = folders[which] / "tokenizer.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    rewritten(file, added_tokens=[*content["added_tokens"], {"id": 2048, "content": "<|more\n|>"}])
    told = rf"^{key}={folders[which]}: its embedding .* has 2048 rows \(vocab_size\) and not the id 2048 of '<\|more"
    with pytest.raises(ConfigError, match=told) as caught:
        check_inputs(config)
    assert "\n" not in str(caught.value)
    settings = json.loads((folders[which] / "config.json").read_text(encoding="utf-8"))
    rewritten(folders[which] / "config.json", vocab_size=None, text_config=settings | {"vocab_size": 2049})
    check_inputs(config)
    file.write_text("{}", encoding="utf-8")  # loading says what is wrong with it
    check_inputs(config)


def test_the_ids_of_a_list_of_tokens_are_their_places(compose_config: Compose, folders: tuple[Path, Path]) -> None:
    """As of SentencePiece's unigrams."""
    config = at(compose_config(), *folders)
    vocabulary = [[f"t{number}", -1.0] for number in range(2049)]
    rewritten(folders[0] / "tokenizer.json", model={"type": "Unigram", "vocab": vocabulary}, added_tokens=[])
    with pytest.raises(ConfigError, match="not the id 2048 of t2048"):
        check_inputs(config)


@pytest.mark.parametrize(
    ("head", "shape", "problem"),
    [
        ("score.weight", [1, 4], None),
        ("classifier.out_proj.weight", [1, 4], None),
        ("score.weight", [2, 4], "must have 1 outputs, its score.weight has 2; reward_model.label chooses one"),
        ("classifier.out_proj.weight", [3, 4], "must have 1 outputs, its classifier.out_proj.weight has 3"),
        ("pre_classifier.weight", [4, 4], None),  # DistilBERT's layer before the head
        ("model.layers.0.self_attn.out_proj.weight", [4, 4], None),
        ("lm_head.weight", [9, 4], "not a trained reward model, its weights are a language model's"),
    ],
)
def test_a_head_of_another_shape_is_told_from_the_header_alone(
    head: str, shape: list[int], problem: str | None, compose_config: Compose, folders: tuple[Path, Path]
) -> None:
    config = at(compose_config(), *folders)
    save_file({head: torch.zeros(shape)}, folders[1] / "model.safetensors")
    if problem is None:
        check_inputs(config)
        return
    with pytest.raises(ConfigError, match=f"^reward_model.path={folders[1]}: {problem}"):
        check_inputs(config)


def test_an_output_that_is_chosen_by_its_label_stands_among_the_configs(
    compose_config: Compose, folders: tuple[Path, Path]
) -> None:
    config = at(compose_config(), *folders)
    config = replace(config, reward_model=replace(config.reward_model, label="good"))
    rewritten(folders[1] / "config.json", id2label={"0": "bad", "1": "good"})
    save_file({"score.weight": torch.zeros(2, 4)}, folders[1] / "model.safetensors")
    check_inputs(config)
    save_file({"score.weight": torch.zeros(3, 4)}, folders[1] / "model.safetensors")
    with pytest.raises(ConfigError, match=r"must have 2 outputs, its score.weight has 3"):
        check_inputs(config)


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("size", [0, 5, 100, -1])
def test_weights_that_were_cut_are_told_before_they_are_loaded(
    size: int, which: int, compose_config: Compose, folders: tuple[Path, Path]
) -> None:
    config, key = at(compose_config(), *folders), ("model.path", "reward_model.path")[which]
    file = folders[which] / "model.safetensors"
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(ConfigError, match=rf"^{key}={folders[which]}: its model.safetensors is damaged \(.*\)$"):
        check_inputs(config)


def test_a_part_of_the_weights_that_is_gone_is_told(compose_config: Compose, folders: tuple[Path, Path]) -> None:
    config, index = at(compose_config(), *folders), folders[0] / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}))
    with pytest.raises(
        ConfigError, match=r"it lacks model-2.safetensors, which its model.safetensors.index.json names"
    ):
        check_inputs(config)
    index.write_text("[")
    with pytest.raises(ConfigError, match=r"its model.safetensors.index.json is damaged"):
        check_inputs(config)


def test_suggested_rates_have_six_digits() -> None:
    from omegaconf import OmegaConf

    register_resolvers()
    node = OmegaConf.create(
        {"rate": 3e-4, "a": "${times:${rate},0.1}", "b": "${basename:x/y.z}", "c": "${extension:m.f}"}
    )
    assert (node.a, node.b, node.c) == (3e-5, "y.z", "f")
    assert 3e-4 * 0.1 != 3e-5
