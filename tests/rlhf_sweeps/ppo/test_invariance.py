"""What no number may depend on: padding, the order of rows, how a batch is cut; for batches that nobody thought of."""

from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from helpers import toy
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rlhf_sweeps.ppo import equations
from rlhf_sweeps.ppo.language_model import LanguageModel
from rlhf_sweeps.ppo.rollout import Responses, Rollout, assess, mean_return
from rlhf_sweeps.ppo.steps import plan_steps, split_into_microbatches

few = settings(max_examples=25, derandomize=True, deadline=None)
# Prompt and response of each row.
LENGTHS = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 6)), min_size=2, max_size=7)
OPTIONS = st.fixed_dictionaries(
    {
        "score_at": st.sampled_from(["end", "after_end"]),
        "bootstrap_truncated": st.booleans(),
        "whiten_rewards": st.booleans(),
        "kl_in": st.sampled_from(["reward", "loss"]),
        "kl_estimator": st.sampled_from(["k1", "k2", "k3"]),
        "missing_eos_penalty": st.sampled_from([None, 1.5]),
        "gamma": st.sampled_from([1.0, 0.9]),
    }
)


def batch_of(lengths: list[tuple[int, int]], seed: int, room: int = 0) -> tuple[Responses, dict[str, Any]]:
    """Responses of these lengths, every other cut, with all that assess takes; padded by `room` more than they need."""
    noise = torch.Generator().manual_seed(seed)
    rows, most = len(lengths), 6  # drawn for all six places, so that padding changes no number
    prompt, response = (torch.tensor(each) for each in zip(*lengths, strict=True))
    drawn = {name: torch.randn(rows, most + 1, generator=noise) for name in ("logprobs", "ref_logprobs", "values")}
    ids, scores = torch.randint(4, 20, (rows, 11), generator=noise), torch.randn(rows, generator=noise)
    width, before = int(response.max()) + room, int(prompt.max()) + room
    mask = torch.arange(width) < response.unsqueeze(-1)
    prompt_mask = torch.arange(before) >= before - prompt.unsqueeze(-1)
    prompt_ids = torch.zeros(rows, before, dtype=torch.long)
    response_ids = torch.zeros(rows, width, dtype=torch.long)
    for row, (p, r) in enumerate(lengths):
        prompt_ids[row, before - p :], response_ids[row, :r] = ids[row, :p], ids[row, 5 : 5 + r]
    found = {name: _wide(x, width + (name == "values")) for name, x in drawn.items()}
    ended = torch.arange(rows) % 2 == 0
    batch = Responses(prompt_ids, prompt_mask, response_ids, mask, found["logprobs"] * mask, ended)
    # Behind the state after the last token no value counts.
    values = found["values"] * (torch.arange(width + 1) <= response.unsqueeze(-1))
    rest = {"raw_scores": scores, "scores": scores, "ref_logprobs": found["ref_logprobs"] * mask, "values": values}
    return batch, rest


def _wide(x: Tensor, width: int) -> Tensor:
    return torch.nn.functional.pad(x, (0, max(0, width - x.shape[1])))[:, :width]


def assert_same(one: Rollout, other: Rollout, order: list[int]) -> None:
    """Row i of the other is row order[i] of the one, as far as both reach; beyond there is nothing."""
    for field in fields(Rollout):
        ours, its = getattr(one, field.name), getattr(other, field.name)
        if not isinstance(ours, Tensor):
            assert ours == its
            continue
        ours = ours[order]
        if ours.dim() == 2 and not field.name.startswith("prompt"):
            width = min(ours.shape[1], its.shape[1])
            assert not ours[:, width:].any(), field.name
            assert not its[:, width:].any(), field.name
            ours, its = ours[:, :width], its[:, :width]
        if not field.name.startswith("prompt"):
            assert torch.allclose(ours.double(), its.double(), atol=1e-4), field.name


@few
@given(LENGTHS, OPTIONS, st.integers(0, 99), st.integers(1, 4))
def test_padding_changes_nothing(lengths: list[tuple[int, int]], options: dict[str, Any], seed: int, room: int) -> None:
    """The state after a response that fills its batch has no place without padding, so one column is always there."""
    config = toy.settings(**options)
    tight, wide = (assess(config, *_arguments(lengths, seed, extra), kl_coef=0.3) for extra in (1, 1 + room))
    assert_same(tight, wide, list(range(len(lengths))))
    means = [mean_return(config, *_arguments(lengths, seed, extra)[:3:2]) for extra in (1, 1 + room)]
    assert means[0] == pytest.approx(means[1], abs=1e-5)


def _arguments(lengths: list[tuple[int, int]], seed: int, room: int) -> tuple[Any, ...]:
    batch, rest = batch_of(lengths, seed, room)
    return batch, *rest.values()


@few
@given(st.data(), LENGTHS, OPTIONS, st.integers(0, 99))
def test_the_order_of_rows_changes_nothing(
    data: Any, lengths: list[tuple[int, int]], options: dict[str, Any], seed: int
) -> None:
    order = data.draw(st.permutations(range(len(lengths))))
    config = toy.settings(**options)
    batch, rest = batch_of(lengths, seed, room=1)
    shuffled = replace(batch, **{field.name: getattr(batch, field.name)[order] for field in fields(Responses)})
    plain = assess(config, batch, **rest, kl_coef=0.3)
    other = assess(config, shuffled, **{name: x[order] for name, x in rest.items()}, kl_coef=0.3)
    assert_same(plain, other, order)


