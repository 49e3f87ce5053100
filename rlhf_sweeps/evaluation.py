"""Held-out prompts answered by policy and base policy: score, KL, length, win rate, surface markers."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlhf_sweeps.data import Encoded
from rlhf_sweeps.ppo.equations import kl_estimate
from rlhf_sweeps.ppo.language_model import LanguageModel
from rlhf_sweeps.ppo.rollout import Responses
from rlhf_sweeps.ppo.sampling import Sampler
from rlhf_sweeps.ppo.seeds import generator
from rlhf_sweeps.ppo.trainer import Reference
from rlhf_sweeps.reward_models import RewardModel

# Pictographs, symbols, dingbats, flags: what a reader calls an emoji.
EMOJI = re.compile("[\U0001f000-\U0001faff\u2600-\u27bf\u2b50\u2b55\u2764]")


@dataclass(frozen=True)
class Answers:
    """One response to each held-out prompt, with scores (prompts,)."""

    batch: Responses
    texts: list[str]
    scores: Tensor


@dataclass(frozen=True)
class Base:
    """The base policy's response to each held-out prompt, and its scores (prompts,), on the CPU."""

    texts: list[str]
    scores: Tensor


class Evaluator:
    """Compares a policy with the base policy on the same held-out prompts.

    Every evaluation draws the same random numbers, so that two of them differ by the policy alone.
    """

    def __init__(
        self,
        prompts: Encoded,
        sampler: Sampler,
        tokenizer: PreTrainedTokenizerBase,
        language_model: LanguageModel,
        ref_policy: Reference,
        reward_model: RewardModel,
        seed: int,
    ) -> None:
        self.prompts = prompts
        self.sampler = sampler
        self.tokenizer = tokenizer
        self.language_model = language_model
        self.ref_policy = ref_policy
        self.reward_model = reward_model
        self.seed = seed
        self._base: Base | None = None

    @property
    def base(self) -> "Base":
        """The base policy's answers, computed when they are first asked for."""
        if self._base is None:
            with self.ref_policy() as policy:
                answers = self._answer(policy)
            self._base = Base(answers.texts, answers.scores.cpu())
        return self._base

    def remember(self, rows: Sequence[Mapping[str, Any]]) -> bool:
        """Take the base policy's answers from where they are recorded, if they are all there; whether that is so.

        Args:
            rows: base_response and base_score of each held-out prompt, as `evaluate` gives them.
        """
        if len(rows) != len(self.prompts.ids):
            return False
        self._base = Base([row["base_response"] for row in rows], torch.tensor([row["base_score"] for row in rows]))
        return True

    def base_rows(self) -> list[dict[str, Any]]:
        """What `remember` takes."""
        rows = zip(self.base.texts, self.base.scores.tolist(), strict=True)
        return [{"base_response": text, "base_score": score} for text, score in rows]

    def evaluate(self, policy: PreTrainedModel) -> tuple[dict[str, float], list[dict[str, Any]]]:
        """Metrics named eval/..., and a row per held-out prompt: prompt, response, score, base_response, base_score."""
        answers = self._answer(policy)
        scores, base_scores = answers.scores.cpu(), self.base.scores
        wins = (scores > base_scores).float() + (scores == base_scores).float() / 2
        metrics = {
            "eval/score": answers.scores.mean().item(),
            "eval/base_score": self.base.scores.mean().item(),
            "eval/win_rate": wins.mean().item(),
            "eval/kl": self._kl(answers.batch),
            "eval/length": answers.batch.response_mask.sum(-1).float().mean().item(),
            "eval/eos_rate": answers.batch.ended.float().mean().item(),
            **marker_rates(answers.texts),
        }
        columns = (
            self.prompts.messages,
            answers.texts,
            answers.scores.tolist(),
            self.base.texts,
            self.base.scores.tolist(),
        )
        names = ("prompt", "response", "score", "base_response", "base_score")
        rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
        return metrics, [{**row, "prompt": "\n".join(m["content"] for m in row["prompt"])} for row in rows]

    def _answer(self, policy: PreTrainedModel) -> Answers:
        noise = generator(self.seed, "evaluation", 0, policy.device)
        batch = self.sampler.sample(policy, self.prompts.ids, noise)
        texts = self.tokenizer.batch_decode(batch.response_lists(), skip_special_tokens=True)
        return Answers(batch, texts, self.reward_model.score(self.prompts.messages, batch))

    @torch.no_grad()
    def _kl(self, batch: Responses) -> float:
        """Mean over sequences of the summed k1 estimate: unbiased, in nats."""
        with self.ref_policy() as model:
            ref_logprobs = self.sampler.batch.run(partial(replace(self.language_model, model=model).logprobs, batch))
        return kl_estimate(batch.logprobs, ref_logprobs, batch.response_mask, "k1").sum(-1).mean().item()


def marker_rates(texts: Sequence[str]) -> dict[str, float]:
    """Shares of texts with a '?', a '!' and an emoji: what a reward model is hacked with first."""
    return {
        "eval/question_rate": sum("?" in text for text in texts) / len(texts),
        "eval/exclamation_rate": sum("!" in text for text in texts) / len(texts),
        "eval/emoji_rate": sum(bool(EMOJI.search(text)) for text in texts) / len(texts),
    }
