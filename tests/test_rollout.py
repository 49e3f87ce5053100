"""Sampling against unpadded, uncached forwards of one sequence at a time."""

from collections.abc import Callable

import pytest
import torch
import toy
from torch import Tensor
from transformers import PreTrainedModel

from rlhf_sweeps import models
from rlhf_sweeps.ppo.rollout import _draw, response_logits, response_values
from rlhf_sweeps.ppo.seeds import generator


def noise(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@torch.no_grad()
def plain_logprobs(policy: PreTrainedModel, prompt: list[int], response: list[int], temperature: float) -> Tensor:
    """Log-probabilities of a response's tokens, without padding, masks, caches or our code."""
    logits = policy(torch.tensor([prompt + response])).logits[0, len(prompt) - 1 : -1] / temperature
    return logits.log_softmax(-1)[torch.arange(len(response)), torch.tensor(response)]


@pytest.mark.parametrize("make_policy", [toy.policy, toy.policy_with_absolute_positions])
def test_logprobs_are_those_of_each_sequence_alone(make_policy: Callable[[], PreTrainedModel]) -> None:
    policy = make_policy()
    batch = toy.sampler().sample(policy, toy.PROMPTS, noise())
    teacher_forced = response_logits(policy, batch, 0.8).log_softmax(-1)
    for i, (prompt, response) in enumerate(zip(batch.prompt_lists(), batch.response_lists(), strict=True)):
        assert prompt == toy.PROMPTS[i]
        expected = plain_logprobs(policy, prompt, response, 0.8)
        assert torch.allclose(batch.logprobs[i, : len(response)], expected, atol=1e-5)
        picked = teacher_forced[i, torch.arange(len(response)), torch.tensor(response)]
        assert torch.allclose(picked, expected, atol=1e-5)
        assert batch.logprobs[i, len(response) :].eq(0).all()


def test_responses_end_with_the_end_token_or_at_the_limit() -> None:
    batch = toy.sampler(response_length=5).sample(toy.policy(), toy.PROMPTS * 8, noise())
    assert batch.ended.any()
    assert not batch.ended.all()
    for response, ended in zip(batch.response_lists(), batch.ended, strict=True):
        assert (response[-1] == toy.EOS) == bool(ended)
        assert toy.EOS not in response[:-1]
        assert ended or len(response) == 5


def test_sampling_stops_when_all_have_ended() -> None:
    policy = toy.policy()
    policy.lm_head.weight.data.zero_()  # all tokens alike, so that ends come early
    batch = toy.sampler(response_length=500).sample(policy, toy.PROMPTS, noise())
    assert batch.response_mask.shape[1] == batch.response_mask.sum(-1).max() < 500


def test_a_pad_that_is_the_end_token_changes_nothing() -> None:
    policy = toy.policy()
    samples = [toy.sampler(pad_id=pad).sample(policy, toy.PROMPTS, noise()) for pad in (0, toy.EOS)]
    assert samples[0].response_lists() == samples[1].response_lists()
    assert torch.equal(samples[0].logprobs, samples[1].logprobs)


def test_rows_are_padded_to_the_longest_among_them() -> None:
    policy = toy.policy()
    batch = toy.sampler().sample(policy, toy.PROMPTS, noise())
    lengths = batch.response_mask.sum(-1)
    shortest = int(lengths.argmin())
    assert lengths[shortest] < lengths.max()
    row = batch.rows(torch.tensor([shortest]))
    assert row.prompt_mask.all()
    assert row.response_mask.all()
    values = response_values(models.value_model(policy), batch)
    assert values.shape == batch.response_mask.shape
    whole = response_logits(policy, batch, 1.0)[shortest, : lengths[shortest]]
    assert torch.allclose(response_logits(policy, row, 1.0)[0], whole, atol=1e-5)


@torch.no_grad()
def test_values_are_read_before_each_token() -> None:
    policy = toy.policy()
    value_model = models.value_model(policy)
    torch.nn.init.normal_(value_model.head.weight, generator=noise())
    batch = toy.sampler().sample(policy, toy.PROMPTS, noise())
    values = response_values(value_model, batch)
    for i, (prompt, response) in enumerate(zip(batch.prompt_lists(), batch.response_lists(), strict=True)):
        hidden = policy.model(torch.tensor([prompt + response])).last_hidden_state[0]
        expected = (hidden @ value_model.head.weight.T)[len(prompt) - 1 : -1, 0]
        assert torch.allclose(values[i, : len(response)], expected, atol=1e-5)


def test_drawn_tokens_follow_the_distribution() -> None:
    probabilities = torch.tensor([0.0, 0.1, 0.6, 0.0, 0.3])
    draws = _draw(probabilities.log().expand(200_000, 5), noise())
    counts = torch.bincount(draws, minlength=5) / len(draws)
    # 4 standard errors of a share of 0.6 over 200,000 draws.
    assert torch.allclose(counts, probabilities, atol=0.0045)
    assert counts[0] == counts[3] == 0


def test_a_token_of_no_probability_is_never_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "rand", lambda *size, **_: torch.zeros(*size))
    assert _draw(torch.tensor([[0.0, 0.5, 0.5]]).log(), noise()).item() == 1


def test_generators_differ_by_seed_purpose_and_update_alone() -> None:
    streams = [
        torch.rand(4, generator=generator(*key)).tolist()
        for key in ((0, "rollout", 1), (0, "rollout", 2), (0, "minibatches", 1), (1, "rollout", 1), (0, "rollout", 1))
    ]
    assert streams[0] == streams[-1]
    assert len({tuple(stream) for stream in streams}) == 4


@pytest.mark.parametrize("batch_size", [1, 6])
def test_how_many_are_sampled_at_once_keeps_their_shape(batch_size: int) -> None:
    sampler = toy.sampler()
    object.__setattr__(sampler, "batch_size", batch_size)
    batch = sampler.sample(toy.policy(), toy.PROMPTS, noise())
    assert batch.prompt_lists() == toy.PROMPTS
    assert batch.response_ids.shape == batch.response_mask.shape == batch.logprobs.shape
