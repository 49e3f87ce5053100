"""Scores: as the library's own classifier gives them, whatever pads, and by text for another tokenizer."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import Compose
from transformers import AutoModelForSequenceClassification, AutoTokenizer, LlamaConfig, LlamaForSequenceClassification

from rlhf_sweeps import assets, models
from rlhf_sweeps.config import Config, ConfigError
from rlhf_sweeps.data import Messages, encode, load_prompts
from rlhf_sweeps.ppo.memory import Halving
from rlhf_sweeps.ppo.rollout import Responses
from rlhf_sweeps.ppo.sampling import Sampler
from rlhf_sweeps.ppo.seeds import generator
from rlhf_sweeps.reward_models import RewardModel, load_reward_model

CPU = torch.device("cpu")


@pytest.fixture
def config(compose_config: Compose) -> Config:
    return compose_config()


def answers(config: Config) -> tuple[list[Messages], Responses]:
    """The embedded policy's answers to ten held-out prompts."""
    tokenizer = models.load_tokenizer(config.model)
    policy = models.load_policy(config.model, CPU)
    prompts = encode(load_prompts(config.dataset).held_out, tokenizer, 64).first(10)
    sampler = Sampler(models.stop_ids(policy, tokenizer), tokenizer.pad_token_id, 32, 1.0, Halving("", 64))
    return prompts.messages, sampler.sample(policy, prompts.ids, generator(0, "test", 0))


def expected_scores(sequences: list[list[int]]) -> torch.Tensor:
    """By the plain transformers call, one sequence at a time."""
    model = AutoModelForSequenceClassification.from_pretrained(assets.folder("tiny_reward_model"))
    with torch.no_grad():
        return torch.stack([model(torch.tensor([sequence])).logits[0, 0] for sequence in sequences])


@pytest.mark.parametrize("reads_tokens", [True, False])
def test_scores_are_the_classifiers_by_tokens_and_by_text(reads_tokens: bool, config: Config) -> None:
    prompts, batch = answers(config)
    tokenizer = models.load_tokenizer(config.model)
    reward_model = load_reward_model(config.reward_model, tokenizer, batch=Halving("", 4), device=CPU)
    assert reward_model.reads_tokens
    reward_model.reads_tokens = reads_tokens
    sequences = [p + r for p, r in zip(batch.prompt_lists(), batch.response_lists(), strict=True)]
    if not reads_tokens:
        texts = tokenizer.batch_decode(batch.response_lists(), skip_special_tokens=True)
        chats = [[*prompt, {"role": "assistant", "content": text}] for prompt, text in zip(prompts, texts, strict=True)]
        sequences = [tokenizer.apply_chat_template(chat, return_dict=False) for chat in chats]
    assert torch.allclose(reward_model.score(prompts, batch), expected_scores(sequences), atol=1e-4)


def test_a_pad_that_is_the_end_token_does_not_hide_it(config: Config) -> None:
    prompts, batch = answers(config)
    tokenizer = models.load_tokenizer(config.model)
    reward_model = load_reward_model(config.reward_model, tokenizer, batch=Halving("", 4), device=CPU)
    before = reward_model.score(prompts, batch)
    reward_model.tokenizer.pad_token = reward_model.tokenizer.eos_token
    reward_model.model.config.pad_token_id = reward_model.tokenizer.eos_token_id
    assert torch.equal(reward_model.score(prompts, batch), before)


def test_another_template_means_another_text(config: Config) -> None:
    tokenizer = models.load_tokenizer(config.model)
    other = AutoTokenizer.from_pretrained(assets.folder("tiny_reward_model"))
    other.chat_template = "{% for message in messages %}{{ message['content'] }} {% endfor %}"
    model = AutoModelForSequenceClassification.from_pretrained(assets.folder("tiny_reward_model"))
    assert not RewardModel(model, other, tokenizer, Halving("", 4)).reads_tokens


def test_the_value_model_can_start_as_the_reward_model(config: Config) -> None:
    prompts, batch = answers(config)
    tokenizer = models.load_tokenizer(config.model)
    reward_model = load_reward_model(config.reward_model, tokenizer, batch=Halving("", 4), device=CPU)
    value_model = reward_model.value_model("key")
    sequence = batch.prompt_lists()[0] + batch.response_lists()[0]
    ids = torch.tensor([sequence])
    assert value_model.trunk is not None
    values = value_model(value_model.trunk(ids).last_hidden_state)
    assert torch.allclose(values[0, -1], reward_model.score(prompts, batch)[0], atol=1e-4)
    assert all(parameter.requires_grad for parameter in value_model.parameters())
    reward_model.reads_tokens = False
    with pytest.raises(
        ConfigError, match=r"^key: must be a decoder with the policy's tokenizer \(or take ppo.value_model"
    ):
        reward_model.value_model("key")


def test_a_language_model_is_no_reward_model(config: Config) -> None:
    language_model = replace(config.reward_model, path="embedded:tiny_policy")
    with pytest.raises(
        ConfigError, match=r"embedded:tiny_policy: not a trained reward model, its weights lack score.weight"
    ):
        load_reward_model(language_model, models.load_tokenizer(config.model), batch=Halving("", 4), device=CPU)


def test_a_folder_without_weights_is_named(config: Config, tmp_path: Path) -> None:
    LlamaConfig(architectures=[LlamaForSequenceClassification.__name__]).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=f"reward_model.path={tmp_path}: .* cannot load it"):
        load_reward_model(
            replace(config.reward_model, path=str(tmp_path)),
            models.load_tokenizer(config.model),
            Halving("", 4),
            device=CPU,
        )
