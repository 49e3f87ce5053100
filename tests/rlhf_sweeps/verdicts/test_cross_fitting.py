"""A prompt is measured where the other prompts would choose; so the choice of the best brings no luck."""

import numpy as np
import pytest

from rlhf_sweeps.verdicts.against_base import measure_gain
from rlhf_sweeps.verdicts.cross_fitting import WIDENING, choose_for_each
from rlhf_sweeps.verdicts.final_policies import find_final_policy
from rlhf_sweeps.verdicts.policy_sentences import write_verdict

PROMPTS = [f"p{n}" for n in range(10)]  # prompts n and n + 5 are a part


def test_each_prompt_is_measured_where_the_others_choose() -> None:
    # The second evaluation is better, 9 to 6 in sum, but only by p0 and p5: without them it has 2, and the first 6.
    first = dict(zip(PROMPTS, [0.0, 1, 1, 1, 0, 0, 1, 1, 1, 0], strict=True))
    second = dict(zip(PROMPTS, [3.5, 0, 0, 0, 1, 3.5, 0, 0, 0, 1], strict=True))
    assert choose_for_each([first, second]) == {prompt: int(prompt not in ("p0", "p5")) for prompt in PROMPTS}


def test_what_cannot_be_cross_fitted() -> None:
    evaluation = dict.fromkeys(PROMPTS, 1.0)
    few = dict.fromkeys(PROMPTS[:9], 1.0)
    assert choose_for_each([]) is choose_for_each([evaluation]) is choose_for_each([few, few]) is None
    assert choose_for_each([evaluation, {**few, "other": 1.0}]) is None  # other prompts
    assert choose_for_each([evaluation, few]) is None


@pytest.mark.parametrize("shared", [0.0, 0.5])
def test_the_best_of_equal_evaluations_gains_nothing_and_its_interval_holds(shared: float) -> None:
    """1,000 runs of 6 evaluations of 60 prompts whose true differences are all 0.25; `shared`: their correlation."""
    random = np.random.default_rng(3)
    own, common = random.normal(0.0, 1.0, (1000, 6, 60)), random.normal(0.0, 1.0, (1000, 1, 60))
    values = 0.25 + np.sqrt(1 - shared) * own + np.sqrt(shared) * common
    means, best, missed = [], [], 0
    for run in values:
        evaluations = [dict(zip(map(str, range(60)), scores.tolist(), strict=True)) for scores in run]
        place_of_prompt = choose_for_each(evaluations)
        assert place_of_prompt is not None
        gain = measure_gain([{p: evaluations[place][p] for p, place in place_of_prompt.items()}], 1, WIDENING)
        assert gain is not None
        assert gain.low is not None
        assert gain.high is not None
        means.append(gain.mean)
        missed += not gain.low < 0.25 < gain.high
        best.append(run.mean(axis=1).max())
    error = 1 / np.sqrt(60 * 1000)
    # The expected highest of 6 standard normal values is 1.267 (Harter 1961, Biometrika 48, table 1).
    assert np.mean(best) == pytest.approx(0.25 + 1.267 * np.sqrt((1 - shared) / 60), abs=5 * error)
    assert np.mean(means) == pytest.approx(0.25, abs=6 * error)
    assert missed <= 64  # 5 % and two standard errors


def test_a_run_is_judged_without_the_luck_of_its_best_evaluation() -> None:
    differences = {2: [0.0, 1, 1, 1, 0, 0, 1, 1, 1, 0], 4: [3.5, 0, 0, 0, 1, 3.5, 0, 0, 0, 1], 6: [9.0] * 10}
    samples = [
        {"update": update, "prompt": prompt, "score": gain, "base_score": 0.0}
        for update, gains in differences.items()
        for prompt, gain in zip(PROMPTS, gains, strict=True)
    ]
    evaluation = {"update": 4, "kl": 3.0}
    fitted = find_final_policy({"best": evaluation, "updates_within_budget": [2, 4]}, samples)  # update 6 is beyond it
    plain = find_final_policy({"best": evaluation}, samples)
    assert fitted is not None
    assert plain is not None
    assert (sum(fitted.differences.values()), sum(plain.differences.values())) == (2.0, 9.0)
    assert "10 prompts, 1 seed, cross-fitted)" in write_verdict([fitted], 15.0)
    assert "cross-fitted" not in write_verdict([plain], 15.0)
    last = find_final_policy({"last": evaluation, "updates_within_budget": [2, 4]}, samples)
    assert last is not None
    assert sum(last.differences.values()) == 9.0  # the last one is not chosen


def test_the_price_of_the_kl_takes_part_in_the_choice_of_a_net_score() -> None:
    """Update 2 costs 0.5, update 4 costs 1.5: for every part the first is worth more, 0.6 of 10 prompts and 0."""
    differences = {2: [0.0, 1, 1, 1, 0, 0, 1, 1, 1, 0], 4: [3.5, 0, 0, 0, 1, 3.5, 0, 0, 0, 1]}
    samples = [
        {"update": update, "prompt": prompt, "score": gain, "base_score": 0.0}
        for update, gains in differences.items()
        for prompt, gain in zip(PROMPTS, gains, strict=True)
    ]
    summary = {"best": {"update": 2, "kl": 1.0, "kl_price": 0.5}, "updates_within_budget": [2, 4]}
    policy = find_final_policy({**summary, "kls_within_budget": [1.0, 3.0]}, samples)
    assert policy is not None
    assert (policy.is_cross_fitted, sum(policy.differences.values())) == (True, 6.0)
    assert write_verdict([policy], None, "trial 3").startswith("at its best net score, trial 3 is ")
    # A record that does not say what the others cost shows no choice.
    for kls in (None, [1.0]):
        policy = find_final_policy({**summary, "kls_within_budget": kls}, samples)
        assert policy is not None
        assert (policy.is_cross_fitted, sum(policy.differences.values())) == (False, 6.0)


def test_judges_are_measured_by_the_same_choice_and_the_own_one_is_none() -> None:
    differences = {2: [0.0, 1, 1, 1, 0, 0, 1, 1, 1, 0], 4: [3.5, 0, 0, 0, 1, 3.5, 0, 0, 0, 1]}
    samples = [
        {"update": update, "prompt": prompt, "score": gain, "base_score": 0.0}
        | {
            f"judge/{judge}/{kind}": worth
            for judge in ("a", "mine")
            for kind, worth in (("score", update), ("base_score", 1))
        }
        for update, gains in differences.items()
        for prompt, gain in zip(PROMPTS, gains, strict=True)
    ]
    policy = find_final_policy({"best": {"update": 4}, "updates_within_budget": [2, 4]}, samples, "mine")
    assert policy is not None
    assert list(policy.judged) == ["a"]
    # p0 and p5 are measured after update 2, where the judge sees a gain of 2 - 1, the others after update 4: 4 - 1.
    assert list(policy.judged["a"].values()) == [1.0, 3.0, 3.0, 3.0, 3.0, 1.0, 3.0, 3.0, 3.0, 3.0]