@few
@given(LENGTHS, st.integers(0, 99))
def test_some_rows_are_those_rows(lengths: list[tuple[int, int]], seed: int) -> None:
    batch, rest = batch_of(lengths, seed, room=2)
    rollout = assess(toy.settings(), batch, **rest, kl_coef=0.3)
    index = list(range(len(lengths)))[::-2]
    part = rollout.rows(index)
    assert part.sequences == [rollout.sequences[i] for i in index]
    assert part.response_lists() == [rollout.response_lists()[i] for i in index]
    assert part.response_ids.shape[1] == max(lengths[i][1] for i in index)
    assert part.prompt_ids.shape[1] == max(lengths[i][0] for i in index)
    for name in ("logprobs", "advantages", "values", "rewards", "kl"):
        ours = getattr(part, name)
        assert torch.equal(ours, getattr(rollout, name)[index][:, : ours.shape[1]]), name


@settings(max_examples=8, derandomize=True, deadline=None)
@given(LENGTHS, st.integers(0, 99), st.integers(1, 7), st.integers(1, 3))
def test_logprobs_are_read_alike_however_a_batch_is_padded_and_cut(
    lengths: list[tuple[int, int]], seed: int, size: int, room: int
) -> None:
    model = LanguageModel(toy.policy_with_absolute_positions(), 0.8, has_plain_head=True)
    tight, wide = batch_of(lengths, seed)[0], batch_of(lengths, seed, room)[0]
    whole, cut = model.logprobs(tight), model.logprobs(wide, size)
    assert torch.allclose(whole, cut[:, : whole.shape[1]], atol=1e-5)
    assert not cut[~wide.response_mask].any()


@few
@given(
    st.data(),
    st.lists(st.integers(1, 6), min_size=4, max_size=12),
    st.sampled_from(["token_mean", "sequence_mean"]),
    st.integers(1, 5),
)
def test_a_steps_loss_is_the_mean_of_its_minibatch_however_it_is_cut(
    data: Any, lengths: list[int], aggregation: str, size: int
) -> None:
    num = len(lengths)
    order = data.draw(st.permutations(range(num)))
    num_minibatches = data.draw(st.sampled_from([n for n in range(1, num + 1) if num % n == 0]))
    mask = torch.arange(6) < torch.tensor(lengths).unsqueeze(-1)
    losses = torch.randn(num, 6, generator=torch.Generator().manual_seed(num))
    config = toy.settings(
        batch_size=num, rollouts_per_prompt=1, num_minibatches=num_minibatches, microbatch_size=size,
        loss_aggregation=aggregation,
    )  # fmt: skip
    plan = list(plan_steps(config, mask, mask, [order], ends_pass=False))
    assert [row for step in plan for row in step.rows] == order
    assert [row for parts in split_into_microbatches(config, order) for part in parts for row in part] == order
    for step in plan:
        each = [losses[row][mask[row]] for row in step.rows]
        means = [x.mean() for x in each] if aggregation == "sequence_mean" else [torch.cat(each).mean()]
        found = (losses[step.rows] * step.weights).sum()
        assert found.item() == pytest.approx(torch.stack(means).mean().item(), abs=1e-5)


@few
@given(LENGTHS, st.integers(0, 99))
def test_whitened_numbers_have_mean_0_and_deviation_1(lengths: list[tuple[int, int]], seed: int) -> None:
    batch, rest = batch_of(lengths, seed)
    mask, x = batch.response_mask, rest["ref_logprobs"]
    if mask.sum() < 3:
        return
    whitened = equations.whiten(x, mask)
    assert whitened[mask].mean().item() == pytest.approx(0.0, abs=1e-4)
    assert whitened[mask].std().item() == pytest.approx(1.0, abs=1e-3)
    assert torch.allclose(equations.whiten(3 * x + 7 * mask, mask), whitened, atol=1e-3)
    assert not whitened[~mask].any()


@settings(max_examples=5, derandomize=True, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.sampled_from([1, 2, 3]), st.sampled_from(["shared", "policy"]))
def test_an_update_is_the_same_however_its_batch_is_cut(
    microbatch_size: int, rollout_batch_size: int, num_minibatches: int, value_model: str
) -> None:
    changes: dict[str, Any] = {"num_minibatches": num_minibatches, "value_model": value_model}
    plain = toy.trainer(toy.settings(**changes))
    cut = toy.trainer(toy.settings(microbatch_size=microbatch_size, **changes))
    cut.sampler.batch.size = rollout_batch_size
    rows = [trainer.step() for trainer in (plain, cut)]
    for name, number in rows[0].items():
        if not name.startswith("perf/") and name != "eps":
            assert rows[1][name] == pytest.approx(number, rel=1e-3, abs=1e-5), name
    for ours, its in zip(plain.policy.model.parameters(), cut.policy.model.parameters(), strict=True):
        assert torch.allclose(ours, its, atol=1e-5)
