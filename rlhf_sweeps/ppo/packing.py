"""Sequences of any length side by side in one row, so that no layer computes padding.

All of a transformer but its attention treats each token for itself. So the tokens of a batch are packed into one row,
and only attention lays them out as a batch, padded on the right, where causality alone keeps padding out of sight. The
layout travels in the place of the attention mask, as integers, which transformers passes on untouched.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "rlhf_sweeps_packed"


@dataclass(frozen=True)
class Packed:
    """Token sequences in one row.

    Attributes:
        ids, positions: (1, tokens).
        layout: (1, 1 or 2, batch, longest): where in the row each token of the padded batch lies, the row's length for
            padding; then, if some tokens are hidden, 1 where the others may see a token.
        starts: where in the row each sequence begins.
    """

    ids: Tensor
    positions: Tensor
    layout: Tensor
    starts: list[int]

    def read(self, trunk: torch.nn.Module) -> Tensor:
        """What a trunk that packs makes of them: (tokens, hidden)."""
        output = trunk(input_ids=self.ids, attention_mask=self.layout, position_ids=self.positions, use_cache=False)
        hidden: Tensor = output.last_hidden_state[0]
        return hidden


def pack(sequences: Sequence[Sequence[int]], device: torch.device, has_hidden: bool = False) -> Packed:
    """Pack token ids; with has_hidden, each sequence's last token sees the others, and none sees it, nor it itself."""
    lengths = [len(sequence) for sequence in sequences]
    total, width = sum(lengths), max(lengths)
    starts = [sum(lengths[:i]) for i in range(len(lengths))]
    rows = [[*range(start, start + n), *[total] * (width - n)] for start, n in zip(starts, lengths, strict=True)]
    positions = [position for n in lengths for position in range(n)]
    layout = [rows]
    if has_hidden:
        layout.append([[int(t < n - 1) for t in range(width)] for n in lengths])
    return Packed(
        torch.tensor([[token for sequence in sequences for token in sequence]], device=device),
        torch.tensor([positions], device=device),
        torch.tensor([layout], device=device),
        starts,
    )


def attention(
    module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    """transformers' own sdpa attention, with packed sequences (1, heads, tokens, dimension) laid out as a batch."""
    if attention_mask is None or attention_mask.dtype != torch.long:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    layout = attention_mask[0, 0]
    batch, width = layout.shape
    total = query.shape[2]
    index = layout.flatten()
    # Padding reads some token; nothing reads padding.
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


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, sdpa_mask)


def packs(model: torch.nn.Module) -> bool:
    """Whether a model reads packed sequences."""
    config: Any = getattr(model, "config", None)
    return getattr(config, "_attn_implementation", None) == NAME


@torch.no_grad()
def enable_packing(trunk: torch.nn.Module) -> bool:
    """Let a decoder's trunk read packed sequences, if a trial shows that it then computes the same."""
    assert isinstance(trunk, PreTrainedModel)
    before = trunk.config._attn_implementation
    if before != "sdpa":
        return packs(trunk)
    sequences = [[1, 2, 3, 4], [5, 6], [7]]
    rows = [trunk(input_ids=torch.tensor([s], device=trunk.device), use_cache=False) for s in sequences]
    expected = torch.cat([row.last_hidden_state[0] for row in rows])
    trunk.set_attn_implementation(NAME)
    try:
        if torch.allclose(pack(sequences, trunk.device).read(trunk), expected, rtol=1e-3, atol=1e-3):
            return True
    except (RuntimeError, ValueError, TypeError, IndexError):  # a model that does something to its mask
        pass
    trunk.set_attn_implementation(before)
    return False
