"""Teacher-forced forward passes over responses, in two steps: features of tokens, then logits in chunks.

Logits over the vocabulary are the largest tensors of all, so only those of response tokens are computed, and never more
than `CHUNK_BYTES` at once.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from rlhf_sweeps.ppo.constants import CHUNK_BYTES
from rlhf_sweeps.ppo.equations import token_logprobs
from rlhf_sweeps.ppo.memory import is_out_of_memory
from rlhf_sweeps.ppo.packing import FAILURES, draw_trial_tokens, is_same, pack, reads_packed
from rlhf_sweeps.ppo.precision import compute_in
from rlhf_sweeps.ppo.rollout import Responses


class ValueModel(nn.Module):
    """A linear head with one output per position, on a trunk of its own (as in TRL) or on the policy's features.

    Attributes:
        trunk: None: the head reads the policy's features.
        offset: a constant, not trained, that is added to every output.
    """

    def __init__(self, head: nn.Linear, trunk: nn.Module | None = None) -> None:
        super().__init__()
        self.head = head
        self.trunk = trunk
        self.offset = 0.0

    def forward(self, features: Tensor) -> Tensor:
        """Values (...) in float32 of features (..., hidden)."""
        values: Tensor = self.head(features.to(self.head.weight.dtype)).squeeze(-1).float()
        return values + self.offset

    @torch.no_grad()
    def rescale(self, mean: float, deviation: float) -> None:
        """Change head and offset so that the output becomes (output - mean) / deviation."""
        for parameter in self.head.parameters():
            parameter.div_(deviation)
        self.offset = (self.offset - mean) / deviation


@dataclass(frozen=True)
class Features:
    """The output of a trunk for a batch.

    Attributes:
        values: (tokens, hidden); the states of each response are consecutive: before each of its tokens, after the
            last one, and then that of a padding token if has_padding was set.
        first: the index in `values` of each response's first state.
    """

    values: Tensor
    first: list[int]

    def places(self, lengths: Sequence[int]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Indices into `values`, (n,), and rows and positions, both (n,), of the first states of each response.

        Args:
            lengths: the number of states of each response.
        """
        rows = [row for row, length in enumerate(lengths) for _ in range(length)]
        positions = [position for length in lengths for position in range(length)]
        index = [self.first[row] + position for row, position in zip(rows, positions, strict=True)]
        table = torch.tensor([index, rows, positions], device=self.values.device)
        return table[0], (table[1], table[2])


