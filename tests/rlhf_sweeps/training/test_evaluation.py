"""Evaluation against the base policy, and the choice of the best."""

import json
import math
import statistics
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from conftest import Compose
from torch.distributions import Categorical, kl_divergence
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from rlhf_sweeps import assets
from rlhf_sweeps.data import encode, load_prompts
from rlhf_sweeps.models import loading as models
from rlhf_sweeps.ppo.memory import BatchSize
from rlhf_sweeps.ppo.rollout import Responses
from rlhf_sweeps.ppo.sampling import Sampler
from rlhf_sweeps.ppo.seeds import make_generator
from rlhf_sweeps.record import BaseRecord
from rlhf_sweeps.reward_models.load import Loader
from rlhf_sweeps.reward_models.scale import Scale
from rlhf_sweeps.training.base_policy import BasePolicy
from rlhf_sweeps.training.evaluation import Evaluator, ScoreComparison, measure_markers
from rlhf_sweeps.verdicts.intervals import bound_mean
from rlhf_sweeps.verdicts.objective import Evaluation, choose_kl_price

SEED = 7


@pytest.fixture
def evaluator(compose_config: Compose, tmp_path: Path) -> Evaluator:
    """On the scale of mean 2 and deviation 4, with a judge that counts words."""
    config, device = compose_config("eval.judges=[length]"), torch.device("cpu")
    tokenizer = models.load_tokenizer(config.model)
    policy = models.load_policy(config.model, device)
    prompts = encode(load_prompts(config.dataset).held_out, tokenizer, 64, most=16)
    sampler = Sampler(models.list_stop_ids(policy, tokenizer), tokenizer.pad_token_id, 20, 1.0, BatchSize("", 5))
    loader = Loader(tokenizer, BatchSize("", 64), device, config.dataset)
    scorer = loader.scorer(config.reward_model, "reward_model")
    judges = {"length": loader.scorer(config.eval.judges[0], "eval.judges[0]")}
    language_model, frozen = models.make_language_model(policy, config.ppo), models.freeze(policy)
    base_policy = BasePolicy(
        BaseRecord(tmp_path),
        None,
        lambda ids, purpose, seed: sampler.sample(frozen, ids, make_generator(seed, purpose, 0)),
        tokenizer,
        prompts,
    )
    found = Evaluator(
        prompts, sampler, tokenizer, language_model, lambda: nullcontext(frozen), scorer, judges, seed=SEED
    )
    found.take_base(base_policy, Scale(2.0, 4.0, 9))
    return found


def test_the_base_policy_ties_with_itself(evaluator: Evaluator) -> None:
    metrics, rows = evaluator.evaluate(evaluator.language_model.model)
    assert metrics["eval/win_rate"] == 0.5
    assert metrics["eval/score"] == metrics["eval/base_score"]
    assert metrics["eval/kl"] == pytest.approx(0.0, abs=1e-4)
    assert all(row["response"] == row["base_response"] for row in rows)
    assert metrics["judge/length/win_rate"] == 0.5
    responses = [
        sequence[len(ids) :] for sequence, ids in zip(sequences_of(evaluator), evaluator.prompts.ids, strict=True)
    ]
    assert metrics["eval/length"] == pytest.approx(statistics.mean(map(len, responses)))
    ends = [response[-1] in evaluator.sampler.stop_ids for response in responses]
    assert metrics["eval/eos_rate"] == statistics.mean(ends)
    assert 0 < metrics["eval/eos_rate"] < 1
    assert metrics["eval/length"] > 2


def test_policy_and_base_policy_are_told_apart(evaluator: Evaluator) -> None:
    policy: PreTrainedModel = models.freeze(evaluator.language_model.model)
    noise = torch.Generator().manual_seed(8)
    for parameter in policy.parameters():
        parameter.add_(torch.randn(parameter.shape, generator=noise) * 0.2 * parameter.std())
    metrics, rows = evaluator.evaluate(policy)
    base_answers = [row["base_response"] for row in evaluator.evaluate(evaluator.language_model.model)[1]]
    assert [row["base_response"] for row in rows] == base_answers
    assert [row["response"] for row in rows] != base_answers
    num_words = [[len(row[name].split()) for row in rows] for name in ("response", "base_response")]
    for name, counts in zip(("score", "base_score"), num_words, strict=True):
        assert [row[f"judge/length/{name}"] for row in rows] == pytest.approx([0.1 * count for count in counts])
        assert metrics[f"judge/length/{name}"] == pytest.approx(0.1 * sum(counts) / len(counts))
    wins = [(ours > theirs) + (ours == theirs) / 2 for ours, theirs in zip(*num_words, strict=True)]
    assert metrics["judge/length/win_rate"] == pytest.approx(sum(wins) / len(wins))
    assert sum(wins) != len(wins) / 2
    assert metrics["eval/base_score"] == evaluator.base_score != metrics["eval/score"]
    own = [(row["score"] > row["base_score"]) + (row["score"] == row["base_score"]) / 2 for row in rows]
    assert metrics["eval/win_rate"] == pytest.approx(sum(own) / len(own))
    assert sum(own) != len(own) / 2


