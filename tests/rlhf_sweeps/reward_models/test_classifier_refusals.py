"""What cannot score as a classifier is refused in one line that names the key."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.classifiers import CPU, TALK, bert_config, decoder, saved
from helpers.classifiers import bert as bert
from helpers.classifiers import config as config
from helpers.classifiers import tokenizer as tokenizer
from transformers import (
    AutoTokenizer,
    BertForSequenceClassification,
    FNetConfig,
    FNetForSequenceClassification,
    LlamaConfig,
    LlamaForSequenceClassification,
    PreTrainedTokenizerBase,
)

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.schema import Config
from rlhf_sweeps.ppo.memory import BatchSize
from rlhf_sweeps.preflight import check_inputs
from rlhf_sweeps.reward_models.base import Exchanges
from rlhf_sweeps.reward_models.classifier import load_classifier
from rlhf_sweeps.reward_models.load import Loader


def test_no_more_tokens_than_the_model_can_read(config: Config, bert: Path) -> None:
    too_long = replace(bert_config(config, bert), max_length=13)
    with pytest.raises(ConfigError, match=r"^judge.max_length=13: must be at most 12, the tokens that .* reads$"):
        load_classifier(too_long, None, BatchSize("", 2), CPU, key="judge.path")
    assert load_classifier(replace(too_long, max_length=12), None, BatchSize("", 2), CPU).max_length == 12


def test_which_output_is_the_score_must_be_said(config: Config, tokenizer: PreTrainedTokenizerBase, bert: Path) -> None:
    with pytest.raises(ConfigError, match=r"reward_model.label=GOOD: must be one of NEGATIVE, POSITIVE"):
        load_classifier(bert_config(config, bert, "GOOD"), tokenizer, BatchSize("", 4), CPU)
    with pytest.raises(ConfigError, match=r"must have one output, has 2 \(NEGATIVE, POSITIVE\); reward_model.label"):
        check_inputs(replace(config, reward_model=bert_config(config, bert, None)))
    with pytest.raises(ConfigError, match=r"reward_model.label=GOOD: must be one of NEGATIVE, POSITIVE"):
        check_inputs(replace(config, reward_model=bert_config(config, bert, "GOOD")))
    check_inputs(replace(config, reward_model=bert_config(config, bert, "1")))
    (bert / "config.json").write_text("[]", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"its config.json must hold an object, holds a list"):
        check_inputs(replace(config, reward_model=bert_config(config, bert)))


def test_weights_that_could_run_code_are_not_loaded(
    config: Config, tokenizer: PreTrainedTokenizerBase, bert: Path
) -> None:
    model = BertForSequenceClassification.from_pretrained(bert)
    (bert / "model.safetensors").unlink()
    torch.save(model.state_dict(), bert / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"reward_model.path=.* cannot load it .*safetensors"):
        load_classifier(bert_config(config, bert), tokenizer, BatchSize("", 4), CPU)


def test_a_language_model_is_no_reward_model(config: Config, tokenizer: PreTrainedTokenizerBase) -> None:
    language_model = replace(config.reward_model, path="embedded:tiny_policy")
    with pytest.raises(
        ConfigError, match=r"embedded:tiny_policy: not a trained reward model, its weights lack score.weight"
    ):
        load_classifier(language_model, tokenizer, BatchSize("", 4), CPU)


def test_a_folder_without_weights_is_named(config: Config, tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    LlamaConfig(architectures=[LlamaForSequenceClassification.__name__]).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=f"reward_model.path={tmp_path}: .* cannot load it"):
        load_classifier(replace(config.reward_model, path=str(tmp_path)), tokenizer, BatchSize("", 4), CPU)


def test_two_outputs_without_names_are_refused_with_the_key_that_chooses(config: Config, bert: Path) -> None:
    shape = json.loads((bert / "config.json").read_text(encoding="utf-8"))
    content = {key: value for key, value in shape.items() if key not in ("id2label", "label2id")}
    (bert / "config.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"^reward_model.path=.*must have one output, .*reward_model.label .*LABEL_1"):
        load_classifier(bert_config(config, bert, None), None, BatchSize("", 2), CPU)
    assert load_classifier(bert_config(config, bert, "LABEL_1"), None, BatchSize("", 2), CPU).output == 1


def test_positions_that_depend_on_the_longest_text_are_refused(
    config: Config, tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    scaling = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10000.0}
    path = saved(tmp_path, decoder(LlamaConfig, rope_parameters=scaling, max_position_embeddings=64), tokenizer)
    loader = Loader(tokenizer, BatchSize("", 4), CPU, config.dataset)
    one = replace(config.reward_model, path=str(path))
    assert loader.scorer(one, "reward_model") is not None
    document = json.loads((path / "config.json").read_text(encoding="utf-8"))
    scaling |= {"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [4.0] * 4}
    changes = {"rope_parameters": scaling | {"original_max_position_embeddings": 20}}
    (path / "config.json").write_text(json.dumps(document | changes), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"^reward_model.path=.*: its positions \(longrope\) .* 20 tokens, .* 64 "):
        Loader(tokenizer, BatchSize("", 4), CPU, config.dataset).scorer(one, "reward_model")


def test_what_mixes_padding_in_is_refused(config: Config, bert: Path) -> None:
    shape = FNetConfig(vocab_size=10, hidden_size=16, num_hidden_layers=2, intermediate_size=16, num_labels=1)
    FNetForSequenceClassification(shape).save_pretrained(bert)
    with pytest.raises(ConfigError, match=r"^judge.path=.*: must be of an architecture that scores texts of several"):
        load_classifier(bert_config(config, bert, None), None, BatchSize("", 2), CPU, key="judge.path")


def test_ids_without_an_embedding_are_refused(config: Config, bert: Path) -> None:
    own = AutoTokenizer.from_pretrained(bert)
    own.add_tokens(["more"])
    own.save_pretrained(bert)
    with pytest.raises(
        ConfigError, match=r"^reward_model.path=.*: its embedding .* has 10 rows and not the id 10 of more"
    ):
        load_classifier(bert_config(config, bert), None, BatchSize("", 2), CPU)


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        (
            "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
            "{% for m in messages %}{{ m.content }} {% endfor %}",
            r"refuses turns of system, user, assistant \(no system\)",
        ),
        (
            "{% for m in messages if m.role != 'system' %}{{ m.content }} {% endfor %}",
            "leaves out the system's turn in turns of system, user, assistant",
        ),
        ("{{ messages[0].content + 1 }}", "refuses turns of user, assistant"),
    ],
)
def test_a_template_must_have_a_place_for_what_the_prompts_hold(
    template: str, reason: str, config: Config, tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    tokenizer.chat_template = template
    path = saved(tmp_path, decoder(LlamaConfig), tokenizer)
    prompts = [TALK, [{"role": "system", "content": "Be kind."}, *TALK]]
    given = (replace(config.reward_model, path=str(path)), None, BatchSize("", 4), CPU)
    with pytest.raises(ConfigError, match=rf"^reward_model.path=.*: its chat template {reason}"):
        load_classifier(*given, prompts=prompts)
    if "system" in template:
        assert load_classifier(*given, prompts=prompts[:1]).score(Exchanges([TALK], ["fine"])).isfinite().all()