@dataclass(frozen=True)
class LanguageModel:
    """A policy as PPO reads it.

    Attributes:
        temperature: logits are divided by it.
        autocast: the data type of autocast; None: the weights' own type.
        recomputes: whether the backward pass recomputes each layer's activations.
        has_plain_head: whether the output layer alone makes the logits; if not, they cannot be computed in chunks.
    """

    model: PreTrainedModel
    temperature: float
    autocast: torch.dtype | None = None
    recomputes: bool = False
    has_plain_head: bool = False

    def features(self, batch: Responses, has_padding: bool = False) -> Features:
        """The features that the head reads; has_padding adds a padding token to every response."""
        if self.has_plain_head:
            return self.trunk_features(self.model.base_model, batch, has_padding)
        with self._compute(self.model):
            logits = self.model(**_pad(batch, has_padding)).logits
        return _flatten(logits, batch)

    def trunk_features(self, trunk: nn.Module, batch: Responses, has_padding: bool = False) -> Features:
        """The features of any trunk; the other arguments are those of `features`."""
        if not reads_packed(trunk):
            with self._compute(trunk):
                hidden = trunk(**_pad(batch, has_padding)).last_hidden_state
            return _flatten(hidden, batch)
        padding = [0] if has_padding else []
        packed = pack([[*s, *padding] for s in batch.sequences], batch.prompt_ids.device, has_padding)
        with self._compute(trunk):
            hidden = packed.read(trunk)
        first = [start + n - 1 for start, n in zip(packed.starts, batch.prompt_lengths, strict=True)]
        return Features(hidden, first)

    def logits(self, features: Tensor) -> Tensor:
        """Logits / temperature (..., vocabulary) in float32 of features (..., hidden)."""
        if not self.has_plain_head:
            return features.float() / self.temperature
        head = self.model.get_output_embeddings()
        # Without a bias, dividing the features gives the same, and they are far fewer than the logits.
        is_product = getattr(head, "bias", None) is None
        with self._compute(self.model):
            logits: Tensor = head(features / self.temperature if is_product else features)
        return logits.float() if is_product else logits.float() / self.temperature

    def chunks(self, num_tokens: int) -> Iterator[slice]:
        """Slices of a list of tokens whose logits may be in memory at once."""
        size = max(1, CHUNK_BYTES // 4 // self.model.config.get_text_config().vocab_size)
        return (slice(start, start + size) for start in range(0, num_tokens, size))

    @torch.no_grad()
    def logprobs(self, batch: Responses, size: int | None = None) -> Tensor:
        """Log-probabilities of the response tokens: (batch, response), float32, 0 outside the mask.

        Args:
            size: the number of sequences read at once; None: all.
        """
        logprobs = torch.zeros(batch.response_ids.shape, device=batch.response_ids.device)
        # One context around all parts and chunks, so that weights are cast once.
        with compute_in(self.model, self.autocast):
            for part in batch.parts(size or len(batch.lengths)):
                self._read_part(batch, part, logprobs)
        return logprobs

    def _read_part(self, batch: Responses, part: list[int], logprobs: Tensor) -> None:
        """Fill in the logprobs (batch, response) of some rows."""
        responses = batch.rows(part)
        features = self.features(responses)
        index, (rows, positions) = features.places(responses.lengths)
        of_batch = torch.tensor(part, device=index.device)
        for chunk in self.chunks(len(index)):
            at = rows[chunk], positions[chunk]
            chunk_logprobs = token_logprobs(self.logits(features.values[index[chunk]]), responses.response_ids[at])
            logprobs[of_batch[at[0]], at[1]] = chunk_logprobs

    @contextmanager
    def _compute(self, module: nn.Module) -> Iterator[None]:
        layers = [m for m in module.modules() if isinstance(m, GradientCheckpointingLayer)] if self.recomputes else []
        # Only the layer itself is put into training mode; in its parts that would turn on dropout.
        for layer in layers:
            layer.training = torch.is_grad_enabled()
        try:
            with compute_in(module, self.autocast):
                yield
        finally:
            for layer in layers:
                layer.training = False


@torch.no_grad()
def has_plain_head(model: PreTrainedModel) -> bool:
    """Whether the model's logits are the output of its output layer on the trunk's last hidden state, by a trial.

    Some models scale or cap the logits (Gemma 2, Cohere, Granite). Small logits would hardly show that, so the output
    layer returns large ones in the trial.
    """
    try:
        return _is_plain(model)
    except FAILURES as error:  # the model cannot be read at all; a later check reports that
        if is_out_of_memory(error):
            raise
        return False


def _is_plain(model: PreTrainedModel) -> bool:
    head = model.get_output_embeddings()
    if head is None:
        return False
    ids = torch.tensor([draw_trial_tokens(model, 4)], device=model.device)
    read: list[Tensor] = []
    given: list[Tensor] = []

    def replace_output(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        read.append(inputs[0])
        given.append(torch.linspace(-100, 100, output.numel(), device=output.device).view_as(output).to(output.dtype))
        return given[0]

    hook = head.register_forward_hook(replace_output)
    try:
        logits = model(input_ids=ids, use_cache=False).logits
    finally:
        hook.remove()
    hidden = model.base_model(input_ids=ids, use_cache=False).last_hidden_state
    return len(read) == 1 and is_same(read[0], hidden, model.dtype) and torch.equal(logits.to(given[0].dtype), given[0])


def _pad(batch: Responses, has_padding: bool) -> dict[str, Tensor | bool]:
    """The model's inputs for prompts and responses as a padded batch, with explicit mask and positions."""
    ids = torch.cat([batch.prompt_ids, batch.response_ids], dim=-1)
    mask = torch.cat([batch.prompt_mask, batch.response_mask], dim=-1).long()
    if has_padding:
        ids, mask = nn.functional.pad(ids, (0, 1)), nn.functional.pad(mask, (0, 1))
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "position_ids": mask.cumsum(-1) - mask,
        "use_cache": False,
    }


def _flatten(values: Tensor, batch: Responses) -> Features:
    """Features from values (batch, prompt + response, hidden)."""
    num_columns = values.shape[1]
    before_first = batch.prompt_ids.shape[1] - 1
    first = [row * num_columns + before_first for row in range(len(values))]
    return Features(values.flatten(0, 1), first)
