"""Evaluation of the policy and the base policy on held-out prompts: score, KL, length, win rate, surface markers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlhf_sweeps.data import Encoded, as_text
from rlhf_sweeps.ppo.divergence import measure_divergence
from rlhf_sweeps.ppo.language_model import LanguageModel
from rlhf_sweeps.ppo.rollout import Responses
from rlhf_sweeps.ppo.sampling import Sampler
from rlhf_sweeps.ppo.seeds import make_generator
from rlhf_sweeps.ppo.trainer import Reference
from rlhf_sweeps.process.activity import report_activity
from rlhf_sweeps.reward_models.base import Exchanges
from rlhf_sweeps.reward_models.scale import UNIT, Scale
from rlhf_sweeps.reward_models.scorer import Scorer
from rlhf_sweeps.reward_models.surface_rules import EMOJI
from rlhf_sweeps.training.base_policy import BaseAnswers, BasePolicy, make_exchanges
from rlhf_sweeps.verdicts.intervals import bound_mean
from rlhf_sweeps.verdicts.objective import KL_BOUND


class Evaluator:
    """Compares a policy with the base policy on the same held-out prompts.

    All evaluations use the same random numbers, so that their results differ because of the policy only.

    Args:
        purpose: of the random numbers; other purposes have other numbers.
        scorer: the reward model that the policy is trained with; its scores are scaled.
        judges: other reward models by name; their scores are not scaled.
    """

    def __init__(
        self,
        prompts: Encoded,
        sampler: Sampler,
        tokenizer: PreTrainedTokenizerBase,
        language_model: LanguageModel,
        ref_policy: Reference,
        scorer: Scorer,
        judges: Mapping[str, Scorer],
        seed: int,
        purpose: str = "evaluation",
    ) -> None:
        self.prompts = prompts
        self.sampler = sampler
        self.tokenizer = tokenizer
        self.language_model = language_model
        self.ref_policy = ref_policy
        self.scorer = scorer
        self.judges = judges
        self.scale = UNIT
        self.seed = seed
        self.purpose = purpose
        self._base_responses: Sequence[str] = ()
        self._base_scores = torch.empty(0)
        self._judges_base_scores: dict[str, Tensor] = {}

    def turn_to(self, prompts: Encoded, purpose: str) -> "Evaluator":
        """The same comparison on other prompts, with other random numbers."""
        parts = (self.sampler, self.tokenizer, self.language_model, self.ref_policy, self.scorer, self.judges)
        return Evaluator(prompts, *parts, self.seed, purpose)

    def take_base(self, base_policy: BasePolicy, scale: Scale) -> tuple[BaseAnswers, Tensor]:
        """Store the base policy's answers and scores before the first evaluation; returns them, scores (prompts,)."""
        self.scale = scale
        answers = base_policy.answers(self.prompts, self.purpose, self.seed)
        self._base_responses = answers.exchanges.responses
        self._base_scores = scale.apply(base_policy.scores(answers, self.scorer))
        self._judges_base_scores = {name: base_policy.scores(answers, judge) for name, judge in self.judges.items()}
        return answers, self._base_scores

    def score(self, exchanges: Exchanges) -> Tensor:
        """The scaled scores of the policy's own reward model, (batch,)."""
        return self.scale.apply(self.scorer.score(exchanges))

    def evaluate(self, policy: PreTrainedModel) -> tuple[dict[str, float], list[dict[str, Any]]]:
        """Metrics named eval/... and judge/..., and one row for each held-out prompt.

        A row holds prompt, response, score, base_response, base_score, and judge/<name>/score and
        judge/<name>/base_score for each judge.
        """
        noise = make_generator(self.seed, self.purpose, 0, policy.device)
        batch = self.sampler.sample(policy, self.prompts.ids, noise)
        exchanges = make_exchanges(
            self.prompts.messages,
            self.prompts.ids,
            batch.response_lists(),
            batch.ended.tolist(),
            self.sampler.stop_ids,
            self.tokenizer,
        )
        own = ScoreComparison(self.score(exchanges), self._base_scores)
        judged = {
            name: ScoreComparison(judge.score(exchanges), self._judges_base_scores[name])
            for name, judge in self.judges.items()
        }
        metrics = {
            **{f"eval/{metric}": value for metric, value in own.metrics().items()},
            **self._measure_kl(policy, batch),
            "eval/length": batch.response_mask.sum(-1).float().mean().item(),
            "eval/eos_rate": batch.ended.float().mean().item(),
            **measure_markers(exchanges.responses),
            **{
                f"judge/{name}/{metric}": x
                for name, comparison in judged.items()
                for metric, x in comparison.metrics().items()
            },
        }
        columns = {
            "prompt": [as_text(messages) for messages in self.prompts.messages],
            "response": exchanges.responses,
            "score": own.scores.tolist(),
            "base_response": self._base_responses,
            "base_score": own.base_scores.tolist(),
        }
        for name, comparison in judged.items():
            columns |= {
                f"judge/{name}/score": comparison.scores.tolist(),
                f"judge/{name}/base_score": comparison.base_scores.tolist(),
            }
        return metrics, [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    @property
    def base_score(self) -> float:
        """The base policy's mean score."""
        return self._base_scores.mean().item()

    def _measure_kl(self, policy: PreTrainedModel, batch: Responses) -> dict[str, float]:
        """The mean sequence KL, and the bound that the KL budget is held against, in nats."""
        model = replace(self.language_model, model=policy)
        with report_activity("measuring the KL divergence"):
            kl = self.sampler.batch.run(partial(measure_divergence, model, self.ref_policy, batch))
        return {"eval/kl": kl.mean().item(), KL_BOUND: bound_mean(kl.tolist())}


@dataclass(frozen=True)
class ScoreComparison:
    """One reward model's scores of the policy's and the base policy's responses to the same prompts, (prompts,)."""

    scores: Tensor
    base_scores: Tensor

    def metrics(self) -> dict[str, float]:
        """Mean scores, and the win rate: the share of prompts where the policy scores higher; a tie counts half."""
        wins = (self.scores > self.base_scores).float() + (self.scores == self.base_scores).float() / 2
        return {
            "score": self.scores.mean().item(),
            "base_score": self.base_scores.mean().item(),
            "win_rate": wins.mean().item(),
        }


def measure_markers(texts: Sequence[str]) -> dict[str, float]:
    """The shares of texts with a '?', a '!' and an emoji, which often rise first when a reward model is hacked."""
    return {
        "eval/question_rate": sum("?" in text for text in texts) / len(texts),
        "eval/exclamation_rate": sum("!" in text for text in texts) / len(texts),
        "eval/emoji_rate": sum(bool(EMOJI.search(text)) for text in texts) / len(texts),
    }
