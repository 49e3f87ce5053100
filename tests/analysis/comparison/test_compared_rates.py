"""Intervals of groups whose values are rates of so many prompts, and of those whose values are none."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from helpers.compared_runs import UPDATES, at, rated, run, seeds, source
from scipy.stats import binomtest
from scipy.stats import t as student

from analysis.comparison.compare import GroupComparison, compare_groups
from analysis.comparison.run_values import count_prompts
from analysis.views.comparison_sentences import write_comparison_statements
from rlhf_sweeps.verdicts import estimates


def test_equal_rates_are_as_uncertain_as_their_prompts() -> None:
    runs = [rated(f"{key}{seed}", rate, key=key, seed=seed) for key, rate in ((1, 1.0), (2, 0.5)) for seed in range(3)]
    found = compare_groups(source(runs, metrics=["eval/win_rate"]), "key")
    assert found.measure.num_prompts == 60
    for group, rate in zip(found.groups, (1.0, 0.5), strict=True):
        known = binomtest(round(60 * rate), 60).proportion_ci(method="wilson")
        assert (group.estimate.low, group.estimate.high) == pytest.approx((known.low, known.high))
    assert any("as wide as that of a rate over 60 held-out prompts" in note for note in found.notes)


@pytest.mark.parametrize(
    ("metric", "values"), [("token_rate", [200.0, 201.0, 202.0]), ("eval/win_rate", [67, 67.4, 68])]
)
def test_values_above_1_are_no_shares_whatever_their_name(metric: str, values: Sequence[float]) -> None:
    runs = [
        run(f"{key}{n}", metrics={metric: np.full(10, x - 9 * key)}, key=key)
        for key in (0, 1)
        for n, x in enumerate(values)
    ]
    found = compare_groups(source(runs), "key", metric)
    assert not found.measure.is_rate
    margin = student.ppf(0.975, 2) * np.std(values, ddof=1) / 3**0.5
    best = found.groups[0].estimate
    assert (best.low, best.high) == pytest.approx((np.mean(values) - margin, np.mean(values) + margin), rel=0.01)
    one = estimates.estimate([np.array(values)])
    assert estimates.bound_as_rate(one, 60) == one


def students(found: GroupComparison) -> list[Mapping[str, float]]:
    return [one.evidence for one in write_comparison_statements(found) if "intervals are Student's" in one.text]


def test_intervals_are_called_students_where_one_is() -> None:
    few = compare_groups(source(seeds([1.0], key=1) + seeds([3.0, 4.0, 6.0], "b", key=2)), "key")
    assert students(few) == [{"fewest runs in a group": 3}]
    alike = compare_groups(source(seeds([1.0] * 3, key=1) + seeds([2.0] * 3, "b", key=2)), "key")
    assert not students(alike)
    rates = [rated(f"{key}{seed}", key, key=key, seed=seed) for key in (0.0, 1.0) for seed in range(3)]
    wins = compare_groups(source(rates, metrics=["eval/win_rate"]), "key")
    assert not students(wins)  # Wilson's, of 60 prompts
    rates += [rated(f"c{seed}", rate, key=2, seed=seed) for seed, rate in enumerate((0.3, 0.9))]
    assert students(compare_groups(source(rates, metrics=["eval/win_rate"]), "key")) == [{"fewest runs in a group": 2}]


def test_that_each_run_counts_as_one_prompt_is_said() -> None:
    runs = seeds([1.0] * 3, key="a", metrics={"eval/win_rate": np.ones(10)})
    found = compare_groups(source(runs, metrics=["eval/win_rate"]), "key")
    known = binomtest(3, 3).proportion_ci(method="wilson")
    assert found.groups[0].estimate.low == pytest.approx(known.low)
    assert "for a," in found.notes[-1]
    assert "each run counts as one prompt" in found.notes[-1]
    told = compare_groups(source([rated(str(n), 1.0, key="a") for n in range(3)], metrics=["eval/win_rate"]), "key")
    assert not any("counts as one prompt" in note for note in told.notes)


def test_prompts_are_counted_else_those_that_the_config_asks_for() -> None:
    config = {"eval__num_prompts": 128}
    counted = [rated(str(seed), 1.0, seed=seed, **config) for seed in range(2)]
    assert count_prompts(counted) == 60
    assert count_prompts([replace(one, read_samples=list) for one in counted]) == 128
    assert count_prompts([*counted, rated("few", 1.0, prompts=20, dataset__path="other")]) == 20
    assert count_prompts([run("a", 1.0)]) is None


def test_equal_values_that_are_no_rates_have_no_interval() -> None:
    found = compare_groups(source(seeds([0.7] * 3, key=1) + seeds([0.1, 0.3, 0.2], "b", key=2)), "key")
    first, second = (next(group for group in found.groups if group.label == label) for label in "12")
    assert np.isnan([first.estimate.low, first.estimate.high]).all()
    assert second.estimate.low < 0.2 < second.estimate.high
    assert any("no interval for 1," in note for note in found.notes)
    rates = seeds([3e-4] * 3, key=1, metrics={"learning_rate": np.full(10, 3e-4)})
    assert not compare_groups(source(rates), "key", "learning_rate").measure.is_rate


def test_prompts_are_those_of_a_whole_evaluation() -> None:
    """Of the last evaluation only three samples were written before the run was cut."""
    written = [{"update": 5}] * 60 + [{"update": 10}] * 3
    one = replace(run("a", 1.0), read_samples=lambda: written)
    assert count_prompts([one]) == 60
    rate = {"objective/truncated_rate": UPDATES / 20, "eval/win_rate": at(5, 0.5), "eval/score": at(5, 1.0)}
    runs = [replace(run(name, 1.0, metrics=rate, key=name), read_samples=lambda: written) for name in "ab"]
    assert compare_groups(source(runs), "key", "eval/win_rate").measure.num_prompts == 60
    assert (
        compare_groups(source(runs), "key", "objective/truncated_rate").measure.num_prompts is None
    )  # no held-out prompts