def test_own_scores_are_scaled_and_judges_taken_as_they_are(evaluator: Evaluator) -> None:
    metrics, rows = evaluator.evaluate(evaluator.language_model.model)
    model = AutoModelForSequenceClassification.from_pretrained(assets.folder("tiny_reward_model"))
    with torch.no_grad():
        raw = torch.stack([model(torch.tensor([sequence])).logits[0, 0] for sequence in sequences_of(evaluator)])
    assert [row["score"] for row in rows] == pytest.approx(((raw - 2) / 4).tolist())
    assert metrics["eval/base_score"] == evaluator.base_score == pytest.approx((raw.mean().item() - 2) / 4)
    words = [len(row["response"].split()) for row in rows]
    assert [row["judge/length/score"] for row in rows] == pytest.approx([0.1 * count for count in words])
    assert metrics["judge/length/score"] == pytest.approx(0.1 * sum(words) / len(words))


def sequences_of(evaluator: Evaluator) -> list[list[int]]:
    noise = make_generator(SEED, "evaluation", 0)
    return evaluator.sampler.sample(evaluator.language_model.model, evaluator.prompts.ids, noise).sequences


def test_a_win_is_a_higher_score_and_a_tie_half_of_one() -> None:
    metrics = ScoreComparison(torch.tensor([1.0, 2.0, 3.0, 0.0]), torch.tensor([0.0, 2.0, 4.0, -1.0])).metrics()
    assert metrics == {"score": 1.5, "base_score": 1.25, "win_rate": 2.5 / 4}


def test_the_base_policy_is_asked_once(evaluator: Evaluator, tmp_path: Path) -> None:
    def fail(*_: object) -> Responses:
        raise AssertionError("asked again")

    again = BasePolicy(BaseRecord(tmp_path), None, fail, evaluator.tokenizer, evaluator.prompts)
    answers = again.answers(evaluator.prompts, "evaluation", SEED)
    assert answers.exchanges.sequences == sequences_of(evaluator)

    def refuse(*_: object) -> torch.Tensor:
        raise AssertionError("scored again")

    evaluator.scorer.reward_model.score = refuse  # type: ignore[method-assign]
    assert again.scores(answers, evaluator.scorer).mean().item() == pytest.approx(
        4 * evaluator.base_score + 2, abs=1e-5
    )
    for purpose, seed in (("evaluation", SEED + 1), ("scale", SEED)):
        with pytest.raises(AssertionError, match="asked again"):
            again.answers(evaluator.prompts, purpose, seed)


def test_the_scale_is_that_of_the_base_policys_answers_whatever_the_seed(evaluator: Evaluator, tmp_path: Path) -> None:
    seeds = []

    def sample(ids: Sequence[Sequence[int]], purpose: str, seed: int) -> Responses:
        seeds.append((purpose, seed, len(ids)))
        return evaluator.sampler.sample(evaluator.language_model.model, ids, make_generator(seed, purpose, 0))

    base_policy = BasePolicy(BaseRecord(tmp_path / "new"), None, sample, evaluator.tokenizer, evaluator.prompts)
    scale = base_policy.scale(evaluator.judges["length"])
    (file,) = (tmp_path / "new" / "base").glob("responses_*")
    lengths = [
        0.1 * len(evaluator.tokenizer.decode(json.loads(line)["tokens"], skip_special_tokens=True).split())
        for line in file.read_text().splitlines()[:-1]  # the last one is their digest
    ]
    assert scale == Scale(pytest.approx(statistics.mean(lengths)), pytest.approx(statistics.stdev(lengths)), 16)
    assert base_policy.scale(evaluator.judges["length"]) == scale
    assert seeds == [("scale", 0, 16)]


