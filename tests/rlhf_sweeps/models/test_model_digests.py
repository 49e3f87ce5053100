"""By what a tokenizer and a model are known again: all that their tokens and outputs depend on."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers import toy
from helpers.chat_tokenizers import smollm2

from rlhf_sweeps.models import loading as models


def change_special(tokenizer: Any) -> None:
    tokenizer.pad_token = "<|endoftext|>"


def change_length(tokenizer: Any) -> None:
    tokenizer.model_max_length = 77


def change_template(tokenizer: Any) -> None:
    tokenizer.chat_template = f"{tokenizer.chat_template} "


def change_vocabulary(tokenizer: Any) -> None:
    tokenizer.add_tokens(["brand-new"])


def change_name(tokenizer: Any) -> None:
    tokenizer.name_or_path = "elsewhere"


@pytest.mark.parametrize(
    ("change", "matters"),
    [
        (change_special, True),
        (change_length, True),
        (change_template, True),
        (change_vocabulary, True),
        (change_name, False),
    ],
)
def test_a_tokenizers_text_is_all_that_tokens_depend_on(change: Callable[[Any], None], matters: bool) -> None:
    tokenizer, other = smollm2(), smollm2()
    change(other)
    assert (models.describe_tokenizer(tokenizer) != models.describe_tokenizer(other)) == matters


def test_a_models_digest_is_of_weights_names_config_and_what_is_said() -> None:
    def digest(change: Callable[[Any], object], about: str = "") -> str:
        policy = toy.policy()
        change(policy)
        return models.hash_model(policy, about)

    plain = digest(lambda _: None)
    assert digest(lambda policy: policy.lm_head.requires_grad_(False)) == plain
    others = [
        digest(lambda _: None, "said"),
        digest(lambda policy: policy.lm_head.weight.data[3].mul_(1.001)),
        digest(lambda policy: policy.to(torch.bfloat16)),
        digest(lambda policy: setattr(policy.config, "rms_norm_eps", 0.5)),
        digest(lambda policy: policy.register_parameter("more", torch.nn.Parameter(torch.zeros(1)))),
    ]
    assert len({plain, *others}) == 6
