"""The base policy's answers, their scores, and the scales of reward models: computed once and kept in the record."""

import hashlib
import random
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from rlhf_sweeps.config.schema import ModelConfig, PPOConfig
from rlhf_sweeps.data import Encoded, Messages
from rlhf_sweeps.ppo.rollout import Responses
from rlhf_sweeps.ppo.sampling import pad_left, pad_right
from rlhf_sweeps.process.activity import report_activity
from rlhf_sweeps.record import BaseRecord
from rlhf_sweeps.reward_models.base import Exchanges
from rlhf_sweeps.reward_models.constants import NUM_PROMPTS
from rlhf_sweeps.reward_models.ensemble import EnsembleRewardModel
from rlhf_sweeps.reward_models.exchange_tokens import ExchangeReader
from rlhf_sweeps.reward_models.scale import Scale, measure
from rlhf_sweeps.reward_models.scorer import Scorer

# (prompts, purpose of the random numbers, seed) -> the base policy's responses
Sample = Callable[[Sequence[Sequence[int]], str, int], Responses]


@dataclass(frozen=True)
class BaseAnswers:
    """Responses of the base policy.

    Attributes:
        tokens: the tokens of the responses.
        key: a hash of everything that they depend on.
    """

    exchanges: Exchanges
    tokens: Sequence[Sequence[int]]
    key: str


@dataclass
class BasePolicy:
    """The base policy, whose results all trials of a sweep, or all starts of a run, share.

    Attributes:
        record: holds the results so far.
        settings: everything that its responses depend on, except prompts and random numbers.
        training: the training prompts; scales are measured on some of them.
        end_ids: the tokens that end a response.
    """

    record: BaseRecord
    settings: Any
    sample: Sample
    tokenizer: PreTrainedTokenizerBase
    training: Encoded
    end_ids: Sequence[int] = ()

    def answers(self, prompts: Encoded, purpose: str, seed: int) -> BaseAnswers:
        """The base policy's responses to some prompts."""
        key = _digest(self.settings, self.end_ids, prompts.messages, prompts.ids, purpose, seed)
        name = f"responses_{key}"

        def ask() -> list[dict[str, Any]]:
            batch = self.sample(prompts.ids, purpose, seed)
            responses = zip(batch.response_lists(), batch.ended.tolist(), strict=True)
            rows = [{"tokens": tokens, "ended": ended} for tokens, ended in responses]
            self.record.write(name, rows)
            return rows

        rows = self.record.read_or_find(lambda: self.record.read(name) or None, ask)
        tokens, ended = [row["tokens"] for row in rows], [row["ended"] for row in rows]
        exchanges = make_exchanges(prompts.messages, prompts.ids, tokens, ended, self.end_ids, self.tokenizer)
        return BaseAnswers(exchanges, tokens, key)

    def scores(self, answers: BaseAnswers, scorer: Scorer) -> Tensor:
        """A reward model's scores of some answers, unscaled, (prompts,)."""
        name = _name_record("scores", scorer, answers)
        scores = [row["score"] for row in self.record.read(name)]
        if scores:
            scorer.remember(answers.exchanges, scores)
        else:
            scores = scorer.score(answers.exchanges).tolist()
            self.record.write(name, [{"score": score} for score in scores])
        return torch.tensor(scores)

    def scale(self, scorer: Scorer) -> Scale:
        """The scale of a reward model's scores on the base policy's responses; it does not depend on the run's seed.

        Raises:
            RewardModelError: if all responses get the same score.
        """
        order = random.Random("scale").sample(range(len(self.training.ids)), len(self.training.ids))[:NUM_PROMPTS]
        with report_activity(f"measuring the scale of {scorer.name}"):
            answers = self.answers(self.training.rows(order), "scale", 0)
            name = _name_record("scale", scorer, answers)
            if not (rows := self.record.read(name)):
                rows = [asdict(measure(scorer.name, self.scores(answers, scorer)))]
                self.record.write(name, rows)
        return Scale(**rows[0])

    def scale_members(self, scorers: Iterable[Scorer]) -> None:
        """Give each ensemble among the reward models the scales of its members."""
        for scorer in scorers:
            if isinstance(scorer.reward_model, EnsembleRewardModel):
                scorer.reward_model.scales = [self.scale(member) for member in scorer.reward_model.members]


def list_sampling_settings(model: ModelConfig, policy_digest: str, device: str, ppo: PPOConfig) -> tuple[Any, ...]:
    """Everything that a base policy's responses depend on, except prompts and random numbers.

    Args:
        policy_digest: a hash of its weights.
    """
    return (model, policy_digest, device, ppo.response_length, ppo.temperature, ppo.top_p, ppo.stop_strings,
            ppo.precision, ppo.static_decoding, torch.get_num_threads())  # fmt: skip


def make_exchanges(
    prompts: Sequence[Messages],
    prompt_ids: Sequence[Sequence[int]],
    responses: Sequence[Sequence[int]],
    ended: Sequence[bool],
    end_ids: Sequence[int],
    tokenizer: PreTrainedTokenizerBase,
) -> Exchanges:
    """The exchanges for reward models: prompts, texts of the responses without their ends, and the policy's tokens.

    Args:
        end_ids: the tokens that end a response; a tokenizer may not treat all of them as special tokens.
    """
    reader = ExchangeReader(tokenizer, None, None)
    texts = []
    for prompt, response, has_ended in zip(prompt_ids, responses, ended, strict=True):
        bare = reader.strip(response, end_ids) if has_ended else response
        texts.append(_decode_after(prompt, bare, tokenizer).removeprefix(reader.opening))
    sequences = [[*prompt, *response] for prompt, response in zip(prompt_ids, responses, strict=True)]
    return Exchanges(prompts, texts, sequences, ended, end_ids)


def make_responses(answers: BaseAnswers, prompts: Encoded, device: torch.device) -> Responses:
    """The answers to these prompts as a batch; log-probabilities are 0, since they are not recorded."""
    assert answers.exchanges.ended is not None
    response_ids, response_mask = pad_right(answers.tokens, 0, device)
    prompt_ids, prompt_mask = pad_left(prompts.ids, 0, device)
    logprobs = torch.zeros(response_ids.shape, device=device)
    ended = torch.tensor(answers.exchanges.ended, device=device)
    return Responses(prompt_ids, prompt_mask, response_ids, response_mask, logprobs, ended)


def _decode_after(prompt: Sequence[int], response: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> str:
    """The text of a response after its prompt: decoded alone, it would lose a leading space with some tokenizers."""
    before, whole = (
        str(tokenizer.decode(list(ids), skip_special_tokens=True)) for ids in (prompt, [*prompt, *response])
    )
    if whole.startswith(before):
        return whole.removeprefix(before)
    return str(tokenizer.decode(list(response), skip_special_tokens=True))  # if the end of the prompt was cleaned up


def _name_record(subject: str, scorer: Scorer, answers: BaseAnswers) -> str:
    """The name of a file, with up to 40 characters of the reward model's name."""
    label = re.sub(r"[^\w.-]+", "-", scorer.name)[:40]
    return f"{subject}_{label}_{_digest(answers.key, scorer.digest())}"


def _digest(*parts: Any) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]
