"""Sampling of responses to prompts, with log-probabilities.

A step costs little more than the policy's layers and head: rows whose response has ended leave the batch, and a token
is drawn from one softmax without a cumulative sum over the vocabulary.
"""

import functools
import inspect
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import Cache, DynamicCache, PreTrainedModel, StaticCache

from rlhf_sweeps.platforms import system
from rlhf_sweeps.ppo.constants import BLOCK, CANDIDATES, ENDED_SHARE, STATIC_WIDTH
from rlhf_sweeps.ppo.memory import BatchSize
from rlhf_sweeps.ppo.precision import compute_in
from rlhf_sweeps.ppo.rollout import Responses
from rlhf_sweeps.ppo.stop_strings import StopStringSearch
from rlhf_sweeps.process.activity import Activity, report_activity
from rlhf_sweeps.process.failures import DivergedError

_static_caches: "WeakKeyDictionary[PreTrainedModel, dict[Any, StaticCache]]" = WeakKeyDictionary()


@dataclass(frozen=True)
class Sampler:
    """How responses are sampled.

    Log-probabilities are those of the full distribution at the temperature, even with top_p < 1, since PPO's ratio
    compares full distributions.

    Attributes:
        stop_ids: tokens that end a response.
        pad_id: any id of the vocabulary; it is masked everywhere.
        response_length: the largest number of tokens of a response.
        batch: the number of sequences sampled at once; the samples do not depend on it.
        top_p: tokens are drawn from the nucleus, the smallest set of most probable tokens whose total probability
            reaches it; 1: from all tokens.
        stop_strings: texts that end a response; the token that completes one belongs to the response.
        decode: token ids -> text; required for stop_strings.
        autocast: the data type of autocast; None: the weights' own type.
        is_static: static shapes and a static cache, for torch.compile and CUDA graphs; no row leaves its batch.
        is_compiled: whether static steps are compiled.

    Raises:
        ValueError: if top_p is not in (0, 1], or if stop_strings come without decode.
    """

    stop_ids: Sequence[int]
    pad_id: int
    response_length: int
    temperature: float
    batch: BatchSize
    top_p: float = 1.0
    stop_strings: Sequence[str] = ()
    decode: Callable[[list[int]], str] | None = None
    autocast: torch.dtype | None = None
    is_static: bool = False
    is_compiled: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p={self.top_p}: must be above 0 and at most 1")
        if self.stop_strings and self.decode is None:
            raise ValueError("stop_strings need decode")

    @torch.no_grad()
    def sample(
        self, policy: PreTrainedModel, prompts: Sequence[Sequence[int]], generator: torch.Generator
    ) -> Responses:
        """One response to each prompt (token ids), in the order given.

        Raises:
            DivergedError: if the policy's logits are not finite.
        """
        device = policy.device
        # One random number for every possible token: draws depend neither on batches nor on rows that have left them.
        uniform = torch.rand(len(prompts), self.response_length, generator=generator, device=device)
        # The work is counted in steps of one token for every prompt; responses that end early make it less.
        work = len(prompts) * self.response_length
        with (
            compute_in(policy, self.autocast),
            report_activity(f"sampling {len(prompts)} responses", work) as sampling,
        ):
            responses, ends, logprobs = self.batch.run(
                functools.partial(self._sample_all, policy, prompts, uniform, sampling)
            )
        response_ids, response_mask = pad_right(responses, self.pad_id, device)
        logprobs = logprobs[:, : response_ids.shape[1]].masked_fill(~response_mask, 0.0)
        if not logprobs.isfinite().all():
            raise DivergedError("the policy's logits are not finite")
        ended = torch.tensor(ends, device=device)
        return Responses(*pad_left(prompts, self.pad_id, device), response_ids, response_mask, logprobs, ended)

    def _sample_all(
        self,
        policy: PreTrainedModel,
        prompts: Sequence[Sequence[int]],
        uniform: Tensor,
        sampling: Activity,
        size: int,
    ) -> tuple[list[list[int]], list[bool], Tensor]:
        """Responses, whether they ended, and log-probabilities (prompts, response), sampled `size` at a time."""
        logprobs = torch.zeros_like(uniform)
        responses: list[list[int]] = [[] for _ in prompts]
        ended = [False] * len(prompts)
        # Sorting by length saves padding; with the longest first, memory runs out in the first batch or never.
        order = sorted(range(len(prompts)), key=lambda row: len(prompts[row]), reverse=True)
        width = -(-len(prompts[order[0]]) // STATIC_WIDTH) * STATIC_WIDTH if self.is_static else 0
        for start in range(0, len(prompts), size):
            rows = order[start : start + size]
            sampling.done = start * self.response_length
            if self.is_static:
                rows += rows[:1] * (size - len(rows))  # fills the shape with copies, which draw the same tokens
            ids, mask = pad_left([prompts[row] for row in rows], self.pad_id, policy.device, width)
            parts, ends, logprobs[rows] = self._sample_batch(policy, ids, mask, uniform[rows], sampling)
            for row, part, end in zip(rows, parts, ends, strict=True):
                responses[row], ended[row] = part, end
        return responses, ended, logprobs

    def _sample_batch(
        self, policy: PreTrainedModel, ids: Tensor, prompt_mask: Tensor, uniform: Tensor, sampling: Activity
    ) -> tuple[list[list[int]], list[bool], Tensor]:
        """Responses, whether they ended, and log-probabilities (batch, response), 0 after a response's last token.

        ids and prompt_mask are (batch, prompt), uniform is (batch, response).
        """
        batch, width = ids.shape
        length = width + self.response_length
        cache = _reset_static_cache(policy, batch, length) if self.is_static else DynamicCache(config=policy.config)
        mask = torch.cat([prompt_mask, torch.ones_like(uniform, dtype=torch.bool)], dim=-1)
        positions, logprobs, step = token_positions(prompt_mask), torch.zeros_like(uniform), _step
        rows, index, ended = list(range(batch)), torch.arange(batch, device=ids.device), [False] * batch
        responses: list[list[int]] = [[] for _ in rows]
        has_ended, cache_name = [self._watch() for _ in rows], name_cache(type(policy))
        for t in range(self.response_length):
            seen = mask if self.is_static else mask[:, : width + t]
            now = uniform[:, t : t + 1]
            token, logprob = step(
                policy, cache_name, cache, ids, seen, positions, now, self.temperature, self.top_p, self.is_static
            )
            logprobs[index, t] = logprob.squeeze(-1)
            sampling.done += batch
            for row, token_id in zip(rows, token.squeeze(-1).tolist(), strict=True):
                if not ended[row]:
                    responses[row].append(token_id)
                    ended[row] = has_ended[row](responses[row])
            if all(ended):
                break
            # A CUDA graph writes its next token into the same memory.
            ids, positions = token.clone(), positions[:, -1:] + 1
            running = [i for i, row in enumerate(rows) if not ended[row]]
            if self.is_static:
                step = compile_step(policy.device.type) if self.is_compiled else _step
            elif len(running) <= len(rows) * (1 - ENDED_SHARE):
                running_index = torch.tensor(running, device=ids.device)
                cache.batch_select_indices(running_index)
                ids, positions, mask, uniform = (
                    ids[running_index],
                    positions[running_index],
                    mask[running_index],
                    uniform[running_index],
                )
                rows, index = [rows[i] for i in running], index[running_index]
        return responses, ended, logprobs

    def _watch(self) -> Callable[[list[int]], bool]:
        """A function that tells, after each new token of a response, whether the response has ended."""
        if not self.stop_strings or self.decode is None:
            return lambda response: response[-1] in self.stop_ids
        search = StopStringSearch(self.stop_strings, self.decode)
        return lambda response: response[-1] in self.stop_ids or search.ends(response)


def pad_left(
    sequences: Sequence[Sequence[int]], pad_id: int, device: torch.device, width: int = 0
) -> tuple[Tensor, Tensor]:
    """Token ids and mask, both (batch, longest), or wider if `width` is."""
    width = max(width, *map(len, sequences))
    ids = [[pad_id] * (width - len(s)) + list(s) for s in sequences]
    mask = [[False] * (width - len(s)) + [True] * len(s) for s in sequences]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def pad_right(sequences: Sequence[Sequence[int]], pad_id: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Token ids and mask, both (batch, longest)."""
    ids, mask = pad_left([s[::-1] for s in sequences], pad_id, device)
    return ids.flip(-1), mask.flip(-1)


def token_positions(mask: Tensor) -> Tensor:
    """Position ids of a mask, both (batch, sequence); padding on the left does not count."""
    return (mask.long().cumsum(-1) - 1).clamp(min=0)


def name_cache(model_class: type[PreTrainedModel]) -> str:
    """The argument for the cache; transformers 5.24 renamed it, code that comes with a model may have the old name."""
    return "cache" if "cache" in inspect.signature(model_class.forward).parameters else "past_key_values"


def _step(
    policy: PreTrainedModel,
    cache_name: str,
    cache: Cache,
    ids: Tensor,
    mask: Tensor,
    positions: Tensor,
    uniform: Tensor,
    temperature: float,
    top_p: float,
    is_static: bool,
) -> tuple[Tensor, Tensor]:
    """The next token and its log-probability, both (batch, 1).

    ids and positions are (batch, new tokens), mask is (batch, cache), uniform is (batch, 1).
    """
    output = policy(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions,
        use_cache=True,
        logits_to_keep=1,
        **{cache_name: cache},
    )
    probabilities = (output.logits[:, -1].float() / temperature).softmax(-1)
    token = draw(probabilities, uniform, top_p, is_static)
    return token, probabilities.gather(-1, token).log()


@functools.cache
def compile_step(device_type: str) -> Callable[..., tuple[Tensor, Tensor]]:
    """The function for one step, compiled if that is possible."""
    if device_type == "cuda":
        return torch.compile(_step, mode="reduce-overhead", dynamic=False)
    # Inductor's default compiler.
    compiler = os.environ.get("CXX", system.cxx_compiler())
    return torch.compile(_step, dynamic=False) if device_type == "cpu" and shutil.which(compiler) else _step


def draw(probabilities: Tensor, uniform: Tensor, top_p: float = 1.0, is_static: bool = False) -> Tensor:
    """One token per row, (batch, 1), by inverting the cumulative distribution; never a token of probability zero.

    probabilities are (batch, vocabulary), uniform is (batch, 1) in [0, 1).
    """
    if top_p < 1:
        mass, tokens = _find_nucleus(probabilities, top_p, is_static)
        index, _ = _invert(mass, uniform * mass.sum(-1, keepdim=True))
        return tokens.gather(-1, index)
    # A cumulative sum over the vocabulary costs more than the softmax: find a block first, then the token in it.
    gap = -probabilities.shape[-1] % BLOCK
    blocks = (nn.functional.pad(probabilities, (0, gap)) if gap else probabilities).unflatten(-1, (-1, BLOCK))
    sums = blocks.sum(-1)
    block, remaining = _invert(sums, uniform * sums.sum(-1, keepdim=True))
    token, _ = _invert(blocks.take_along_dim(block.unsqueeze(-1), 1).squeeze(1), remaining)
    return block * BLOCK + token


def _invert(weights: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The index at which the cumulative sum of the weights (batch, n) exceeds the target (batch, 1), and the remainder.

    The remainder is the target minus the sum of the earlier weights. The index is never that of a weight of 0, however
    sums and target are rounded; nan gives 0.
    """
    sums = weights.cumsum(-1)
    reached = sums.masked_fill(weights == 0, 0.0)
    largest = reached.amax(-1, keepdim=True)
    target = target.clamp(min=0.0).minimum(largest.nextafter(torch.zeros_like(largest)))
    index = (reached > target).int().argmax(-1, keepdim=True)  # the first of them
    return index, target - (sums - weights).gather(-1, index)


def _find_nucleus(probabilities: Tensor, top_p: float, is_static: bool) -> tuple[Tensor, Tensor]:
    """Probabilities, 0 outside the nucleus, and tokens, both (batch, candidates), the most probable first."""
    vocabulary = probabilities.shape[-1]
    # Sorting the whole vocabulary takes far longer than finding the few tokens of a typical nucleus.
    count = vocabulary if is_static else min(CANDIDATES, vocabulary)
    mass, tokens = probabilities.topk(count)
    while count < vocabulary and not (mass.sum(-1) >= top_p).all():
        count = min(8 * count, vocabulary)
        mass, tokens = probabilities.topk(count)
    before = nn.functional.pad(mass.cumsum(-1)[:, :-1], (1, 0))
    return mass.masked_fill(before >= top_p, 0.0), tokens


def _reset_static_cache(policy: PreTrainedModel, batch: int, length: int) -> StaticCache:
    """An empty cache of this shape for the policy; always the same object, since a CUDA graph keeps its address."""
    caches = _static_caches.setdefault(policy, {})
    key = (batch, length, policy.device, policy.dtype)
    if key not in caches:
        caches[key] = StaticCache(config=policy.config, max_cache_len=length)
    caches[key].reset()
    return caches[key]
