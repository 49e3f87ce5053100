"""Sampling against unpadded, uncached forwards of one sequence at a time, and draws against known probabilities."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import transformers
from helpers import toy
from packaging.version import Version
from torch import Tensor
from transformers import PreTrainedModel

from rlhf_sweeps.ppo import sampling
from rlhf_sweeps.ppo.memory import BatchSize
from rlhf_sweeps.ppo.rollout import Responses
from rlhf_sweeps.ppo.sampling import Sampler, draw
from rlhf_sweeps.process.failures import DivergedError

BOTH = pytest.mark.parametrize("make_policy", [toy.policy, toy.policy_with_absolute_positions])


def noise(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sampler(**changes: Any) -> Sampler:
    values: dict[str, Any] = {
        "stop_ids": (toy.EOS,),
        "pad_id": 0,
        "response_length": 8,
        "temperature": 0.8,
        "batch": BatchSize("", 4),
    }
    return Sampler(**(values | changes))


def assert_same(one: Responses, other: Responses) -> None:
    assert one.prompt_lists() == other.prompt_lists()
    assert one.response_lists() == other.response_lists()
    assert torch.equal(one.ended, other.ended)
    assert torch.allclose(one.logprobs, other.logprobs, atol=1e-5)


@torch.no_grad()
def plain_logprobs(policy: PreTrainedModel, prompt: list[int], response: list[int], temperature: float) -> Tensor:
    """Log-probabilities of a response's tokens, without padding, masks, caches or our code."""
    logits = policy(torch.tensor([prompt + response])).logits[0, len(prompt) - 1 : -1] / temperature
    return logits.log_softmax(-1)[torch.arange(len(response)), torch.tensor(response)]


@BOTH
@pytest.mark.parametrize("top_p", [1.0, 0.6])
def test_logprobs_are_those_of_each_sequence_alone(make_policy: Callable[[], PreTrainedModel], top_p: float) -> None:
    policy = make_policy()
    prompts = toy.PROMPTS * 3
    batch = sampler(top_p=top_p, batch=BatchSize("", 9)).sample(policy, prompts, noise())
    assert not batch.logprobs.requires_grad
    assert batch.prompt_lists() == prompts
    for i, (prompt, response) in enumerate(zip(prompts, batch.response_lists(), strict=True)):
        expected = plain_logprobs(policy, prompt, response, 0.8)
        assert torch.allclose(batch.logprobs[i, : len(response)], expected, atol=1e-5)
        assert batch.logprobs[i, len(response) :].eq(0).all()


def test_responses_end_with_the_end_token_or_at_the_limit() -> None:
    batch = sampler(response_length=5).sample(toy.policy(), toy.PROMPTS * 8, noise())
    assert batch.ended.any()
    assert not batch.ended.all()
    for response, ended in zip(batch.response_lists(), batch.ended, strict=True):
        assert (response[-1] == toy.EOS) == bool(ended)
        assert toy.EOS not in response[:-1]
        assert ended or len(response) == 5


def test_any_of_several_end_tokens_ends_a_response() -> None:
    batch = sampler(stop_ids=(toy.EOS, 7)).sample(toy.policy(), toy.PROMPTS * 8, noise())
    last = {response[-1] for response, ended in zip(batch.response_lists(), batch.ended, strict=True) if ended}
    assert last == {toy.EOS, 7}


def test_sampling_stops_when_all_have_ended() -> None:
    policy = toy.policy()
    policy.lm_head.weight.data.zero_()  # all tokens alike, so that ends come early
    batch = sampler(response_length=500).sample(policy, toy.PROMPTS, noise())
    assert batch.response_mask.shape[1] == batch.response_mask.sum(-1).max() < 500


def test_a_pad_that_is_the_end_token_changes_nothing() -> None:
    policy = toy.policy()
    samples = [sampler(pad_id=pad).sample(policy, toy.PROMPTS, noise()) for pad in (0, toy.EOS)]
    assert samples[0].response_lists() == samples[1].response_lists()
    assert torch.equal(samples[0].logprobs, samples[1].logprobs)
    assert samples[0].response_ids[~samples[0].response_mask].eq(0).all()
    assert samples[1].response_ids[~samples[1].response_mask].eq(toy.EOS).all()


