"""Sampled responses, and the rollout that PPO learns from: responses with rewards, advantages and returns.

Prompts are padded on the left and responses on the right, so that all responses begin at the same position. Masks are
explicit, so the pad id may be that of the end token, as in many chat models.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from rlhf_sweeps.config.schema import PPOConfig
from rlhf_sweeps.ppo import equations


@dataclass(frozen=True)
class Responses:
    """Sampled responses.

    Attributes:
        prompt_ids: (batch, prompt), padded on the left.
        prompt_mask: (batch, prompt), True on real tokens.
        response_ids: (batch, response), padded on the right; the end token is part of the response.
        response_mask: (batch, response), True on real tokens.
        logprobs: (batch, response), of the sampled tokens at the sampling temperature; 0 outside the mask.
        ended: (batch,), True if the response ended by itself, False if it was cut at the length limit.
    """

    prompt_ids: Tensor
    prompt_mask: Tensor
    response_ids: Tensor
    response_mask: Tensor
    logprobs: Tensor
    ended: Tensor

    @cached_property
    def prompt_lengths(self) -> list[int]:
        """The number of real tokens of each prompt."""
        lengths: list[int] = self.prompt_mask.sum(-1).tolist()
        return lengths

    @cached_property
    def lengths(self) -> list[int]:
        """The number of real tokens of each response."""
        lengths: list[int] = self.response_mask.sum(-1).tolist()
        return lengths

    @cached_property
    def sequences(self) -> list[list[int]]:
        """The real tokens of each prompt and its response."""
        return [p + r for p, r in zip(self.prompt_lists(), self.response_lists(), strict=True)]

    def rows(self, index: Sequence[int]) -> Self:
        """Some of the sequences, padded to the longest of them."""
        start = self.prompt_ids.shape[1] - max(self.prompt_lengths[i] for i in index)
        width = max(self.lengths[i] for i in index)
        columns = {
            name: _cut(column[index], name.startswith("prompt"), start, width)
            for name, column in vars(self).items()
            if isinstance(column, Tensor)
        }
        part = replace(self, **columns)
        # These are known already and need not be read from the device again.
        for name in ("prompt_lengths", "lengths", "sequences"):
            vars(part)[name] = [getattr(self, name)[i] for i in index]
        return part

    def parts(self, size: int) -> list[list[int]]:
        """The indices of all rows, ordered by length, `size` at a time."""
        order = sorted(range(len(self.sequences)), key=lambda row: len(self.sequences[row]))
        return [order[start : start + size] for start in range(0, len(order), size)]

    def prompt_lists(self) -> list[list[int]]:
        """The real prompt tokens."""
        return [ids[mask].tolist() for ids, mask in zip(self.prompt_ids, self.prompt_mask, strict=True)]

    def response_lists(self) -> list[list[int]]:
        """The real response tokens."""
        return [ids[mask].tolist() for ids, mask in zip(self.response_ids, self.response_mask, strict=True)]


@dataclass(frozen=True)
class Rollout(Responses):
    """Responses with everything that the optimization needs.

    Attributes:
        raw_scores: (batch,), the scores of the reward model.
        scores: (batch,), the scores in the rewards: scaled, clipped, with the missing-EOS penalty subtracted.
        ref_logprobs: (batch, response), of the reference policy; 0 outside the mask.
        kl: (batch, response), estimates for each token.
        kl_coef: the KL coefficient.
        state_mask: (batch, response), True if the value of the state before the token counts.
        values: (batch, response), of the value model at the time of sampling; 0 outside the state mask.
        rewards: (batch, response).
        advantages: (batch, response), whitened.
        returns: (batch, response), the targets of the values.
    """

    raw_scores: Tensor
    scores: Tensor
    ref_logprobs: Tensor
    kl: Tensor
    kl_coef: float
    state_mask: Tensor
    values: Tensor
    rewards: Tensor
    advantages: Tensor
    returns: Tensor

    @cached_property
    def state_lengths(self) -> list[int]:
        """The number of each response's states that count."""
        lengths: list[int] = self.state_mask.sum(-1).tolist()
        return lengths


