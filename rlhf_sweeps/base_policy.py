"""What the base policy answers, how reward models score it, and on what scale: found out once, kept in the record."""

import hashlib
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from rlhf_sweeps.data import Encoded, Messages
from rlhf_sweeps.ppo.rollout import Responses
from rlhf_sweeps.reward_models.base import Exchanges
from rlhf_sweeps.reward_models.scale import NUM_PROMPTS, Scale, measure
from rlhf_sweeps.reward_models.scorer import Scorer
from rlhf_sweeps.runs import BaseRecord

# (prompts, purpose and seed of the random numbers) -> the base policy's responses
Sample = Callable[[Sequence[Sequence[int]], str, int], Responses]


@dataclass(frozen=True)
class Answers:
    """The base policy's responses; `key` stands for all that they depend on."""

    exchanges: Exchanges
    key: str


@dataclass
class BasePolicy:
    """The base policy as a sweep's trials, or a run's starts, share it.

    Attributes:
        record: what is known already.
        settings: all that its responses depend on, beside prompts and random numbers.
        training: the training prompts; some of them are what a scale is measured on.
    """

    record: BaseRecord
    settings: Any
    sample: Sample
    tokenizer: PreTrainedTokenizerBase
    training: Encoded

    def answers(self, prompts: Encoded, purpose: str, seed: int) -> Answers:
        """Its responses to some prompts."""
        key = _digest(self.settings, prompts.ids, purpose, seed)
        tokens = [row["tokens"] for row in self.record.read(f"responses_{key}")]
        if not tokens:
            tokens = self.sample(prompts.ids, purpose, seed).response_lists()
            self.record.write(f"responses_{key}", [{"tokens": response} for response in tokens])
        sequences = [[*prompt, *response] for prompt, response in zip(prompts.ids, tokens, strict=True)]
        return Answers(exchanges_of(prompts.messages, sequences, tokens, self.tokenizer), key)

    def scores(self, answers: Answers, scorer: Scorer) -> Tensor:
        """A reward model's scores of them, as it gives them, (prompts,)."""
        name = _record_name("scores", scorer, answers)
        scores = [row["score"] for row in self.record.read(name)]
        if scores:
            scorer.remember(answers.exchanges, scores)
        else:
            scores = scorer.score(answers.exchanges).tolist()
            self.record.write(name, [{"score": score} for score in scores])
        return torch.tensor(scores)

    def scale(self, scorer: Scorer) -> Scale:
        """The scale of a reward model's scores on its responses; whatever the run's seed, the same.

        Raises:
            RewardModelError: if it gives all of them the same score.
        """
        order = random.Random("scale").sample(range(len(self.training.ids)), len(self.training.ids))[:NUM_PROMPTS]
        answers = self.answers(self.training.rows(order), "scale", 0)
        name = _record_name("scale", scorer, answers)
        if not (rows := self.record.read(name)):
            rows = [asdict(measure(scorer.name, self.scores(answers, scorer)))]
            self.record.write(name, rows)
        return Scale(**rows[0])


def exchanges_of(
    prompts: Sequence[Messages],
    sequences: Sequence[Sequence[int]],
    responses: list[list[int]],
    tokenizer: PreTrainedTokenizerBase,
) -> Exchanges:
    """What reward models are given: prompts, responses as text, and the policy's tokens of both."""
    return Exchanges(prompts, tokenizer.batch_decode(responses, skip_special_tokens=True), sequences)


def _record_name(what: str, scorer: Scorer, answers: Answers) -> str:
    """Of a file: with the reward model's name as far as that fits, which a comparison may have made long."""
    shown = re.sub(r"[^\w.-]+", "-", scorer.name)[:40]
    return f"{what}_{shown}_{_digest(answers.key, scorer.config)}"


def _digest(*parts: Any) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]
