"""What is made of a policy that was loaded: value model, adapter, frozen copy, sampler."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import Compose
from helpers import toy
from transformers import OPTConfig, OPTForCausalLM

from rlhf_sweeps.models import loading as models
from rlhf_sweeps.ppo.memory import BatchSize


@pytest.mark.parametrize("is_shared", [True, False])
def test_a_value_model_fits_what_the_trunk_gives_whatever_its_layers_hold(is_shared: bool) -> None:
    """OPT-350m's layers hold 1024 numbers a token, and its trunk gives 512."""
    sizes = {"ffn_dim": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 16}
    policy = OPTForCausalLM(OPTConfig(vocab_size=20, word_embed_proj_dim=6, **sizes)).eval()
    value_model = models.make_value_model(policy, is_shared)
    hidden = (value_model.trunk or policy.base_model)(torch.tensor([[5, 6]])).last_hidden_state
    assert value_model(hidden).shape == (1, 2)


def test_the_value_model_predicts_nothing_at_first_and_shares_nothing(compose_config: Compose) -> None:
    policy = models.load_policy(compose_config().model, torch.device("cpu"))
    value_model = models.make_value_model(policy, is_shared=False)
    assert value_model.trunk is not None
    hidden = value_model.trunk(torch.tensor([[5, 6, 7]])).last_hidden_state
    assert torch.equal(hidden, policy.base_model(torch.tensor([[5, 6, 7]])).last_hidden_state)
    assert value_model(hidden).eq(0).all()
    own = {parameter.data_ptr() for parameter in value_model.parameters()}
    assert not own & {parameter.data_ptr() for parameter in policy.parameters()}


@pytest.mark.parametrize(
    ("of_tokenizer", "configured", "expected"),
    [(3, 3, [3]), (3, 9, [3, 9]), (9, [4, 3], [3, 4, 9]), (3, [], [3]), (3, None, [3]), (7, 0, [0, 7])],
)
def test_responses_end_by_the_tokenizers_token_and_the_generation_configs(
    of_tokenizer: int, configured: int | list[int] | None, expected: list[int]
) -> None:
    policy: Any = SimpleNamespace(generation_config=SimpleNamespace(eos_token_id=configured))
    tokenizer: Any = SimpleNamespace(eos_token_id=of_tokenizer)
    assert models.list_stop_ids(policy, tokenizer) == expected
    policy.generation_config = None
    assert models.list_stop_ids(policy, tokenizer) == [of_tokenizer]


@pytest.mark.parametrize(("pad", "expected"), [(0, 0), (5, 5), (None, 3)])
def test_padding_is_the_tokenizers_or_an_end_token(pad: int | None, expected: int) -> None:
    tokenizer: Any = SimpleNamespace(eos_token_id=9, pad_token_id=pad, decode=None)
    sampler = models.make_sampler(toy.policy(), tokenizer, toy.settings(), BatchSize("", 5))
    assert sampler.stop_ids == [3, 9]
    assert sampler.pad_id == expected


def test_adapters_follow_from_seed_rank_and_alpha() -> None:
    def adapter(seed: int, rank: int = 2, alpha: int = 6) -> Any:
        with torch.random.fork_rng():
            torch.manual_seed(99)  # the global generator has no say, and is left as it was
            before = torch.get_rng_state()
            policy = toy.policy()
            models.add_adapter(policy, toy.settings(lora_rank=rank, lora_alpha=alpha), seed)
            assert torch.equal(torch.get_rng_state(), before)
        return policy.model.layers[1].self_attn.v_proj

    first, again, other = adapter(7), adapter(7), adapter(8)
    weights = [one.lora_A["default"].weight for one in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert weights[0].shape == (2, 16)
    assert first.scaling["default"] == 3.0
    # At first they change nothing; then by alpha / rank times their product.
    assert first.lora_B["default"].weight.eq(0).all()


def test_a_frozen_copy_leaves_the_policy_trainable() -> None:
    policy = toy.policy()
    frozen = models.freeze(policy)
    assert not any(parameter.requires_grad for parameter in frozen.parameters())
    assert all(parameter.requires_grad for parameter in policy.parameters())
    with torch.no_grad():
        policy.lm_head.weight.add_(1)
    assert not torch.equal(policy.lm_head.weight, frozen.lm_head.weight)
