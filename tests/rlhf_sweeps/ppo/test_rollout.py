"""Responses, what becomes of them, and the forwards over them, against one unpadded sequence at a time."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from helpers import toy
from torch import Tensor
from transformers import PreTrainedModel

from rlhf_sweeps.ppo import language_model
from rlhf_sweeps.ppo.language_model import LanguageModel
from rlhf_sweeps.ppo.packing import enable_packing
from rlhf_sweeps.ppo.rollout import Responses, Rollout, assess
from rlhf_sweeps.ppo.seeds import make_generator


def noise(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@torch.no_grad()
def plain_logprobs(policy: PreTrainedModel, prompt: list[int], response: list[int], temperature: float) -> Tensor:
    """Log-probabilities of a response's tokens, without padding, masks, caches or our code."""
    logits = policy(torch.tensor([prompt + response])).logits[0, len(prompt) - 1 : -1] / temperature
    return logits.log_softmax(-1)[torch.arange(len(response)), torch.tensor(response)]


@pytest.mark.parametrize("make_policy", [toy.policy, toy.policy_with_absolute_positions])
@pytest.mark.parametrize("has_plain_head", [True, False])
@pytest.mark.parametrize("chunk_bytes", [4 * 20 * 3, 2**26])
def test_logprobs_are_those_of_each_sequence_alone(
    make_policy: Callable[[], PreTrainedModel],
    has_plain_head: bool,
    chunk_bytes: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also a few tokens' logits at a time, and of models whose head cannot be told from their trunk."""
    monkeypatch.setattr(language_model, "CHUNK_BYTES", chunk_bytes)
    policy = make_policy()
    batch = toy.sampler().sample(policy, toy.PROMPTS, noise())
    logprobs = LanguageModel(policy, 0.8, has_plain_head=has_plain_head).logprobs(batch)
    for i, (prompt, response) in enumerate(zip(batch.prompt_lists(), batch.response_lists(), strict=True)):
        expected = plain_logprobs(policy, prompt, response, 0.8)
        assert torch.allclose(batch.logprobs[i, : len(response)], expected, atol=1e-5)
        assert torch.allclose(logprobs[i, : len(response)], expected, atol=1e-5)
        assert logprobs[i, len(response) :].eq(0).all()


def test_a_head_with_a_bias_is_divided_as_a_whole() -> None:
    policy = toy.policy()
    policy.lm_head = torch.nn.Linear(16, 20)
    batch = toy.sampler().sample(policy, toy.PROMPTS, noise())
    assert language_model.has_plain_head(policy)
    logprobs = LanguageModel(policy, 0.5, has_plain_head=True).logprobs(batch)
    response = batch.response_lists()[0]
    expected = plain_logprobs(policy, batch.prompt_lists()[0], response, 0.5)
    assert torch.allclose(logprobs[0, : len(response)], expected, atol=1e-5)


def test_a_head_that_does_more_is_found_out() -> None:
    policy = toy.policy()
    assert language_model.has_plain_head(policy)
    forward = type(policy).forward
    policy.forward = lambda **inputs: scaled(forward(policy, **inputs))
    assert not language_model.has_plain_head(policy)


def scaled(output: object) -> object:
    output.logits = output.logits / 2  # type: ignore[attr-defined]
    return output


def test_no_more_logits_than_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language_model, "CHUNK_BYTES", 4 * 20 * 3)
    policy = toy.policy()
    batch = toy.sampler().sample(policy, toy.PROMPTS, noise())
    seen: list[int] = []
    policy.lm_head.register_forward_hook(lambda module, inputs, output: seen.append(output.shape[:-1].numel()))
    LanguageModel(policy, 0.8, has_plain_head=True).logprobs(batch)
    assert max(seen) == 3
    assert sum(seen) == sum(batch.lengths)


def test_rows_are_padded_to_the_longest_among_them() -> None:
    policy = toy.policy()
    batch = toy.sampler().sample(policy, toy.PROMPTS, noise())
    shortest = batch.lengths.index(min(batch.lengths))
    assert batch.lengths[shortest] < max(batch.lengths)
    row = batch.rows([shortest])
    assert row.prompt_mask.all()
    assert row.response_mask.all()
    assert row.response_ids.shape == row.logprobs.shape == (1, batch.lengths[shortest])
    assert row.sequences == [batch.sequences[shortest]] == [row.prompt_lists()[0] + row.response_lists()[0]]


def test_parts_hold_every_row_once_the_shortest_first() -> None:
    """Of 2 + 3, 1 + 1, 2 + 1, 1 + 3 and 3 + 3 tokens, two at a time: the last is alone."""
    mask = torch.arange(3) < torch.tensor([3, 1, 1, 3, 3]).unsqueeze(-1)
    prompts = torch.arange(3) >= 3 - torch.tensor([2, 1, 2, 1, 3]).unsqueeze(-1)
    batch = Responses(prompts.long(), prompts, mask.long(), mask, torch.zeros(5, 3), torch.ones(5, dtype=torch.bool))
    assert batch.parts(2) == [[1, 2], [3, 0], [4]]
    assert batch.parts(5) == batch.parts(7) == [[1, 2, 3, 0, 4]]
    logprobs = LanguageModel(toy.policy(), 0.8, has_plain_head=True).logprobs(batch, size=2)
    assert logprobs[mask].lt(0).all()


