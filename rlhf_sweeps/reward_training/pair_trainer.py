"""TRL's RewardTrainer with microbatches that shrink when memory runs out."""

import contextlib
import copy
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from trl import RewardTrainer  # type: ignore[attr-defined]

from rlhf_sweeps.ppo.memory import BatchSize, keep_freed_memory
from rlhf_sweeps.reward_training.constants import SECONDS_WITHIN_STEP

log = logging.getLogger("rlhf_sweeps")


class PairTrainer(RewardTrainer):
    """A trainer whose batch is one optimizer step: gradients accumulate within it, so that it can be repeated.

    Args:
        microbatch: the number of pairs in a backward pass.
    """

    def __init__(self, microbatch: BatchSize, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.microbatch = microbatch
        self._share = 1.0
        self._num_done = 0
        self._first_size = microbatch.size

    def training_step(self, model: nn.Module, inputs: dict[str, Tensor], num_items_in_batch: Any = None) -> Tensor:
        """Compute the gradients of a batch from `collate`; returns its loss."""
        measured = copy.deepcopy(self._metrics["train"])

        def work(size: int) -> Tensor:
            model.zero_grad()
            self._metrics["train"] = copy.deepcopy(measured)
            self._num_done = 0
            return self._train(model, inputs, size)

        with self._log_progress(len(inputs["input_ids"]) // 2):
            loss = self.microbatch.run(work)
        if self.state.global_step == 0 and self.microbatch.size == self._first_size and self.args.use_cpu:
            # Not before a step has succeeded: the memory that a failed attempt kept would be fragmented.
            keep_freed_memory()
        return loss

    def compute_loss(self, *arguments: Any, **options: Any) -> Any:
        """The part of a microbatch in the mean loss of its batch."""
        return super().compute_loss(*arguments, **options) * self._share  # type: ignore[no-untyped-call]

    def _train(self, model: nn.Module, inputs: Mapping[str, Tensor], size: int) -> Tensor:
        pairs = sort_pairs(inputs)
        losses: list[Tensor] = []
        for start in range(0, len(pairs), size):
            microbatch = pairs[start : start + size]
            self._share = len(microbatch) / len(pairs)
            losses.append(super().training_step(model, take_pairs(inputs, microbatch)))  # type: ignore[no-untyped-call]
            self._num_done = start + len(microbatch)
        return torch.stack(losses).sum()

    @contextlib.contextmanager
    def _log_progress(self, num_pairs: int) -> Iterator[None]:
        """Log the progress within a step; in a thread, since a single microbatch may take minutes."""
        has_ended = threading.Event()

        def tell() -> None:
            while not has_ended.wait(SECONDS_WITHIN_STEP):
                log.info("step %d: %d of %d pairs done", self.state.global_step + 1, self._num_done, num_pairs)

        teller = threading.Thread(target=tell, daemon=True)
        teller.start()
        try:
            yield
        finally:
            has_ended.set()
            teller.join()


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