@BOTH
def test_the_batch_size_changes_no_token(make_policy: Callable[[], PreTrainedModel]) -> None:
    policy = make_policy()
    one, two, six = (sampler(batch=BatchSize("", size)).sample(policy, toy.PROMPTS, noise()) for size in (1, 2, 6))
    assert_same(one, two)
    assert_same(one, six)
    assert len({tuple(response) for response in one.response_lists()}) > 3  # not the same draws for every prompt


@pytest.mark.parametrize("name", ["cache", "past_key_values"])
def test_a_model_takes_its_cache_by_the_name_that_its_code_has(name: str) -> None:
    own = "cache" if Version(transformers.__version__) >= Version("5.24") else "past_key_values"
    policy = toy.policy()
    expected = sampler().sample(policy, toy.PROMPTS, noise())
    caches = []

    class New(type(policy)):  # type: ignore[misc]
        def forward(self, cache: Any = None, **inputs: Any) -> Any:
            caches.append(cache)
            return super().forward(**{own: cache}, **inputs)

    class Old(type(policy)):  # type: ignore[misc]
        def forward(self, past_key_values: Any = None, **inputs: Any) -> Any:
            caches.append(past_key_values)
            return super().forward(**{own: past_key_values}, **inputs)

    policy.__class__ = New if name == "cache" else Old
    assert_same(sampler().sample(policy, toy.PROMPTS, noise()), expected)
    assert None not in caches


