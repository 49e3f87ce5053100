"""The gain over the base policy agrees with scipy's paired t test, and its words with its interval."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_rel

from rlhf_sweeps.config.schema import ObjectiveConfig
from rlhf_sweeps.record.trials import BEYOND, format_counts, is_beyond_budget
from rlhf_sweeps.verdicts.against_base import describe_gain, measure_gain, read_differences
from rlhf_sweeps.verdicts.objective import ends_beyond_budget


def rows(scores: list[float], base: list[float], update: int = 4) -> list[dict[str, Any]]:
    pairs = zip(scores, base, strict=True)
    return [{"update": update, "prompt": f"p{n}", "score": x, "base_score": y} for n, (x, y) in enumerate(pairs)]


def test_one_run_is_compared_as_by_a_paired_t_test() -> None:
    random = np.random.default_rng(0)
    base = random.normal(size=40)
    scores = base + random.normal(0.3, 0.5, size=40)
    gain = measure_gain([read_differences(rows(scores.tolist(), base.tolist()))])
    assert gain is not None
    interval = ttest_rel(scores, base).confidence_interval(0.95)
    assert (gain.low, gain.high) == (pytest.approx(interval.low), pytest.approx(interval.high))
    assert gain.mean == pytest.approx(float((scores - base).mean()))
    assert (gain.num_prompts, gain.num_seeds) == (40, 1)


@pytest.mark.parametrize(
    ("differences", "sentence"),
    [
        # Mean 2, deviation 1, 3 prompts: 2 -+ 4.303 / sqrt(3) = -0.484 ... 4.48.
        ([1.0, 2.0, 3.0], "not distinguishable from the base policy (difference 2 [-0.484, 4.48])"),
        # Mean 10: 10 -+ 2.484.
        ([9.0, 10.0, 11.0], "better than the base policy by 10 [7.52, 12.5]"),
        ([-9.0, -10.0, -11.0], "worse than the base policy by 10 [7.52, 12.5]"),
        ([1.0, 1.0, 1.0], "not known to be better than the base policy (difference 1)"),
        # Of six prompts that differ by the same, all have one sign by chance with 2 / 64 = 0.03; of five with 0.06.
        ([1.0] * 6, "better than the base policy by 1 on every prompt"),
        ([-1.0] * 6, "worse than the base policy by 1 on every prompt"),
        ([1.0] * 5, "not known to be better than the base policy (difference 1)"),
        ([0.0] * 64, "not known to be better than the base policy (difference 0)"),
        ([], "not known to be better than the base policy"),
    ],
)
def test_the_sentence_says_what_the_interval_says(differences: list[float], sentence: str) -> None:
    gain = measure_gain([read_differences(rows(differences, [0.0] * len(differences)))])
    assert describe_gain(gain) == sentence


def test_seeds_that_differ_widen_the_interval() -> None:
    alike = measure_gain([{"a": 1.0, "b": 2.0, "c": 3.0, "d": 2.0}, {"a": 1.1, "b": 2.1, "c": 3.1, "d": 2.1}])
    apart = measure_gain([{"a": 0.0, "b": 1.0, "c": 2.0, "d": 1.0}, {"a": 2.1, "b": 3.1, "c": 4.1, "d": 3.1}])
    assert alike is not None
    assert apart is not None
    assert alike.mean == pytest.approx(apart.mean)
    assert apart.high is not None
    assert alike.high is not None
    assert apart.high > alike.high


def test_only_whole_rows_count_and_a_prompt_counts_as_often_as_it_occurs() -> None:
    damaged: list[dict[str, Any]] = [
        {"update": 4, "prompt": "p", "score": 1.0, "base_score": 0.0},
        {"update": 4, "prompt": "p", "score": 3.0, "base_score": 0.0},
        {"update": 4, "prompt": "q", "score": float("nan"), "base_score": 0.0},
        {"update": 4, "prompt": "r", "score": 1.0},
    ]
    assert sorted(read_differences(damaged).values()) == [1.0, 3.0]
    assert measure_gain([{"a": 1.0}, {}]) is None
    assert measure_gain([]) is None


@pytest.mark.parametrize(
    ("kls", "is_beyond"), [([1.0, 14.0], False), ([1.0, 16.0], True), ([16.0, 14.0], False), ([], False)]
)
def test_a_run_is_beyond_its_budget_if_it_did_not_come_back(kls: list[float], is_beyond: bool) -> None:
    config = ObjectiveConfig(["eval/score"], ["maximize"], "best", 3, 15.0, [])
    evaluated = [{"update": n, "eval/score": 1.0, "eval/kl": kl, "objective/kl": 0.0} for n, kl in enumerate(kls)]
    rows_of_run = [*evaluated, {"update": 9, "objective/kl": 99.0}]  # was not evaluated
    assert ends_beyond_budget(rows_of_run, config) == is_beyond


def test_a_run_beyond_its_budget_is_counted_as_such() -> None:
    assert is_beyond_budget({"status": "stopped", "stop_reason": "kl_budget"})
    assert is_beyond_budget({"status": "complete", "is_beyond_budget": True})
    assert not is_beyond_budget({"status": "complete"})
    ends = [("complete", None), ("complete", BEYOND), ("failed", "diverged")]
    assert format_counts(ends) == "2 complete (1 beyond the KL budget), 1 failed (diverged)"