@torch.no_grad()
@pytest.mark.parametrize("make_policy", [toy.policy, toy.policy_with_absolute_positions])
@pytest.mark.parametrize("has_plain_head", [True, False])
@pytest.mark.parametrize("is_packed", [True, False])
def test_features_are_read_before_each_token_and_after_the_last(
    make_policy: Callable[[], PreTrainedModel], has_plain_head: bool, is_packed: bool
) -> None:
    policy = make_policy()
    batch = toy.sampler().sample(policy, toy.PROMPTS, noise())
    expected = []
    for prompt, response in zip(batch.prompt_lists(), batch.response_lists(), strict=True):
        ids = torch.tensor([prompt + response])
        whole = policy.base_model(ids).last_hidden_state if has_plain_head else policy(ids).logits
        expected.append(whole[0, len(prompt) - 1 :])
    assert not is_packed or enable_packing(policy.base_model)
    reader = LanguageModel(policy, 1.0, has_plain_head=has_plain_head)
    for has_padding in (False, True):
        features = reader.features(batch, has_padding)
        for row, states in enumerate(expected):
            index, (rows, positions) = features.places([0] * row + [len(states)] + [0] * (5 - row))
            assert torch.allclose(features.values[index], states, atol=1e-5)
            assert rows.tolist() == [row] * len(states)
            assert positions.tolist() == list(range(len(states)))


@torch.no_grad()
def test_a_token_of_padding_sees_the_others_but_not_itself() -> None:
    """At the position after the last token, as TRL's forward has it."""
    policy = toy.policy()
    prompt, response = [5, 6], [7, 8]
    mask = torch.tensor([[1, 1, 1, 1, 0]])
    expected = policy.model(
        torch.tensor([[*prompt, *response, 0]]), attention_mask=mask, position_ids=torch.tensor([[0, 1, 2, 3, 4]])
    ).last_hidden_state[0, -1]
    batch = toy.sampler(response_length=2).sample(policy, [prompt, [9]], noise())
    batch = replace(
        batch, response_ids=torch.tensor([response, [3, 0]]), response_mask=torch.tensor([[True, True], [True, False]])
    )
    for _ in range(2):
        features = LanguageModel(policy, 1.0, has_plain_head=True).features(batch, has_padding=True)
        assert torch.allclose(features.values[features.first[0] + 3], expected, atol=1e-5)
        enable_packing(policy.base_model)


def assessed(**changes: object) -> Rollout:
    """Two responses of hand-made numbers: one that ended after 2 tokens, one cut after 3."""
    mask = torch.tensor([[True, True, False], [True, True, True]])
    batch = Responses(
        torch.ones(2, 1, dtype=torch.long),
        torch.ones(2, 1, dtype=torch.bool),
        torch.full((2, 3), 5),
        mask,
        torch.tensor([[-1.0, -2.0, 0.0], [-1.0, -1.0, -1.0]]),
        torch.tensor([True, False]),
    )
    ref_logprobs = torch.tensor([[-2.0, -2.0, 0.0], [-1.0, -2.0, -1.0]])
    values = torch.tensor([[0.5, 0.25, 4.0, 0.0], [1.0, 2.0, 3.0, 8.0]])
    scores = torch.tensor([10.0, 20.0])
    settings = toy.settings(kl_coef=0.1, gamma=0.5, gae_lambda=0.0, missing_eos_penalty=2.0, **changes)
    return assess(settings, batch, scores, scores, ref_logprobs, values, kl_coef=0.1)


def test_rewards_by_hand() -> None:
    rollout = assessed()
    # KL of the first response: 1, 0; of the second: 0, 1, 0. The second was cut: 20 - 2.
    assert torch.allclose(rollout.rewards, torch.tensor([[-0.1, 10.0, 0.0], [0.0, -0.1, 18.0]]))
    # With lambda 0 the return is r + gamma V': -0.1 + 0.5 * 0.25, 10; 0 + 0.5 * 2, -0.1 + 0.5 * 3, 18.
    assert torch.allclose(rollout.returns, torch.tensor([[0.025, 10.0, 0.0], [1.0, 1.4, 18.0]]))
    assert rollout.values.tolist() == [[0.5, 0.25, 0.0], [1.0, 2.0, 3.0]]


def test_the_score_after_the_end_is_no_actions_reward() -> None:
    rollout = assessed(score_at="after_end")
    assert torch.allclose(rollout.rewards, torch.tensor([[-0.1, 0.0, 10.0], [0.0, -0.1, 18.0]]))
    # The end action's return is the value of the finished text: 0.5 * 4.
    assert torch.allclose(rollout.returns, torch.tensor([[0.025, 2.0, 10.0], [1.0, 1.4, 18.0]]))
    assert rollout.state_mask.tolist() == [[True, True, True], [True, True, True]]
    assert rollout.advantages[0, 2] == 0


def test_a_cut_response_goes_on_with_its_value() -> None:
    """In place of its score, which is 20, and of the penalty of 2 for being cut."""
    rollout = assessed(bootstrap_truncated=True)
    assert torch.allclose(rollout.returns, torch.tensor([[0.025, 10.0, 0.0], [1.0, 1.4, 0.5 * 8]]))
    assert rollout.scores.tolist() == [10.0, 18.0]


def test_whitened_rewards_keep_their_mean() -> None:
    plain, whitened = assessed(), assessed(whiten_rewards=True)
    mask = plain.state_mask
    assert whitened.rewards[mask].mean() == pytest.approx(plain.rewards[mask].mean().item(), rel=1e-5)
    assert whitened.rewards[mask].std() == pytest.approx(1.0, rel=1e-5)
    assert whitened.rewards[~mask].eq(0).all()


def test_generators_differ_by_seed_purpose_and_update_alone() -> None:
    streams = [
        torch.rand(4, generator=make_generator(*key)).tolist()
        for key in ((0, "rollout", 1), (0, "rollout", 2), (0, "minibatches", 1), (1, "rollout", 1), (0, "rollout", 1))
    ]
    assert streams[0] == streams[-1]
    assert len({tuple(stream) for stream in streams}) == 4