def assess(
    config: PPOConfig,
    batch: Responses,
    raw_scores: Tensor,
    scores: Tensor,
    ref_logprobs: Tensor,
    values: Tensor,
    kl_coef: float,
) -> Rollout:
    """The rollout: rewards, advantages and returns of scored responses.

    Args:
        raw_scores: (batch,), of the reward model.
        scores: (batch,), scaled and clipped.
        ref_logprobs: (batch, response), 0 outside the mask.
        values: (batch, response + 1): before each token and after the last one.
        kl_coef: the KL coefficient; the rewards contain the KL penalty unless ppo.kl_in=loss.
    """
    mask = batch.response_mask
    state_mask = mask_states(config, mask)
    scores = scores - _missing_eos_penalty(config, batch.ended)
    # With bootstrap_truncated, a cut response counts as unfinished: the value of its last state, which predicts its
    # final score, replaces its score and its penalty. Both together would count twice.
    earned = scores * batch.ended if config.bootstrap_truncated else scores
    kl = equations.kl_estimate(batch.logprobs, ref_logprobs, mask, config.kl_estimator)
    rewards = _token_rewards(config, kl, earned, state_mask, kl_coef)
    if config.bootstrap_truncated:
        after = values.gather(-1, mask.sum(-1, keepdim=True)) * ~batch.ended.unsqueeze(-1)
        last = equations.last_position(mask).unsqueeze(-1)
        rewards = rewards.scatter_add(-1, last, config.gamma * after)
    values = values[:, :-1] * state_mask
    advantages = equations.generalized_advantages(rewards, values, config.gamma, config.gae_lambda)
    return Rollout(
        **{entry.name: getattr(batch, entry.name) for entry in fields(Responses)},
        raw_scores=raw_scores,
        scores=scores,
        ref_logprobs=ref_logprobs,
        kl=kl,
        kl_coef=kl_coef,
        state_mask=state_mask,
        values=values,
        rewards=rewards,
        advantages=equations.whiten(advantages, mask),
        returns=(advantages + values) * state_mask,
    )


def mean_return(config: PPOConfig, batch: Responses, scores: Tensor) -> float:
    """The mean return over all states of some responses, without the KL penalty.

    Args:
        scores: (batch,), scaled and clipped.
    """
    # With bootstrap_truncated, only responses that ended have a return; if all were cut, their scores are used.
    rows = batch.ended if config.bootstrap_truncated and batch.ended.any() else torch.ones_like(batch.ended)
    penalty = 0.0 if config.bootstrap_truncated else _missing_eos_penalty(config, batch.ended)
    mask = mask_states(config, batch.response_mask)[rows]
    nothing = torch.zeros(mask.shape, device=mask.device)
    rewards = _token_rewards(config, nothing, (scores - penalty)[rows], mask, 0.0)
    returns = equations.generalized_advantages(rewards, nothing, config.gamma, gae_lambda=1.0)
    return equations.masked_mean(returns, mask).item()


def mask_states(config: PPOConfig, mask: Tensor) -> Tensor:
    """The mask of the states whose value counts, from the mask of response tokens; both (batch, response)."""
    return equations.add_state_after_end(mask) if config.score_at == "after_end" else mask


def _missing_eos_penalty(config: PPOConfig, ended: Tensor) -> Tensor:
    """The penalty that is subtracted from each response's score, (batch,)."""
    return (config.missing_eos_penalty or 0.0) * ~ended


def _token_rewards(config: PPOConfig, kl: Tensor, scores: Tensor, state_mask: Tensor, kl_coef: float) -> Tensor:
    """The rewards, (batch, response), whitened if ppo.whiten_rewards is set."""
    rewards = equations.token_rewards(kl, scores, state_mask, kl_coef if config.kl_in == "reward" else 0.0)
    return equations.whiten(rewards, state_mask, keeps_mean=True) if config.whiten_rewards else rewards


def _cut(column: Tensor, is_prompt: bool, start: int, width: int) -> Tensor:
    if column.dim() == 1:
        return column
    return column[:, start:] if is_prompt else column[:, :width]
