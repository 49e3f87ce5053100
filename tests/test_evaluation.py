"""Evaluation against the base policy, and the choice of the best."""

from contextlib import nullcontext

import pytest
import torch
from conftest import Compose
from transformers import PreTrainedModel

from rlhf_sweeps import models
from rlhf_sweeps.data import encode, load_prompts
from rlhf_sweeps.evaluation import Evaluator, marker_rates
from rlhf_sweeps.objective import Evaluated
from rlhf_sweeps.ppo.memory import Halving
from rlhf_sweeps.ppo.sampling import Sampler
from rlhf_sweeps.reward_models import load_reward_model


@pytest.fixture
def evaluator(compose_config: Compose) -> Evaluator:
    config, device = compose_config(), torch.device("cpu")
    tokenizer = models.load_tokenizer(config.model)
    policy = models.load_policy(config.model, device)
    prompts = encode(load_prompts(config.dataset).held_out, tokenizer, 64).first(16)
    sampler = Sampler(models.stop_ids(policy, tokenizer), tokenizer.pad_token_id, 32, 1.0, Halving("", 5))
    reward_model = load_reward_model(config.reward_model, tokenizer, Halving("", 64), device)
    language_model, frozen = models.language_model(policy, config.ppo), models.freeze(policy)
    return Evaluator(prompts, sampler, tokenizer, language_model, lambda: nullcontext(frozen), reward_model, seed=0)


def test_the_base_policy_ties_with_itself(evaluator: Evaluator) -> None:
    metrics, rows = evaluator.evaluate(evaluator.language_model.model)
    assert metrics["eval/win_rate"] == 0.5
    assert metrics["eval/score"] == metrics["eval/base_score"]
    assert metrics["eval/kl"] == pytest.approx(0.0, abs=1e-4)
    assert all(row["response"] == row["base_response"] for row in rows)


def test_the_kl_is_the_mean_over_sequences_of_the_summed_log_ratio(evaluator: Evaluator) -> None:
    base = evaluator.language_model.model
    policy: PreTrainedModel = models.freeze(base)
    noise = torch.Generator().manual_seed(0)
    for parameter in policy.parameters():
        parameter.add_(torch.randn(parameter.shape, generator=noise) * 0.1 * parameter.std())
    batch = evaluator.sampler.sample(policy, evaluator.prompts.ids, noise)
    total = 0.0
    for prompt, response in zip(batch.prompt_lists(), batch.response_lists(), strict=True):
        logprobs = []
        for model in (policy, base):
            with torch.no_grad():
                logits = model(torch.tensor([prompt + response])).logits[0, len(prompt) - 1 : -1]
            logprobs.append(logits.log_softmax(-1)[torch.arange(len(response)), torch.tensor(response)].sum().item())
        total += logprobs[0] - logprobs[1]
    assert evaluator._kl(batch) == pytest.approx(total / len(batch.ended), rel=1e-3)
    assert abs(total) > 0.1


def test_markers_are_counted_once_a_text() -> None:
    rates = marker_rates(["What?? Why?", "Nice! 😀😀", "plain", "ok ❤️ !"])
    assert rates == {"eval/question_rate": 0.25, "eval/exclamation_rate": 0.5, "eval/emoji_rate": 0.5}


def test_the_best_is_the_highest_score_within_the_budget() -> None:
    first, better, far = Evaluated(1, 1.0, 2.0), Evaluated(2, 2.0, 5.0), Evaluated(3, 3.0, 15.1)
    assert first.beats(None, kl_budget=15)
    assert better.beats(first, kl_budget=15)
    assert not far.beats(better, kl_budget=15)
    assert far.beats(better, kl_budget=None)
    assert not Evaluated(4, 2.0, 1.0).beats(better, kl_budget=15)
    assert not far.beats(None, kl_budget=15)
    assert not Evaluated(5, float("nan"), 1.0).beats(better, kl_budget=15)
