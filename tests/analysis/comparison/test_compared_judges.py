"""Reward models compared: under the other judges, else each under its own, and the matrix of all."""

import numpy as np
import pytest
from helpers.compared_runs import judged, source

from analysis.comparison.compare import compare_groups
from analysis.comparison.groups import group_runs
from analysis.comparison.judge_matrix import OWN, make_matrix
from analysis.comparison.run_values import OTHER_JUDGES, WIN_RATE


def test_reward_models_are_compared_under_the_other_judges() -> None:
    runs = [judged(f"a{seed}", "a", seed, a=0.99, b=0.6 + 0.01 * seed, c=0.7) for seed in range(3)]
    runs += [judged(f"b{seed}", "b", seed, a=0.5, b=0.97, c=0.6 + 0.02 * seed) for seed in range(3)]
    found = compare_groups(source(runs), "reward_model")
    assert found.measure.name == OTHER_JUDGES
    assert found.groups[0].label == "a"
    assert found.groups[0].estimate.value == pytest.approx((0.61 + 0.7) / 2)
    assert found.groups[1].estimate.value == pytest.approx((0.5 + 0.62) / 2)
    cell = found.matrix.cells["a", "a"]
    assert (cell.win_rate, cell.is_own, cell.num_runs) == (pytest.approx(0.99), True, 3)
    assert not found.matrix.cells["a", "b"].is_own


def test_without_common_judges_each_is_its_own_and_that_is_said() -> None:
    runs = [judged(f"{own}{seed}", own, seed) for own in "ab" for seed in range(2)]
    found = compare_groups(source(runs), "reward_model")
    assert found.measure.name == WIN_RATE
    assert any("each reward model judges its own runs" in note for note in found.notes)
    assert found.matrix is None


def test_the_same_reward_model_everywhere_leaves_the_objective() -> None:
    runs = [judged(f"{index}", "a", index, b=0.6) for index in range(4)]
    for index, one in enumerate(runs):
        one.config["ppo.lr"] = index // 2
    found = compare_groups(source(runs), "lr")
    assert found.measure.name == "objective"
    assert found.matrix.judges == ["b", OWN]


def test_the_sweeps_own_matrix_is_used() -> None:
    rate = {"mean": 0.8, "low": 0.7, "high": None}
    written = {
        "judges": ["a", "b"],
        "reward_models": [{"reward_model": "a", "judges": {"b": {"win_rate": rate, "num_seeds": 3}}}],
    }
    runs = [judged(f"{own}{seed}", own, seed, a=0.5, b=0.5) for own in "ab" for seed in range(2)]
    found = compare_groups(source(runs, comparison=written), "reward_model").matrix
    assert found.cells["a", "b"].win_rate == 0.8
    assert np.isnan(found.cells["a", "b"].high)
    for broken in ({}, {"reward_models": 3}, {"judges": ["a"], "reward_models": [{"reward_model": "a"}]}, []):
        rebuilt = make_matrix(source(runs, comparison=broken), group_runs(source(runs), "reward_model"))
        assert rebuilt.cells["a", "b"].win_rate == 0.5


def test_wins_in_percent_are_so_in_the_judges_matrix() -> None:
    shares = [judged(f"a{seed}", "a", seed, b=0.5 + 0.01 * seed) for seed in range(3)]
    percents = [judged(f"a{seed}", "a", seed, a=90, b=50 + seed) for seed in range(3)]
    one, other = (compare_groups(source(runs), "reward_model").matrix.cells["a", "b"] for runs in (shares, percents))
    assert (other.win_rate, other.low, other.high) == pytest.approx((one.win_rate, one.low, one.high))
    assert one.win_rate == pytest.approx(0.51)


def test_rm_2_judges_before_rm_10() -> None:
    runs = [judged(f"a{seed}", "a", seed, rm_10=0.5, rm_2=0.6, rm_1=0.7) for seed in range(2)]
    assert compare_groups(source(runs), "reward_model").matrix.judges == ["rm_1", "rm_2", "rm_10", OWN]