def test_a_reward_model_may_have_a_name_that_no_file_can_have(evaluator: Evaluator, tmp_path: Path) -> None:
    def sample(ids: Sequence[Sequence[int]], purpose: str, seed: int) -> Responses:
        return evaluator.sampler.sample(evaluator.language_model.model, ids, make_generator(seed, purpose, 0))

    record = BaseRecord(tmp_path / "long")
    base_policy = BasePolicy(record, None, sample, evaluator.tokenizer, evaluator.prompts)
    judge = evaluator.judges["length"]
    judge.name = "regex[patterns=[{'pattern': '/\0" + 300 * "x" + "'}]]"
    assert base_policy.scale(judge) == base_policy.scale(judge)
    assert len(list((tmp_path / "long" / "base").iterdir())) == 3  # responses, scores, scale


def test_the_kl_is_that_of_all_next_tokens_summed_over_a_response(evaluator: Evaluator) -> None:
    base = evaluator.language_model.model
    policy: PreTrainedModel = models.freeze(base)
    noise = torch.Generator().manual_seed(0)
    for parameter in policy.parameters():
        parameter.add_(torch.randn(parameter.shape, generator=noise) * 0.1 * parameter.std())
    batch = evaluator.sampler.sample(policy, evaluator.prompts.ids, noise)
    sums, estimates = [], []
    for prompt, response in zip(batch.prompt_lists(), batch.response_lists(), strict=True):
        with torch.no_grad():
            ours, theirs = (
                Categorical(logits=model(torch.tensor([prompt + response])).logits[0, len(prompt) - 1 : -1])
                for model in (policy, base)
            )
        sums.append(kl_divergence(ours, theirs).sum().item())
        tokens = torch.tensor(response)
        estimates.append((ours.log_prob(tokens) - theirs.log_prob(tokens)).sum().item())
    metrics = evaluator._measure_kl(policy, batch)
    assert metrics["eval/kl"] == pytest.approx(statistics.mean(sums), rel=1e-3)
    error = statistics.stdev(sums) / len(sums) ** 0.5
    assert metrics["eval/kl_bound"] == pytest.approx(statistics.mean(sums) + 1.753 * error, rel=1e-3)  # 15 freedoms
    # Why it is not estimated from the sampled tokens alone.
    assert statistics.stdev(sums) < statistics.stdev(estimates) / 2


def test_markers_are_counted_once_a_text() -> None:
    rates = measure_markers(["What?? Why?", "Nice! 😀😀", "plain", "ok ❤️ !"])
    assert rates == {"eval/question_rate": 0.25, "eval/exclamation_rate": 0.5, "eval/emoji_rate": 0.5}


def test_the_best_is_the_highest_score_within_the_budget() -> None:
    first, better, far = Evaluation(1, 1.0, 2.0), Evaluation(2, 2.0, 5.0), Evaluation(3, 3.0, 15.1)
    assert first.beats(None, kl_budget=15)
    assert better.beats(first, kl_budget=15)
    assert not far.beats(better, kl_budget=15)
    assert far.beats(better, kl_budget=None)
    assert not Evaluation(4, 2.0, 1.0).beats(better, kl_budget=15)
    assert not far.beats(None, kl_budget=15)
    assert Evaluation(3, 3.0, 15.0).beats(better, kl_budget=15)  # all of the budget is still within it
    assert not Evaluation(5, float("nan"), 1.0).beats(better, kl_budget=15)


def test_a_net_score_pays_for_the_kl() -> None:
    near, far = Evaluation(1, 1.0, 2.0, kl_price=0.25), Evaluation(2, 2.0, 6.1, kl_price=0.25)
    assert (near.worth, far.worth) == (0.5, pytest.approx(0.475))
    assert not far.beats(near, kl_budget=None)
    assert Evaluation(2, 2.0, 5.9, kl_price=0.25).beats(near, kl_budget=None)
    assert choose_kl_price(["eval/net_score", "eval/score"], 0.25) == 0.25
    assert choose_kl_price(["eval/score", "eval/net_score"], 0.25) == 0.0


def test_the_bound_of_the_kl_is_held_against_the_budget() -> None:
    sure, unsure = Evaluation(1, 1.0, 14.0, 15.0), Evaluation(2, 2.0, 14.0, 15.1)
    assert sure.beats(None, kl_budget=15)
    assert not unsure.beats(None, kl_budget=15)
    assert unsure.beats(None, kl_budget=None)
    # A standard error of sqrt(2) / sqrt(2); Student's 95 % quantile of 1 degree of freedom.
    assert bound_mean([1.0, 3.0]) == pytest.approx(2 + 6.314, abs=1e-3)
    assert bound_mean([2.5]) == 2.5
    assert math.isnan(bound_mean([1.0, math.nan]))
