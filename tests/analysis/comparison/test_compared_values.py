"""What a run is worth in a comparison: its objective, a metric at its best or at its end, or nothing."""

import numpy as np
import pytest
from helpers.compared_runs import UPDATES, at, run, source

from analysis.comparison.compare import compare_groups
from analysis.comparison.run_values import find_best_update
from analysis.records.runs import Floats, RunRecord


def test_a_missing_objective_is_the_best_score_within_the_kl_budget() -> None:
    metrics = {"eval/score": np.array([1.0, 2, 9, 3, 4, 4, 4, 4, 4, 4]), "eval/kl": np.array([1.0, 2, 99] + [5] * 7)}
    one = run("a", metrics=metrics, key=1, objective__kl_budget=15.0)
    assert find_best_update(one) == 5  # 9 is too far, 4 comes first there
    found = compare_groups(source([one]), "key")
    assert found.groups[0].values == {"a": 4.0}
    assert "for 1 run without one it is the best eval/score within the KL budget" in found.measure.text
    assert find_best_update(run("b", metrics=metrics, objective__kl_budget=None)) == 3
    assert find_best_update(run("c", metrics=metrics, objective__kl_budget=0.1)) is None


def test_a_metric_at_the_best_evaluation_and_at_the_end() -> None:
    metrics = {
        "eval/score": np.array([1.0, 5, 2, 2, 2, 2, 2, 2, 2, 2]),
        "eval/length": UPDATES * 10,
        "objective/kl": UPDATES,
    }
    runs = [run("a", 5.0, metrics=metrics, key=1), run("b", 5.0, metrics=metrics, key=2, summary={"best_update": 4})]
    found = compare_groups(source(runs), "key", "eval/length")
    assert {group.label: group.estimate.value for group in found.groups} == {"1": 20.0, "2": 40.0}
    found = compare_groups(source(runs), "key", "objective/kl")
    assert found.groups[0].estimate.value == 10.0  # the last tenth: from update 9.1 on
    assert "last 10 %" in found.measure.text
    assert "lower is better" in found.measure.text


def test_without_any_objective_the_training_scores_count() -> None:
    runs = [run(name, metrics={"objective/scores": UPDATES * scale}, key=scale) for name, scale in (("a", 1), ("b", 2))]
    found = compare_groups(source(runs), "key")
    assert [group.estimate.value for group in found.groups] == [20.0, 10.0]
    assert "since no run has an objective or an evaluation" in found.measure.text


@pytest.mark.parametrize(
    "metrics",
    [
        {},
        {"eval/score": np.full(10, np.nan)},
        {"eval/score": np.full(10, np.inf), "eval/kl": UPDATES},
        {"eval/score": UPDATES * 1e300},
        {"eval/kl": UPDATES},
    ],
)
def test_without_values_nothing_is_compared(metrics: dict[str, Floats]) -> None:
    damaged = {"best": [3], "best_update": "x"}
    runs = [run(f"{index}", metrics=metrics, summary=damaged, key=index) for index in range(2)]
    found = compare_groups(source(runs), "key")
    assert found.ranking is None
    assert [group.estimate for group in found.groups] == [None, None]


def test_a_run_without_updates() -> None:
    empty = RunRecord("a", {"update": np.empty(0), "eval/score": np.empty(0)}, {"key": 1})
    assert compare_groups(source([empty]), "key").groups[0].estimate is None


def test_a_measure_says_what_and_when_it_measured() -> None:
    metrics = {"eval/score": at(5, 1.0), "eval/length": at(5, 30.0), "loss/policy_avg": UPDATES, "eval/kl": at(5, 2.0)}
    runs = [run(f"r{n}", 1.0, metrics=metrics, key=n) for n in (1, 2)]

    def says(text: str, *words: str) -> bool:
        return all(word in text for word in words)

    measures = {
        metric: compare_groups(source(runs), "key", metric).measure for metric in ("eval/length", "loss/policy_avg")
    }
    assert says(measures["eval/length"].text, "eval/length", "best evaluation", "higher is better")
    assert says(measures["loss/policy_avg"].text, "loss/policy_avg", "last 10 %", "lower is better")
    assert [measure.is_lower_better for measure in measures.values()] == [False, True]
    assert says(compare_groups(source(runs), "key").measure.text, "objective", "eval/score")
    minimized = source(runs, metrics=["eval/kl", "eval/score"], directions=["minimize", "maximize"])
    assert says(compare_groups(minimized, "key").measure.text, "eval/kl", "first of several", "lower is better")
