"""Packing: the sequences of a batch in one row, so that no layer computes padding.

Every part of a transformer except attention treats each token separately. So the tokens of a batch are packed into one
row, and only attention arranges them as a batch, padded on the right, where the causal mask hides the padding. The
layout is passed, as integers, in place of the attention mask, which transformers does not change.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from rlhf_sweeps.ppo.constants import LONGEST_TRIAL, LOW_TOLERANCE, TOLERANCE
from rlhf_sweeps.ppo.memory import is_out_of_memory

NAME = "rlhf_sweeps_packed"
# Errors of models that do not accept these arguments, or change them.
FAILURES = (RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError)


@dataclass(frozen=True)
class PackedSequences:
    """Token sequences in one row.

    Attributes:
        ids, positions: (1, tokens).
        layout: (1, 1 or 2, batch, longest). First, the index in the row of each token of the padded batch; for
            padding, the length of the row. Second, if some tokens are hidden, 1 for each token that others may see.
        starts: the index in the row of each sequence's first token.
    """

    ids: Tensor
    positions: Tensor
    layout: Tensor
    starts: list[int]

    def read(self, trunk: torch.nn.Module) -> Tensor:
        """The states, (tokens, hidden), of a trunk that reads packed sequences."""
        output = trunk(input_ids=self.ids, attention_mask=self.layout, position_ids=self.positions, use_cache=False)
        hidden: Tensor = output.last_hidden_state[0]
        return hidden


def pack(sequences: Sequence[Sequence[int]], device: torch.device, has_hidden: bool = False) -> PackedSequences:
    """Pack token ids; with has_hidden, no token sees the last token of a sequence, not even that token itself."""
    lengths = [len(sequence) for sequence in sequences]
    total, width = sum(lengths), max(lengths)
    starts = [sum(lengths[:i]) for i in range(len(lengths))]
    rows = [[*range(start, start + n), *[total] * (width - n)] for start, n in zip(starts, lengths, strict=True)]
    positions = [position for n in lengths for position in range(n)]
    layout = [rows]
    if has_hidden:
        layout.append([[int(t < n - 1) for t in range(width)] for n in lengths])
    return PackedSequences(
        torch.tensor([[token for sequence in sequences for token in sequence]], device=device),
        torch.tensor([positions], device=device),
        torch.tensor([layout], device=device),
        starts,
    )


def attend(
    module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    """transformers' own sdpa attention, with packed sequences (1, heads, tokens, dimension) laid out as a batch."""
    if attention_mask is None or attention_mask.dtype != torch.long:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    layout = attention_mask[0, 0]
    batch, width = layout.shape
    total = query.shape[2]
    index = layout.flatten()
    # A padding position takes any token; no token attends to it.
    source = index.clamp(max=total - 1)
    query, key, value = (
        x[0].transpose(0, 1).index_select(0, source).unflatten(0, (batch, width)).transpose(1, 2)
        for x in (query, key, value)
    )
    mask = None
    if attention_mask.shape[1] == 2:
        causal = torch.ones(width, width, dtype=torch.bool, device=query.device).tril()
        mask = causal & attention_mask[0, 1].bool()[:, None, None, :]
    output, _ = sdpa_attention_forward(module, query, key, value, mask, **options | {"is_causal": mask is None})
    row = output.new_zeros(total + 1, *output.shape[2:]).index_copy(0, index, output.flatten(0, 1))
    return row[:total].unsqueeze(0), None


_windows: set[int] = set()


def _make_mask(*, local_size: int | None = None, **options: Any) -> Tensor | None:
    """transformers' own mask for padded batches; the size of a layer's attention window is noted in `_windows`."""
    if local_size:  # 0 where windows are turned off
        _windows.add(local_size)
    return sdpa_mask(local_size=local_size, **options)


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, _make_mask)


def reads_packed(model: torch.nn.Module) -> bool:
    """Whether a model reads packed sequences."""
    config: Any = getattr(model, "config", None)
    return getattr(config, "_attn_implementation", None) == NAME


@torch.no_grad()
def enable_packing(trunk: torch.nn.Module, longest: int | None = None) -> bool:
    """Let a decoder's trunk read packed sequences, if a trial shows that the results are the same.

    A trunk with attention windows (Mistral, Gemma 3) reads them only if no sequence is longer than the window.

    Args:
        longest: the largest number of tokens of a sequence; None: any number.

    Returns:
        whether the trunk reads packed sequences now.
    """
    assert isinstance(trunk, PreTrainedModel)
    before = trunk.config._attn_implementation
    if before != "sdpa":
        return reads_packed(trunk)
    try:
        sequences = draw_trial_sequences(trunk, longest)
        expected = torch.cat([_read_alone(trunk, sequence) for sequence in sequences])
        trunk.set_attn_implementation(NAME)
        _windows.clear()
        _read_alone(trunk, sequences[0])  # fills _windows
        is_whole = not _windows or (longest is not None and longest <= min(_windows))
        if is_whole and is_same(pack(sequences, trunk.device).read(trunk), expected, trunk.dtype):
            return True
    except FAILURES as error:  # the model changes its mask
        if is_out_of_memory(error):
            raise
    trunk.set_attn_implementation(before)
    return False


def is_same(actual: Tensor, expected: Tensor, dtype: torch.dtype) -> bool:
    """Whether two results, computed in `dtype` in different ways, differ by rounding only."""
    tolerance = TOLERANCE if torch.finfo(dtype).bits >= 32 else LOW_TOLERANCE
    allowed = tolerance * expected.abs().max().clamp(min=1).item()
    return actual.shape == expected.shape and torch.allclose(actual.float(), expected.float(), rtol=0.0, atol=allowed)


def count_ids(model: PreTrainedModel) -> int:
    """The number of token ids for which a model has an embedding."""
    embedding: Any = model.get_input_embeddings()
    return len(embedding.weight)


def draw_trial_tokens(model: PreTrainedModel, num: int) -> list[int]:
    """Random tokens for a trial, the same at every call."""
    tokens: list[int] = torch.randint(count_ids(model), (num,), generator=torch.Generator()).tolist()
    return tokens


def draw_trial_sequences(model: PreTrainedModel, longest: int | None) -> list[list[int]]:
    """Sequences of three lengths for a trial; the first is as long as the model can read, up to LONGEST_TRIAL."""
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    # A model without a limit may say -1 (XLNet).
    length = min(limit for limit in (longest, positions, LONGEST_TRIAL) if limit is not None and limit > 0)
    return [draw_trial_tokens(model, num) for num in (length, -(-length // 3), 1)]


def _read_alone(trunk: PreTrainedModel, sequence: Sequence[int]) -> Tensor:
    """The states of one sequence, (tokens, hidden), from a forward pass without mask and positions."""
    ids = torch.tensor([sequence], device=trunk.device)
    hidden: Tensor = trunk(input_ids=ids, use_cache=False).last_hidden_state[0]
    return hidden
