"""A prompt is measured where the other prompts would choose; so the choice of the best brings no luck."""

import numpy as np
import pytest

from rlhf_sweeps.verdicts.cross_fitting import cross_fit
from rlhf_sweeps.verdicts.final_policies import find_final_policy, write_verdict

PROMPTS = [f"p{n}" for n in range(10)]  # prompts n and n + 5 are a part


def test_each_prompt_is_measured_where_the_others_choose() -> None:
    # The second evaluation is better, 9 to 6 in sum, but only by p0 and p5: without them it has 2, and the first 6.
    first = dict(zip(PROMPTS, [0.0, 1, 1, 1, 0, 0, 1, 1, 1, 0], strict=True))
    second = dict(zip(PROMPTS, [3.5, 0, 0, 0, 1, 3.5, 0, 0, 0, 1], strict=True))
    expected = {**second, "p0": 0.0, "p5": 0.0}
    assert cross_fit([first, second]) == expected


def test_what_cannot_be_cross_fitted() -> None:
    evaluation = dict.fromkeys(PROMPTS, 1.0)
    few = dict.fromkeys(PROMPTS[:9], 1.0)
    assert cross_fit([]) is cross_fit([evaluation]) is cross_fit([few, few]) is None
    assert cross_fit([evaluation, {**few, "other": 1.0}]) is None  # other prompts
    assert cross_fit([evaluation, few]) is None


def test_the_best_of_equal_evaluations_gains_nothing() -> None:
    """1,000 runs of 6 evaluations of 60 prompts whose true differences are all 0.25."""
    values = np.random.default_rng(3).normal(0.25, 1.0, (1000, 6, 60))
    fitted, best = [], []
    for run in values:
        evaluations = [dict(zip(map(str, range(60)), scores.tolist(), strict=True)) for scores in run]
        differences = cross_fit(evaluations)
        assert differences is not None
        fitted.append(np.mean(list(differences.values())))
        best.append(run.mean(axis=1).max())
    error = 1 / np.sqrt(60 * 1000)
    # The expected highest of 6 standard normal values is 1.267 (Harter 1961, Biometrika 48, table 1).
    assert np.mean(best) == pytest.approx(0.25 + 1.267 / np.sqrt(60), abs=4 * error)
    assert np.mean(fitted) == pytest.approx(0.25, abs=4 * error)


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
