"""The trainer's updates: their prompts, batches and steps, how they follow from the seed, and where they lead."""

import math
from collections.abc import Sequence

import pytest
import torch
from helpers import toy
from helpers.plain_ppo import captured
from torch import Tensor

from rlhf_sweeps.ppo.rollout import Responses
from rlhf_sweeps.process.failures import DivergedError


@pytest.mark.parametrize("value_model", ["shared", "policy"])
def test_one_optimizer_step_per_minibatch(value_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = toy.trainer(toy.settings(value_model=value_model, num_ppo_epochs=3, num_minibatches=2, microbatch_size=1))
    steps: list[int] = []
    step = trainer.optimizer.step
    monkeypatch.setattr(trainer.optimizer, "step", lambda: (steps.append(1), step()))
    trainer.step()
    assert len(steps) == 3 * 2 * (1 if value_model == "shared" else 2)  # a step each, policy and value model


def test_minibatches_follow_from_seed_update_and_epoch() -> None:
    trainer = toy.trainer(toy.settings(num_ppo_epochs=2, batch_size=24))
    orders: dict[tuple[int, int], list[list[int]]] = {}
    for seed in (7, 8):
        for update in (1, 2):
            trainer.seed, trainer.update = seed, update
            orders[seed, update] = trainer._orders(24)
            assert trainer._orders(24) == orders[seed, update]
    every = [tuple(order) for found in orders.values() for order in found]
    assert len(set(every)) == 8
    assert all(sorted(order) == list(range(24)) for order in every)


def test_the_same_prompts_are_answered_anew_in_every_update() -> None:
    trainer = toy.trainer(toy.settings(lr=1e-12))
    trainer.batch_indices = lambda _: [0, 0, 0, 4, 4, 4]
    seen = captured(trainer)
    trainer.step()
    trainer.step()
    first, second = (batch.response_lists() for _, batch in seen)
    assert first != second


def test_weights_without_a_gradient_do_not_decay() -> None:
    """AdamW's own default would take lr / 100 of each."""
    trainer = toy.trainer(toy.settings(lr=1.0))
    weight = next(trainer.policy.model.parameters())
    before = weight.detach().clone()
    weight.grad = torch.zeros_like(weight)
    trainer.optimizer.step()
    assert torch.equal(weight, before)


def test_phases_are_timed_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([100.0, 103.0, 108.0, 110.0])  # 3, 5 and 2 seconds
    monkeypatch.setattr("rlhf_sweeps.ppo.trainer.time.perf_counter", lambda: next(times))
    row = toy.trainer(toy.settings()).step()
    phases = ("sample", "score", "optimize")
    assert [row[f"perf/{phase}_seconds"] for phase in phases] == [3, 5, 2]
    assert row["eps"] == 6 / 10


@pytest.mark.parametrize(("num_prompts", "ends"), [(2, [3, 6]), (4, [1, 2, 3, 4, 5, 6]), (6, [1, 2, 3, 4, 5, 6])])
def test_a_pass_ends_with_its_last_whole_batch(num_prompts: int, ends: list[int]) -> None:
    """Of six prompts two, four or six an update: TRL drops what fills no batch."""
    trainer = toy.trainer(toy.settings(batch_size=num_prompts, rollouts_per_prompt=1))
    found = []
    for update in range(1, 7):
        trainer.update = update
        found += [update] if trainer._ends_pass() else []
    assert found == ends


def test_the_same_seed_gives_the_same_run_and_another_one_another() -> None:
    def scores(seed: int) -> list[float]:
        trainer = toy.trainer(toy.settings())
        trainer.seed = seed
        with torch.random.fork_rng():
            torch.manual_seed(torch.initial_seed() % 2**31 + 1)  # the global generator has no say
            return [trainer.step()["objective/scores"] for _ in range(3)]

    assert scores(0) == scores(0) != scores(1)


def test_the_learning_rate_falls_linearly_to_zero_after_the_last_update() -> None:
    rates = [row["lr"] for row in toy.trainer(toy.settings(total_episodes=24)).updates()]
    assert rates == pytest.approx([1e-3, 0.75e-3, 0.5e-3, 0.25e-3])
    constant = toy.trainer(toy.settings(total_episodes=12, lr_schedule="constant"))
    assert [row["lr"] for row in constant.updates()] == [1e-3, 1e-3]


def test_a_policy_learns_to_say_what_is_rewarded() -> None:
    def share_of_sevens(indices: Sequence[int], batch: Responses) -> Tensor:
        return ((batch.response_ids == 7) & batch.response_mask).sum(-1) / batch.response_mask.sum(-1) * 4

    config = toy.settings(lr=0.03, num_ppo_epochs=4, batch_size=24, total_episodes=24 * 15, kl_coef=0.0)
    scores = [row["objective/scores"] for row in toy.trainer(config, score=share_of_sevens).updates()]
    assert scores[-1] > scores[0] + 2


def test_a_loss_that_is_not_finite_stops_the_run() -> None:
    def nan(indices: Sequence[int], batch: Responses) -> Tensor:
        return torch.full((len(indices),), math.nan)

    trainer = toy.trainer(toy.settings(), score=nan)
    before = [parameter.clone() for parameter in trainer.policy.model.parameters()]
    with pytest.raises(DivergedError, match="update 1"):
        trainer.step()
    assert all(map(torch.equal, before, trainer.policy.model.parameters()))
