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
    """The base policy's responses.

    Attributes:
        lengths: of the responses, in tokens.
        key: stands for all that they depend on.
    """

    exchanges: Exchanges
    lengths: Sequence[int]
    key: str


@dataclass
class BasePolicy:
    """The base policy as a sweep's trials, or a run's starts, share it.

    Attributes:
        record: what is known already.
        settings: all that its responses depend on, beside prompts and random numbers.
        training: the training prompts; some of them are what a scale is measured on.
        end_ids: the tokens that end a response.
    """

    record: BaseRecord
    settings: Any
    sample: Sample
    tokenizer: PreTrainedTokenizerBase
    training: Encoded
    end_ids: Sequence[int] = ()

    def answers(self, prompts: Encoded, purpose: str, seed: int) -> Answers:
        """Its responses to some prompts."""
        key = _digest(self.settings, prompts.ids, purpose, seed)
        rows = self.record.read(f"responses_{key}")
        if not rows:
            batch = self.sample(prompts.ids, purpose, seed)
            responses = zip(batch.response_lists(), batch.ended.tolist(), strict=True)
            rows = [{"tokens": tokens, "ended": ended} for tokens, ended in responses]
            self.record.write(f"responses_{key}", rows)
        tokens, ended = [row["tokens"] for row in rows], [row["ended"] for row in rows]
        exchanges = exchanges_of(prompts.messages, prompts.ids, tokens, ended, self.end_ids, self.tokenizer)
        return Answers(exchanges, tuple(map(len, tokens)), key)

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
    prompt_ids: Sequence[Sequence[int]],
    responses: Sequence[Sequence[int]],
    ended: Sequence[bool],
    end_ids: Sequence[int],
    tokenizer: PreTrainedTokenizerBase,
) -> Exchanges:
    """What reward models are given: prompts, responses as text without their end token, the policy's tokens of both.

    Args:
        end_ids: the tokens that end a response; not all tokenizers take all of them for special ones.
    """
    texts = [
        response[:-1] if has_ended and response[-1] in end_ids else response
        for response, has_ended in zip(responses, ended, strict=True)
    ]
    sequences = [[*prompt, *response] for prompt, response in zip(prompt_ids, responses, strict=True)]
    decoded = tokenizer.batch_decode(list(map(list, texts)), skip_special_tokens=True)
    return Exchanges(prompts, decoded, sequences, ended, end_ids)


def _record_name(what: str, scorer: Scorer, answers: Answers) -> str:
    """Of a file: with the reward model's name as far as that fits, which a comparison may have made long."""
    shown = re.sub(r"[^\w.-]+", "-", scorer.name)[:40]
    return f"{what}_{shown}_{_digest(answers.key, scorer.digest())}"


def _digest(*parts: Any) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]
