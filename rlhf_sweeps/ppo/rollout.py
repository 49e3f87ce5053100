"""Sampling: prompts in, responses with log-probabilities out; and the teacher-forced forwards over them.

Prompts are padded on the left and responses on the right, so that position P is every response's first token. Masks are
explicit: a pad id that equals the end token, as chat models ship it, breaks nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel

from rlhf_sweeps.ppo.equations import token_logprobs


@dataclass(frozen=True)
class Responses:
    """Sampled responses.

    Attributes:
        prompt_ids: (batch, prompt), padded on the left.
        prompt_mask: (batch, prompt), True on real tokens.
        response_ids: (batch, response), padded on the right; the end token is part of the response.
        response_mask: (batch, response), True on real tokens.
        logprobs: (batch, response), of the sampled tokens at the sampling temperature; 0 outside the mask.
        ended: (batch,), True where the response holds an end token, not the length limit's cut.
    """

    prompt_ids: Tensor
    prompt_mask: Tensor
    response_ids: Tensor
    response_mask: Tensor
    logprobs: Tensor
    ended: Tensor

    def rows(self, index: Tensor) -> "Responses":
        """Some of the sequences, padded to no more than the longest among them."""
        prompt_mask, response_mask = self.prompt_mask[index], self.response_mask[index]
        start = self.prompt_mask.shape[1] - int(prompt_mask.sum(-1).max())
        width = int(response_mask.sum(-1).max())
        return Responses(
            self.prompt_ids[index, start:],
            prompt_mask[:, start:],
            self.response_ids[index, :width],
            response_mask[:, :width],
            self.logprobs[index, :width],
            self.ended[index],
        )

    def prompt_lists(self) -> list[list[int]]:
        """The real prompt tokens."""
        return [ids[mask].tolist() for ids, mask in zip(self.prompt_ids, self.prompt_mask, strict=True)]

    def response_lists(self) -> list[list[int]]:
        """The real response tokens."""
        return [ids[mask].tolist() for ids, mask in zip(self.response_ids, self.response_mask, strict=True)]


@dataclass(frozen=True)
class Sampler:
    """How responses are sampled.

    Attributes:
        stop_ids: tokens that end a response.
        pad_id: any id of the vocabulary; masked everywhere.
        response_length: tokens at most.
        batch_size: sequences at once.
    """

    stop_ids: Sequence[int]
    pad_id: int
    response_length: int
    temperature: float
    batch_size: int

    def sample(
        self, policy: PreTrainedModel, prompts: Sequence[Sequence[int]], generator: torch.Generator
    ) -> Responses:
        """One response to each prompt (token ids)."""
        starts = range(0, len(prompts), self.batch_size)
        return _concatenate(
            [self._sample(policy, prompts[i : i + self.batch_size], generator) for i in starts], self.pad_id
        )

    @torch.no_grad()
    def _sample(
        self, policy: PreTrainedModel, prompts: Sequence[Sequence[int]], generator: torch.Generator
    ) -> Responses:
        device = policy.device
        prompt_ids, prompt_mask = pad_left(prompts, self.pad_id, device)
        stop_ids = torch.tensor(self.stop_ids, device=device)
        running = torch.ones(len(prompts), dtype=torch.bool, device=device)
        cache = DynamicCache(config=policy.config)
        inputs, mask, positions = prompt_ids, prompt_mask, _positions(prompt_mask)
        tokens, masks, logprobs = [], [], []
        for _ in range(self.response_length):
            logits = policy(
                input_ids=inputs,
                attention_mask=mask.long(),
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            ).logits[:, -1]
            logits = logits.float() / self.temperature
            token = _draw(logits, generator)
            logprobs.append(token_logprobs(logits, token).masked_fill(~running, 0.0))
            tokens.append(token.masked_fill(~running, self.pad_id))
            masks.append(running)
            running = running & ~torch.isin(token, stop_ids)
            if not running.any():
                break
            inputs, positions = tokens[-1].unsqueeze(-1), positions[:, -1:] + 1
            mask = torch.cat([mask, masks[-1].unsqueeze(-1)], dim=-1)
        response_ids, response_mask = torch.stack(tokens, -1), torch.stack(masks, -1)
        return Responses(prompt_ids, prompt_mask, response_ids, response_mask, torch.stack(logprobs, -1), ~running)


def pad_left(sequences: Sequence[Sequence[int]], pad_id: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Token ids and mask, both (batch, longest)."""
    width = max(map(len, sequences))
    ids = torch.tensor([[pad_id] * (width - len(s)) + list(s) for s in sequences], device=device)
    mask = torch.tensor([[False] * (width - len(s)) + [True] * len(s) for s in sequences], device=device)
    return ids, mask


def response_logits(policy: PreTrainedModel, batch: Responses, temperature: float) -> Tensor:
    """Logits / temperature before each response token: (batch, response, vocabulary), float32."""
    ids, mask, positions = _whole(batch)
    width = batch.response_ids.shape[1]
    # The head runs over the response's positions only: the last prompt token predicts the first of them.
    output = policy(
        input_ids=ids, attention_mask=mask.long(), position_ids=positions, use_cache=False, logits_to_keep=width + 1
    )
    logits: Tensor = output.logits[:, :-1].float() / temperature
    return logits


def response_values(value_model: nn.Module, batch: Responses) -> Tensor:
    """The value model's prediction before each response token; (batch, response), float32, 0 outside the mask."""
    ids, mask, positions = _whole(batch)
    width = batch.response_ids.shape[1]
    values: Tensor = value_model(ids, mask.long(), positions)[:, -width - 1 : -1].float()
    return values.masked_fill(~batch.response_mask, 0.0)


def _whole(batch: Responses) -> tuple[Tensor, Tensor, Tensor]:
    """Ids, mask and position ids of prompt and response."""
    ids = torch.cat([batch.prompt_ids, batch.response_ids], dim=-1)
    mask = torch.cat([batch.prompt_mask, batch.response_mask], dim=-1)
    return ids, mask, _positions(mask)


def _positions(mask: Tensor) -> Tensor:
    return (mask.long().cumsum(-1) - 1).clamp(min=0)


def _draw(logits: Tensor, generator: torch.Generator) -> Tensor:
    """One token a row by the inverse of the cumulative distribution: many times faster than torch.multinomial."""
    cumulative = logits.softmax(-1).cumsum(-1)
    uniform = torch.rand(len(logits), 1, device=logits.device, generator=generator)
    token = torch.searchsorted(cumulative, uniform * cumulative[:, -1:], right=True)
    # uniform < 1, but the product may round up to the total.
    return token.squeeze(-1).clamp(max=logits.shape[-1] - 1)


def _concatenate(parts: Sequence[Responses], pad_id: int) -> Responses:
    """All rows in one, padded to the widest."""
    if len(parts) == 1:
        return parts[0]
    fill = {"prompt_ids": pad_id, "response_ids": pad_id}
    columns = {}
    for name in (entry.name for entry in fields(Responses)):
        tensors = [getattr(part, name) for part in parts]
        if name != "ended":
            width = max(tensor.shape[1] for tensor in tensors)
            sides = [
                (width - tensor.shape[1], 0) if "prompt" in name else (0, width - tensor.shape[1]) for tensor in tensors
            ]
            tensors = [
                nn.functional.pad(t, side, value=fill.get(name, 0)) for t, side in zip(tensors, sides, strict=True)
            ]
        columns[name] = torch.cat(tensors)
    return Responses(**columns)
