"""What an optimizer step weighs, against the means that the loss is said to be."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from helpers import toy

from rlhf_sweeps.ppo.steps import Step, plan_steps, split_into_microbatches

LENGTHS = [3, 1, 4, 2]
MASK = torch.arange(5) < torch.tensor(LENGTHS).unsqueeze(-1)
STATE_MASK = torch.arange(5) < torch.tensor(LENGTHS).unsqueeze(-1) + 1
ORDERS = [[2, 0, 3, 1], [0, 1, 2, 3]]
LOSSES = torch.arange(20.0).reshape(4, 5)


def planned(ends_pass: bool = False, orders: Sequence[Sequence[int]] = ORDERS, **changes: Any) -> list[Step]:
    return list(plan_steps(toy.settings(batch_size=4, **changes), MASK, STATE_MASK, orders, ends_pass))


def loss(step: Step) -> float:
    return (LOSSES[step.rows] * step.weights).sum().item()


def mean(*rows: int) -> float:
    return LOSSES[list(rows)][MASK[list(rows)]].mean().item()


def test_a_step_a_minibatch_over_its_tokens() -> None:
    plan = planned(num_minibatches=2, microbatch_size=1)
    assert [(step.epoch, step.rows) for step in plan] == [(0, [2, 0]), (0, [3, 1]), (1, [0, 1]), (1, [2, 3])]
    assert [loss(step) for step in plan] == pytest.approx([mean(2, 0), mean(3, 1), mean(0, 1), mean(2, 3)])
    states = LOSSES[[2, 0]][STATE_MASK[[2, 0]]].mean().item()
    assert (LOSSES[[2, 0]] * plan[0].state_weights).sum().item() == pytest.approx(states)


def test_each_response_counts_the_same() -> None:
    (step,) = planned(orders=[[0, 1, 2, 3]], loss_aggregation="sequence_mean")
    assert loss(step) == pytest.approx(sum(mean(row) for row in range(4)) / 4)


def test_the_mean_of_microbatches() -> None:
    (step,) = planned(orders=[[0, 1, 2, 3]], loss_aggregation="microbatch_mean", microbatch_size=3)
    assert loss(step) == pytest.approx((mean(0, 1, 2) + mean(3)) / 2)


def test_trls_accumulation_steps_across_minibatches() -> None:
    """Two minibatches of one microbatch each make one step; at the end of a pass each is one, of half the loss."""
    changes = {"num_minibatches": 2, "microbatch_size": 2, "accumulation_steps": 2}
    plan = planned(orders=ORDERS[:1], loss_aggregation="microbatch_mean", **changes)
    assert [step.rows for step in plan] == [[2, 0, 3, 1]]
    assert loss(plan[0]) == pytest.approx((mean(2, 0) + mean(3, 1)) / 2)
    last = planned(ends_pass=True, orders=ORDERS[:1], loss_aggregation="microbatch_mean", **changes)
    assert [step.rows for step in last] == [[2, 0], [3, 1]]
    assert [loss(step) for step in last] == pytest.approx([mean(2, 0) / 2, mean(3, 1) / 2])


def test_microbatches_are_cut_within_minibatches() -> None:
    config = toy.settings(batch_size=6, num_minibatches=2, microbatch_size=2)
    assert split_into_microbatches(config, [5, 4, 3, 2, 1, 0]) == [[[5, 4], [3]], [[2, 1], [0]]]
    assert config.microbatches_per_epoch == 4
