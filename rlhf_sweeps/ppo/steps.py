"""Which sequences an optimizer step reads, and what each of their tokens weighs in its loss.

The weights alone say how the loss is aggregated, so that the sequences may be computed in any order and number.
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
        weights: (rows, response), each token's share in the policy's loss.
        state_weights: (rows, response), each state's share in the value model's.
    """

    epoch: int
    rows: list[int]
    weights: Tensor
    state_weights: Tensor


def microbatches(config: PPOConfig, order: Sequence[int]) -> list[list[list[int]]]:
    """An epoch's minibatches, each as its microbatches (lists of rows)."""
    size = config.batch_size // config.num_minibatches
    return [_split(minibatch, config.microbatch_size) for minibatch in _split(order, size)]


def steps(
    config: PPOConfig, mask: Tensor, state_mask: Tensor, orders: Iterable[Sequence[int]], ends_pass: bool
) -> Iterator[Step]:
    """All optimizer steps of an update.

    Args:
        orders: each epoch's permutation of the rows.
        ends_pass: whether the update is the last of a pass over the prompts, where TRL's accumulation steps after
            every microbatch (accelerate forces a step as long as the data loader stands at its end).
    """
    for epoch, order in enumerate(orders):
        minibatches = microbatches(config, order)
        num_accumulated = config.accumulation_steps
        if num_accumulated is not None:
            parts = [part for minibatch in minibatches for part in minibatch]
            minibatches = _split(parts, 1 if ends_pass else num_accumulated)
        for parts in minibatches:
            rows = [row for part in parts for row in part]
            divisor = num_accumulated or len(parts)
            weights, state_weights = (
                torch.cat([_mean(config.loss_aggregation, each[part]) / divisor for part in parts])
                if config.loss_aggregation == "microbatch_mean"
                else _mean(config.loss_aggregation, each[rows])
                for each in (mask, state_mask)
            )
            yield Step(epoch, rows, weights, state_weights)


def _mean(aggregation: str, mask: Tensor) -> Tensor:
    """The weights (rows, response) of a mean over the mask, or over its rows' means."""
    if aggregation == "sequence_mean":
        return mask / mask.sum(-1, keepdim=True) / len(mask)
    return mask / mask.sum()


def _split(items: Sequence[T], size: int) -> list[list[T]]:
    return [list(items[start : start + size]) for start in range(0, len(items), size)]
