"""What is looked at before a run: keys that may change on continuing, lengths that just fit, models by their keys."""

import dataclasses
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Compose

from rlhf_sweeps.config import Config, as_dict
from rlhf_sweeps.fields import ConfigError
from rlhf_sweeps.platforms import memory
from rlhf_sweeps.preflight import check_folder, check_inputs, differences, flatten
from rlhf_sweeps.resolvers import register_resolvers
from rlhf_sweeps.runs import Run

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
        assert (differences(plain, changed) == "") == is_free, key
    other = replace(config, eval=replace(config.eval, every=7))
    with pytest.raises(
        ConfigError, match=r"holds a run with other settings \(eval.every was 5, is 7\); choose another"
    ):
        check_folder(other, tmp_path)
    check_folder(replace(config, name="odd", sweep=replace(config.sweep, retries=7)), tmp_path)


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
    monkeypatch.setattr(memory, "left", lambda: 2**15)
    checked(config)
    monkeypatch.setattr(memory, "left", lambda: 2**15 - 1)
    with pytest.raises(ConfigError, match=r"^ppo.batch_size=32: so many responses .*; must be at most 31$"):
        checked(config)
    monkeypatch.setattr(memory, "left", lambda: None)
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
    assert len(seen) == num_seen == 3  # the data set, the policy, the reward model
    wrong = model_folder(tmp_path / "wrong", architectures=["LlamaForCausalLM"])
    with pytest.raises(ConfigError, match="must be a sequence classifier"):
        check_inputs(replace(config, reward_model=replace(config.reward_model, path=str(wrong))), seen)
    with pytest.raises(ConfigError, match="must fit the model's context"):
        check_inputs(replace(config, ppo=replace(config.ppo, response_length=10_000)), seen)


def test_suggested_rates_have_six_digits() -> None:
    from omegaconf import OmegaConf

    register_resolvers()
    node = OmegaConf.create(
        {"rate": 3e-4, "a": "${times:${rate},0.1}", "b": "${basename:x/y.z}", "c": "${extension:m.f}"}
    )
    assert (node.a, node.b, node.c) == (3e-5, "y.z", "f")
    assert 3e-4 * 0.1 != 3e-5
