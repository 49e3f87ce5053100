"""The sequences of each optimizer step, and the weight of each of their tokens in the loss.

The weights contain the whole aggregation of the loss, so the sequences can be computed in any order and grouping.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from rlhf_sweeps.config.schema import PPOConfig

T = TypeVar("T")


@dataclass(frozen=True)
class Step:
    """One optimizer step.

    Attributes:
        epoch: from 0.
        rows: of the rollout.
        weights: (rows, response), the weight of each token in the policy's loss.
        state_weights: (rows, response), the weight of each state in the value model's loss.
    """

    epoch: int
    rows: list[int]
    weights: Tensor
    state_weights: Tensor


def split_into_microbatches(config: PPOConfig, order: Sequence[int]) -> list[list[list[int]]]:
    """The minibatches of an epoch, each as a list of microbatches, which are lists of rows."""
    size = config.batch_size // config.num_minibatches
    return [_split(minibatch, config.microbatch_size) for minibatch in _split(order, size)]


def plan_steps(
    config: PPOConfig, mask: Tensor, state_mask: Tensor, orders: Iterable[Sequence[int]], ends_pass: bool
) -> Iterator[Step]:
    """All optimizer steps of an update.

    Args:
        orders: the permutation of the rows for each epoch.
        ends_pass: whether the update is the last of a pass over the prompts. There, TRL steps after every microbatch
            in spite of accumulation_steps (accelerate forces a step while the data loader is at its end).
    """
    for epoch, order in enumerate(orders):
        minibatches = split_into_microbatches(config, order)
        num_accumulated = config.accumulation_steps
        if num_accumulated is not None:
            parts = [part for minibatch in minibatches for part in minibatch]
            minibatches = _split(parts, 1 if ends_pass else num_accumulated)
        for parts in minibatches:
            rows = [row for part in parts for row in part]
            divisor = num_accumulated or len(parts)
            weights, state_weights = (
                torch.cat([_average(config.loss_aggregation, each[part]) / divisor for part in parts])
                if config.loss_aggregation == "microbatch_mean"
                else _average(config.loss_aggregation, each[rows])
                for each in (mask, state_mask)
            )
            yield Step(epoch, rows, weights, state_weights)


def _average(aggregation: str, mask: Tensor) -> Tensor:
    """The weights, (rows, response), of the mean over all tokens of the mask, or of the mean of its rows' means."""
    if aggregation == "sequence_mean":
        return mask / mask.sum(-1, keepdim=True) / len(mask)
    return mask / mask.sum()


def _split(items: Sequence[T], size: int) -> list[list[T]]:
    return [list(items[start : start + size]) for start in range(0, len(items), size)]
