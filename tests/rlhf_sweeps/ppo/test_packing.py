"""Packed sequences against each one alone, and models that cannot be packed."""

from collections.abc import Callable

import pytest
import torch
from helpers import toy
from transformers import GemmaConfig, GemmaForCausalLM, MistralConfig, MistralForCausalLM, PreTrainedModel

from rlhf_sweeps.ppo.packing import NAME, enable_packing, pack, reads_packed

SEQUENCES = [[5, 6, 7, 8, 9], [4], [11, 12, 13]]


@pytest.mark.parametrize("make_policy", [toy.policy, toy.policy_with_absolute_positions])
def test_values_and_gradients_are_those_of_each_alone(make_policy: Callable[[], PreTrainedModel]) -> None:
    alone, together = make_policy(), make_policy()
    assert enable_packing(together.base_model)
    rows = [alone.base_model(torch.tensor([s])).last_hidden_state[0] for s in SEQUENCES]
    packed = pack(SEQUENCES, together.device)
    values = together.base_model(
        input_ids=packed.ids, attention_mask=packed.layout, position_ids=packed.positions, use_cache=False
    ).last_hidden_state[0]
    assert torch.allclose(values, torch.cat(rows), atol=1e-5)
    weights = torch.randn(values.shape, generator=torch.Generator().manual_seed(0))
    (values * weights).sum().backward()
    (torch.cat(rows) * weights).sum().backward()
    for plain, ours in zip(alone.base_model.parameters(), together.base_model.parameters(), strict=True):
        assert plain.grad is not None
        assert ours.grad is not None
        assert torch.allclose(plain.grad, ours.grad, atol=1e-4)


def test_padded_batches_and_caches_work_as_before() -> None:
    policy, packing = toy.policy(), toy.policy()
    assert enable_packing(packing.base_model)
    ids, mask = torch.tensor([[0, 5, 6], [7, 8, 9]]), torch.tensor([[0, 1, 1], [1, 1, 1]])
    for model in (policy, packing):
        model.generation_config.pad_token_id = 0
    texts = [m.generate(ids, attention_mask=mask, max_new_tokens=5, do_sample=False) for m in (policy, packing)]
    assert torch.equal(*texts)


def test_the_layout_by_hand() -> None:
    packed = pack([[5, 6, 7], [8]], torch.device("cpu"), has_hidden=True)
    assert packed.ids.tolist() == [[5, 6, 7, 8]]
    assert packed.positions.tolist() == [[0, 1, 2, 0]]
    assert packed.layout.tolist() == [[[[0, 1, 2], [3, 4, 4]], [[1, 1, 0], [0, 0, 0]]]]
    assert packed.starts == [0, 3]


def test_a_model_that_attends_otherwise_is_left_as_it_is() -> None:
    policy = toy.policy()
    policy.set_attn_implementation("eager")
    assert not enable_packing(policy.base_model)
    assert policy.config._attn_implementation == "eager"

    class Local(type(policy.base_model)):  # type: ignore[misc]
        def forward(self, **inputs: object) -> object:
            inputs["attention_mask"] = inputs["position_ids"] = None
            return super().forward(**inputs)

    other = toy.policy().base_model
    other.__class__ = Local
    assert not enable_packing(other)
    assert other.config._attn_implementation == "sdpa"
    assert not reads_packed(other)


# Weights as large as a trained model's: with those of a fresh one, what a token attends to hardly counts.
SIZES = {
    "vocab_size": 20,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "initializer_range": 0.5,
}


@pytest.mark.parametrize(
    "model",
    [
        MistralForCausalLM(MistralConfig(**SIZES, num_key_value_heads=1, sliding_window=None)),
        GemmaForCausalLM(GemmaConfig(**SIZES, num_key_value_heads=1, head_dim=8)),
    ],
    ids=lambda model: type(model).__name__,
)
@torch.no_grad()
def test_other_families_pack_too(model: PreTrainedModel) -> None:
    trunk = model.eval().base_model
    alone = torch.cat([trunk(torch.tensor([s])).last_hidden_state[0] for s in SEQUENCES])
    assert enable_packing(trunk)
    assert model.config._attn_implementation == NAME
    assert torch.allclose(pack(SEQUENCES, model.device).read(trunk), alone, atol=1e-5)
