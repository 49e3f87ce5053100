"""Preference pairs as the tokens that a reward model reads, and batches of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from rlhf_sweeps.data import PreferencePair
from rlhf_sweeps.ppo.sampling import pad_right
from rlhf_sweeps.reward_models.exchange_tokens import ExchangeReader

Row = dict[str, list[int]]
NEW_PAD = "<|padding_of_pairs|>"


def encode_pairs(pairs: Sequence[PreferencePair], reader: ExchangeReader) -> tuple[list[Row], int]:
    """The ids and types of each pair's answers, in the form of RewardTrainer, and the number of answers that were cut.

    Args:
        reader: the reward model's reader.
    """
    rows, num_cut = [], 0
    for pair in pairs:
        row: Row = {}
        for name, answer in (("chosen", pair.chosen), ("rejected", pair.rejected)):
            tokens = reader.read(pair.prompt, answer)
            row |= {f"{name}_ids": tokens.ids, f"{name}_types": tokens.types}
            num_cut += tokens.is_cut
        rows.append(row)
    return rows, num_cut


def set_pad_token(tokenizer: PreTrainedTokenizerBase, rows: Sequence[Row]) -> bool:
    """Give a tokenizer a padding token that has no other use; returns whether a new token was added.

    transformers reads a decoder's score at the last token that is not padding. If the padding token were the end token,
    as in many tokenizers, the score would be read before the end of the answer. A special token that no pair contains
    is better than a new one: with the policy's vocabulary, the reward model can read the policy's tokens directly.
    """
    pad, end = tokenizer.pad_token_id, tokenizer.eos_token_id
    if pad is not None and pad != end:
        return False
    used = {end}.union(*(row[side] for row in rows for side in ("chosen_ids", "rejected_ids")))
    for number, token in sorted(tokenizer.added_tokens_decoder.items()):
        if token.special and number not in used:
            tokenizer.pad_token = token.content
            return False
    tokenizer.add_special_tokens({"pad_token": NEW_PAD})
    return True


def collate(rows: Sequence[Mapping[str, Any]], pad_id: int) -> dict[str, Tensor]:
    """A batch in the form of RewardTrainer's loss: all chosen answers, then all rejected ones, (2 * pairs, longest)."""
    ids, mask = _pad(rows, "ids", pad_id)
    batch = {"input_ids": ids, "attention_mask": mask.long()}
    if rows[0]["chosen_types"]:
        batch["token_type_ids"], _ = _pad(rows, "types", 0)
    return batch


def _pad(rows: Sequence[Mapping[str, Any]], key: str, pad_id: int) -> tuple[Tensor, Tensor]:
    columns = [row[f"{side}_{key}"] for side in ("chosen", "rejected") for row in rows]
    return pad_right(columns, pad_id, torch.device("cpu"))
