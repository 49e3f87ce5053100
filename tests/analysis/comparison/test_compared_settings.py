"""Groups that are settings: their means over seeds, their test seeds, and those that cannot be the best."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from helpers.compared_runs import run, seeds, source
from helpers.records import axes

from analysis.comparison.compare import compare_groups
from analysis.comparison.groups import BROKEN, UNSURE
from analysis.records.runs import TrialRecord
from rlhf_sweeps.verdicts.pairs import BETTER, NOISE, rank


def test_groups_that_are_settings_are_ranked_by_their_means_over_seeds() -> None:
    # Without its lowest and its highest, 1.075, the first would be the second.
    runs = [*seeds([1, 1.1, 1.05, 5], "a", ppo__kl_coef=0.1), *seeds([1.5, 1.52, 1.54, 1.56], "b", ppo__kl_coef=0.2)]
    found = compare_groups(source(runs), "kl_coef")
    assert [(group.label, group.place, group.estimate.value) for group in found.groups] == [
        ("0.1", 1, 8.15 / 4),
        ("0.2", 2, 6.12 / 4),
    ]
    assert (found.ranking.statistic, found.pairs[0].difference) == ("mean", pytest.approx(0.5075))
    assert found.by == "ppo.kl_coef"
    assert "objective (eval/score)" in found.measure.text


def test_the_interval_of_a_mean_is_students() -> None:
    # Deviation of 2, 4, 6, 8: sqrt(20 / 3); t of 97.5 % with 3 degrees of freedom: 3.182. From 5000 resamples.
    (group,) = compare_groups(source(seeds([2.0, 4.0, 6.0, 8.0], key=1)), "key").groups
    half = 3.182 * np.sqrt(20 / 3) / 2
    assert (5 - group.estimate.low, group.estimate.high - 5) == pytest.approx((half, half), rel=0.05)


def test_groups_of_several_settings_are_ranked_by_interquartile_means_over_settings_and_seeds() -> None:
    runs = [*seeds([2.0, 8.0], "a", key=1, lr=1), *seeds([4.0, 4.0], "b", key=1, lr=2), *seeds([3.9] * 4, "c", key=2)]
    found = compare_groups(source(runs, space=axes({"key": "choice(1,2)", "lr": "choice(1,2)"})), "key")
    assert [(group.label, group.estimate.value) for group in found.groups] == [("1", 4.0), ("2", 3.9)]
    assert found.ranking.statistic == "interquartile mean"


def test_test_seeds_of_some_groups_of_several_settings_are_left_aside() -> None:
    chose = [run(f"{key}/{lr}", 9.0 + lr, key=key, lr=lr) for key in (1, 2) for lr in range(3)]
    tests = [run(f"test/{seed}", 1.0, key=1, lr=2, is_test=True) for seed in range(2)]
    found = compare_groups(source(chose + tests, space=axes({"key": "choice(1,2)", "lr": "choice(0,1,2)"})), "key")
    assert not found.grouping.is_test
    assert all("test" not in name for group in found.groups for name in group.values)
    assert any("2 runs on test seeds are left out" in note for note in found.notes)


def test_settings_that_ran_on_test_seeds_go_first_by_these_and_are_compared_by_these() -> None:
    chose = {1: [3.0, 3.1, 3.05], 2: [1.0, 1.1, 1.05], 3: [0.5, 0.6, 0.55]}
    tested = {1: [1.0, 1.1, 1.2], 2: [2.5, 2.6, 2.7]}
    runs = [one for key, values in chose.items() for one in seeds(values, f"{key}/", key=key)]
    runs += [replace(one, is_test=True) for key, values in tested.items() for one in seeds(values, f"t{key}/", key=key)]
    found = compare_groups(source(runs), "key")
    values = [(group.label, round(group.estimate.value, 9)) for group in found.groups]
    assert values == [("2", 2.6), ("1", 1.1), ("3", 0.55)]
    pairs = {(pair.first, pair.second): (round(pair.difference, 9), pair.verdict) for pair in found.pairs}
    # Those with the third are of the seeds that chose: 1.05 - 0.55, 3.05 - 0.55.
    assert pairs == {("2", "1"): (1.5, BETTER), ("2", "3"): (0.5, BETTER), ("1", "3"): (2.5, BETTER)}
    part = "which had no part in choosing the tested settings"  # among these, they choose the best one
    assert any(note.startswith(f"1, 2 come first, with values from runs on test seeds, {part}") for note in found.notes)
    assert not found.grouping.is_test  # what is drawn against KL is of one kind


def test_a_setting_without_test_seeds_that_looked_better_is_not_worse_than_the_best() -> None:
    chose = {"a": {(): np.array([1.0, 1.1, 1.05])}, "b": {(): np.array([3.0, 3.1, 3.05])}}
    (pair,) = rank(chose, tested={"a": {(): np.array([0.5, 0.6])}}).pairs
    assert (pair.first, pair.verdict, round(pair.difference, 9)) == ("a", NOISE, -2.0)


def trial(number: int, values: Sequence[float], state: str = "complete", **violations: float) -> TrialRecord:
    own = [replace(one, trial=number) for one in seeds(values, f"{number}/", key=number)]
    return TrialRecord(number, state, {"key": str(number)}, [float(np.mean(values))], violations=violations, runs=own)


def test_settings_that_cannot_be_the_best_are_put_aside() -> None:
    trials = [
        trial(0, [3.0, 3.1, 3.05], **{"eval/length<=30": 5.0}),
        trial(1, [1.0, 1.1, 1.05], **{"eval/length<=30": -5.0}),
        trial(2, [0.5, 0.6, 0.55]),
        trial(3, [9.0, 9.1], "failed"),
        trial(4, [8.0, 8.1, 8.2], **{"eval/length<=30": float("nan")}),
    ]
    runs = [one for each in trials for one in each.runs]
    found = compare_groups(source(runs, trials=trials, space=axes({"key": "choice(0,1,2,3,4)"})), "key")
    assert found.winner == "1"
    assert [group.label for group in found.groups if group.place] == ["1", "2"]
    assert {group.label: dict(group.excluded) for group in found.groups if not group.place} == {
        "0": {BROKEN: 3},
        "3": {"whose trial is failed": 2},
        "4": {UNSURE: 3},
    }


def test_of_several_objectives_test_seeds_tell_no_order() -> None:
    """The seeds that choose have 1 before 2; those of the tests would have it the other way round."""
    chose = {1: [3.0, 3.1, 3.05], 2: [1.0, 1.1, 1.05]}
    tested = {1: [1.0, 1.1], 2: [2.5, 2.6]}
    runs = [one for key, values in chose.items() for one in seeds(values, f"{key}/", key=key)]
    runs += [replace(one, is_test=True) for key, values in tested.items() for one in seeds(values, f"t{key}/", key=key)]
    two = {"metrics": ["eval/score", "eval/kl"], "directions": ["maximize", "minimize"]}
    assert [group.label for group in compare_groups(source(runs, **two), "key").groups] == ["1", "2"]
    assert [group.label for group in compare_groups(source(runs), "key").groups] == ["2", "1"]


def test_trials_of_an_earlier_configuration_are_not_compared() -> None:
    trials = [trial(0, [3.0, 3.1]), trial(1, [1.0, 1.1])]
    earlier = [replace(one, trial=7, name=f"old {one.name}", config={"key": 1}) for one in trials[0].runs]
    runs = [one for each in trials for one in each.runs]
    found = compare_groups(source([*runs, *earlier], trials=trials, space=axes({"key": "choice(0,1)"})), "key")
    told = {group.label: (len(group.values), dict(group.excluded)) for group in found.groups}
    assert told == {"0": (2, {}), "1": (2, {"of an earlier configuration": 2})}


def test_test_seeds_that_gave_no_value_leave_a_setting_its_choosing_seeds() -> None:
    runs = [*seeds([3.0, 3.1, 3.05], "1/", key=1), *seeds([1.0, 1.1, 1.05], "2/", key=2)]
    lost = [replace(one, is_test=True, summary={}, metrics={}) for one in seeds([9.0, 9.0], "t1/", key=1)]
    found = compare_groups(source([*runs, *lost]), "key")
    assert [(group.label, round(group.estimate.value, 9)) for group in found.groups] == [("1", 3.05), ("2", 1.05)]