def shapes(policy: PreTrainedModel, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Fills with the shape of the ids of every forward to come."""
    seen: list[tuple[int, ...]] = []
    forward = policy.forward

    def watched(*args: Any, **kwargs: Any) -> Any:
        seen.append(tuple(kwargs["input_ids"].shape))
        return forward(*args, **kwargs)

    monkeypatch.setattr(policy, "forward", watched)
    return seen


def test_who_has_ended_leaves_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = toy.policy()
    seen = shapes(policy, monkeypatch)
    prompts = toy.PROMPTS * 4
    batch = sampler(batch=BatchSize("", 24), response_length=12).sample(policy, prompts, noise())
    rows = [shape[0] for shape in seen]
    running = batch.response_mask.sum(0).tolist()
    assert rows[0] == 24
    assert rows[-1] <= 12
    assert all(run <= row for row, run in zip(rows, running, strict=True))
    # Fewer than a quarter of a step's rows are carried along.
    assert all(run > 0.75 * row for row, run in zip(rows[1:], running[1:], strict=True))
    # And whoever stays gets what it gets alone.
    assert_same(batch, sampler(batch=BatchSize("", 1), response_length=12).sample(policy, prompts, noise()))


def test_prompts_of_like_length_share_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = toy.policy()
    seen = shapes(policy, monkeypatch)
    sampler(batch=BatchSize("", 2), response_length=1).sample(policy, toy.PROMPTS, noise())
    assert seen == [(2, 5), (2, 3), (2, 1)]


def test_drawn_tokens_follow_the_distribution() -> None:
    # 300 tokens make three blocks, the last of them a part; six tokens among them have all the mass.
    probabilities = torch.zeros(300)
    mass = torch.tensor([0.1, 0.25, 0.05, 0.3, 0.1, 0.2])
    probabilities[torch.tensor([3, 127, 128, 200, 256, 299])] = mass
    draws = draw(probabilities.expand(200_000, -1), torch.rand(200_000, 1, generator=noise()))
    shares = torch.bincount(draws.squeeze(-1), minlength=300) / len(draws)
    # 4 standard errors of a share of 0.3 over 200,000 draws.
    assert torch.allclose(shares, probabilities, atol=0.0041)
    assert shares[probabilities == 0].eq(0).all()


@pytest.mark.parametrize("top_p", [1.0, 0.9])
@pytest.mark.parametrize("uniform", [0.0, 1 - 2**-24])
def test_a_token_of_no_probability_is_never_drawn(uniform: float, top_p: float) -> None:
    rows = torch.randn(500, 300, generator=noise()).mul(4).softmax(-1)
    rows[torch.rand(rows.shape, generator=noise(1)) < 0.7] = 0.0
    rows[:, [0, -1]] = 0.0
    rows[:, :128] *= torch.arange(500).remainder(2).unsqueeze(-1)  # none in every other row's first block
    rows /= rows.sum(-1, keepdim=True)
    tokens = draw(rows, torch.full((500, 1), uniform), top_p)
    assert rows.gather(-1, tokens).gt(0).all()
    if top_p == 1:
        upto = rows.double().cumsum(-1).gather(-1, tokens)
        beyond = upto - rows.gather(-1, tokens) if uniform == 0 else 1 - upto
        assert beyond.abs().max() < 1e-6  # nothing lies beyond the ends of the distribution


@pytest.mark.parametrize(("target", "index"), [(-1e-6, 1), (0.0, 1), (0.5 + 1e-6, 3), (1.0 + 1e-6, 3), (1.1, 3)])
def test_no_rounding_makes_up_a_token(target: float, index: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # Running sums in parallel, as a GPU takes them, may grow where a weight is 0.
    sums = torch.tensor([[1e-5, 0.5, 0.5 + 1e-5, 1.0, 1.0 + 1e-5]])
    monkeypatch.setattr(Tensor, "cumsum", lambda *_: sums)
    found, _ = sampling._invert(torch.tensor([[0.0, 0.5, 0.0, 0.5, 0.0]]), torch.tensor([[target]]))
    assert found.item() == index


@pytest.mark.parametrize("is_static", [False, True])
@pytest.mark.parametrize(
    ("top_p", "nucleus"),
    [(0.4, [1]), (0.5, [1]), (0.51, [1, 4]), (0.75, [1, 4]), (0.8, [1, 4, 2]), (1.0, [1, 4, 2, 0])],
)
def test_a_nucleus_is_the_smallest_set_that_reaches_top_p(top_p: float, nucleus: list[int], is_static: bool) -> None:
    probabilities = torch.tensor([0.0625, 0.5, 0.1875, 0.0, 0.25])
    draws = draw(probabilities.expand(100_000, -1), torch.rand(100_000, 1, generator=noise()), top_p, is_static)
    shares = torch.bincount(draws.squeeze(-1), minlength=5) / len(draws)
    expected = torch.zeros(5)
    expected[nucleus] = probabilities[nucleus] / probabilities[nucleus].sum()
    # 4 standard errors of a share of 0.5 over 100,000 draws.
    assert torch.allclose(shares, expected, atol=0.0064)
    assert set(draws.flatten().tolist()) == set(nucleus)


def test_a_wide_nucleus_is_found() -> None:
    """One that holds far more tokens than are looked at first: half of 4096 alike, beside a row of one token."""
    probabilities = torch.stack([torch.full((4096,), 2.0**-12), torch.eye(4096)[7]])
    mass, tokens = sampling._find_nucleus(probabilities, 0.5, is_static=False)
    assert mass.gt(0).sum(-1).tolist() == [2048, 1]
    assert tokens[1, 0] == 7


def decode(response: list[int]) -> str:
    """Letters, of which a whole text shows what its tail does not: the first is a capital."""
    return "".join(chr(ord("a") + token) for token in response).capitalize()


def test_stop_strings_end_a_response_where_they_are_complete() -> None:
    policy, prompts = toy.policy(), toy.PROMPTS * 8
    free = sampler().sample(policy, prompts, noise())
    texts = [decode(response) for response in free.response_lists()]
    # A pair of tokens, a single one, and a first letter, taken from what is sampled anyway.
    strings = (texts[0][2:4], texts[1][1], texts[2][0])
    batch = sampler(stop_strings=strings, decode=decode).sample(policy, prompts, noise())
    cut = 0
    for whole, response, ended in zip(free.response_lists(), batch.response_lists(), batch.ended, strict=True):
        stops = (n for n in range(1, len(whole) + 1) if any(string in decode(whole[:n]) for string in strings))
        end = next(stops, len(whole))
        assert response == whole[:end]
        assert bool(ended) == (end < len(whole) or whole[-1] == toy.EOS or any(s in decode(whole) for s in strings))
        cut += end < len(whole)
    assert 0 < cut < len(prompts)


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="decode"):
        sampler(stop_strings=("x",))
    for top_p in (0.0, 1.1):
        with pytest.raises(ValueError, match="top_p"):
            sampler(top_p=top_p)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("top_p", [1.0, 0.9])
def test_logits_that_are_not_finite_are_an_error(bad: float, top_p: float) -> None:
    policy = toy.policy_with_absolute_positions()
    # The third step of the longest prompt alone reads this position.
    policy.transformer.wpe.weight.data[7] = bad
    sampler(top_p=top_p, response_length=2, stop_ids=()).sample(policy, toy.PROMPTS, noise())
    with pytest.raises(DivergedError, match="the policy's logits are not finite"):
        sampler(top_p=top_p, response_length=4, stop_ids=()).sample(policy, toy.PROMPTS, noise())


@BOTH
@pytest.mark.parametrize("top_p", [1.0, 0.6])
def test_static_sampling_equals_dynamic(
    make_policy: Callable[[], PreTrainedModel], top_p: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    compilations = []
    monkeypatch.setattr(sampling, "compile_step", lambda device: compilations.append(device) or sampling._step)
    policy = make_policy()
    dynamic = sampler(top_p=top_p)
    expected = [dynamic.sample(policy, toy.PROMPTS, noise(seed)) for seed in range(2)]
    assert not compilations
    seen = shapes(policy, monkeypatch)
    for seed in range(2):  # twice: the second finds the cache that the first has used
        assert_same(expected[seed], replace(dynamic, is_static=True).sample(policy, toy.PROMPTS, noise(seed)))
    # Every prompt's width, and every step's shape, the last batch of two prompts included.
    assert set(seen) == {(4, sampling.STATIC_WIDTH), (4, 1)}
    assert len(sampling._static_caches[policy]) == 1
    assert set(compilations) == {"cpu"}


def test_a_static_cache_serves_one_shape_on_one_device_at_one_precision() -> None:
    policy, other = toy.policy(), toy.policy()
    first = sampling._reset_static_cache(policy, 3, 20)
    assert sampling._reset_static_cache(policy, 3, 20) is first
    others = [
        sampling._reset_static_cache(policy, 4, 20),
        sampling._reset_static_cache(policy, 3, 21),
        sampling._reset_static_cache(other, 3, 20),
        sampling._reset_static_cache(policy.to(torch.bfloat16), 3, 20),
        sampling._reset_static_cache(policy.to("meta"), 3, 20),
    ]
    assert len({id(cache) for cache in (first, *others)}) == 6
    assert [cache.layers[0].max_cache_len for cache in (first, others[1])] == [20, 21]


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # inductor's own are not ours to mend
@BOTH
def test_compiled_sampling_equals_dynamic(make_policy: Callable[[], PreTrainedModel]) -> None:
    if sampling.compile_step("cpu") is sampling._step:
        pytest.skip("no compiler here")
    policy = make_policy()
    for top_p in (1.0, 0.6):
        dynamic = sampler(top_p=top_p)
        static = replace(dynamic, is_static=True).sample(policy, toy.PROMPTS, noise())
        assert_same(dynamic.sample(policy, toy.PROMPTS, noise()), static)


def test_sampling_at_a_lower_precision_keeps_float32_logprobs() -> None:
    policy = toy.policy()
    plain, low = (sampler(autocast=dtype).sample(policy, toy.PROMPTS, noise()) for dtype in (None, torch.bfloat16))
    assert low.logprobs.dtype == torch.float32
    first = plain.response_ids[:, 0] == low.response_ids[:, 0]
    assert first.any()
    difference = (plain.logprobs - low.logprobs)[first, 0].abs().max()
    assert 0 < difference < 0.2
