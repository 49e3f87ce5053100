"""TRL's RewardTrainer with microbatches that shrink when memory runs out."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from trl import RewardTrainer  # type: ignore[attr-defined]

from rlhf_sweeps.ppo.memory import BatchSize, keep_freed_memory
from rlhf_sweeps.process.activity import Activity, report_activity
from rlhf_sweeps.reward_training.constants import SECONDS_WITHIN_STEP


class PairTrainer(RewardTrainer):
    """A trainer whose batch is one optimizer step: gradients accumulate within it, so that it can be repeated.

    Args:
        microbatch: the number of pairs in a backward pass.
    """

    def __init__(self, microbatch: BatchSize, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.microbatch = microbatch
        self._share = 1.0
        self._first_size = microbatch.size

    def training_step(self, model: nn.Module, inputs: dict[str, Tensor], num_items_in_batch: Any = None) -> Tensor:
        """Compute the gradients of a batch from `collate`; returns its loss."""
        measured, num_pairs = copy.deepcopy(self._metrics["train"]), len(inputs["input_ids"]) // 2

        def work(size: int) -> Tensor:
            model.zero_grad()
            self._metrics["train"] = copy.deepcopy(measured)
            return self._train(model, inputs, training, size)

        label = f"step {self.state.global_step + 1} of {self.state.max_steps}, {num_pairs} pairs"
        # Later steps have lines of their own, with loss and accuracy.
        patience = SECONDS_WITHIN_STEP if self.state.global_step else None
        with report_activity(label, num_pairs, patience) as training:
            loss = self.microbatch.run(work)
        if self.state.global_step == 0 and self.microbatch.size == self._first_size and self.args.use_cpu:
            # Not before a step has succeeded: the memory that a failed attempt kept would be fragmented.
            keep_freed_memory()
        return loss

    def compute_loss(self, *arguments: Any, **options: Any) -> Any:
        """The part of a microbatch in the mean loss of its batch."""
        return super().compute_loss(*arguments, **options) * self._share  # type: ignore[no-untyped-call]

    def _train(self, model: nn.Module, inputs: Mapping[str, Tensor], training: Activity, size: int) -> Tensor:
        pairs = sort_pairs(inputs)
        training.done = 0
        losses: list[Tensor] = []
        for start in range(0, len(pairs), size):
            microbatch = pairs[start : start + size]
            self._share = len(microbatch) / len(pairs)
            losses.append(super().training_step(model, take_pairs(inputs, microbatch)))  # type: ignore[no-untyped-call]
            training.done = start + len(microbatch)
        return torch.stack(losses).sum()


def sort_pairs(batch: Mapping[str, Tensor]) -> list[int]:
    """The pairs of a batch, longest first: a microbatch of similar lengths has little padding.

    Where memory does not suffice, the first microbatch shows it.
    """
    lengths = batch["attention_mask"].sum(-1)
    longest: Tensor = lengths.view(2, -1).amax(0)
    order: list[int] = longest.argsort(descending=True, stable=True).tolist()
    return order


def take_pairs(batch: Mapping[str, Tensor], pairs: Sequence[int]) -> dict[str, Tensor]:
    """Some pairs of a batch, (2 * pairs, sequence), padded to the longest of their answers."""
    half = len(batch["input_ids"]) // 2
    rows = [*pairs, *(half + pair for pair in pairs)]
    width = int(batch["attention_mask"][rows].sum(-1).max())
    return {name: column[rows, :width] for name, column in batch.items()}
