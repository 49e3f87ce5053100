"""Which groups there are to compare, in which order, and which of their runs count."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.compared_runs import UPDATES, run, seeds, source
from helpers.records import axes, rows, summary, write_run

from analysis.comparison.compare import compare_groups
from analysis.comparison.groups import group_runs
from analysis.reading.sources import read
from analysis.records.runs import DIVERGED, FAILED, PRUNED, STOPPED, UNFINISHED
from analysis.wording.errors import AnalysisError
from rlhf_sweeps.verdicts.pairs import BETTER


def test_a_direction_to_minimize_turns_the_ranking_around() -> None:
    runs = [*seeds([1.0, 1.1, 1.2], "a", key=1), *seeds([2.0, 2.1, 2.2], "b", key=2)]
    found = compare_groups(source(runs, metrics=["eval/kl"], directions=["minimize"]), "key")
    assert [group.label for group in found.groups] == ["1", "2"]
    pair = found.ranking.against_best("2")
    assert (pair.verdict, pair.probability.value, found.winner) == (BETTER, 1.0, "1")


def test_several_keys() -> None:
    runs = [run(f"{lr}{kl}", lr + kl, ppo__lr=lr, ppo__kl_coef=kl) for lr in (1, 2) for kl in (3, 4)]
    found = compare_groups(source(runs), "lr,kl_coef")
    assert [group.label for group in found.groups] == ["2, 4", "1, 4", "2, 3", "1, 3"]


def test_the_swept_key_is_the_default() -> None:
    runs = seeds([1.0, 2.0], key=1) + seeds([1.0, 2.0], "b", key=2)
    assert compare_groups(source(runs)).by == "key"
    with pytest.raises(AnalysisError, match="differ in nothing but seeds"):
        compare_groups(source(seeds([1.0, 2.0], key=1)))
    two = [run("a", 1.0, key=1, other=1), run("b", 1.0, key=2, other=2)]
    with pytest.raises(AnalysisError, match="differ in: key, other"):
        compare_groups(source(two))


def test_unknown_keys_and_metrics_are_named() -> None:
    runs = seeds([1.0, 2.0], key=1, metrics={"objective/kl": UPDATES})
    with pytest.raises(AnalysisError, match="nothing_such: no run has such a key"):
        compare_groups(source(runs), "nothing_such")
    with pytest.raises(AnalysisError, match=r"--metric objective/kll: no run has recorded it .*objective/kl"):
        compare_groups(source(runs), "key", "objective/kll")


def test_runs_that_do_not_count_are_counted() -> None:
    states = [PRUNED, PRUNED, FAILED, DIVERGED, UNFINISHED]
    runs = [run(f"x{index}", 9.0, state=state, key=1) for index, state in enumerate(states)]
    reasons = ["waiting", "waiting", "interrupted", "budget"]
    runs += [run(f"y{i}", 9.0, state=STOPPED, summary={"stop_reason": why}, key=1) for i, why in enumerate(reasons)]
    runs += [run("ended", 1.5, key=1), run("none", None, key=1), *seeds([1.0, 2.0], "b", key=2)]
    found = compare_groups(source(runs), "key")
    group = next(group for group in found.groups if group.label == "1")
    assert group.values == {"ended": 1.5}
    stopped = {"waiting": 2, "interrupted": 1, "out of time": 1}
    assert group.excluded == {PRUNED: 2, FAILED: 1, DIVERGED: 1, UNFINISHED: 1, "without a value": 1} | stopped
    told = "1 diverged, 1 failed, 1 interrupted, 1 out of time, 2 pruned, 1 unfinished, 2 waiting, 1 without a value"
    assert any(told in note for note in found.notes)


def test_only_runs_that_came_to_their_end_count_by_their_folders(tmp_path: Path) -> None:
    """As the runs themselves write it: one that waits has an objective already, one over its KL budget has ended."""
    ends = {"0": "complete", "1": "waiting", "2": "interrupted", "3": "kl_budget", "4": "pruned"}
    for name, reason in ends.items():
        metrics = rows(30 if reason == "complete" else 5)
        end = summary(metrics) | ({"status": "stopped", "stop_reason": reason} if reason != "complete" else {})
        write_run(tmp_path / name, metrics, settings={"seed": int(name)}, end=end)
    runs = [replace(one, name=Path(one.name).name) for one in read(tmp_path).runs]
    (group,) = compare_groups(source(runs), "reward_model").groups
    assert sorted(group.values) == ["0", "3"]
    assert group.excluded == {"waiting": 1, "interrupted": 1, PRUNED: 1}


def test_test_seeds_count_alone_where_all_groups_have_them() -> None:
    chose = [run(f"{key}/{seed}", 9.0 + seed, key=key) for key in (1, 2) for seed in range(3)]
    tests = [run(f"test/{key}/{seed}", key + 0.1 * seed, key=key, is_test=True) for key in (1, 2) for seed in range(2)]
    found = compare_groups(source(chose + tests), "key")
    assert found.grouping.is_test
    assert [list(group.values) for group in found.groups] == [["test/2/0", "test/2/1"], ["test/1/0", "test/1/1"]]
    assert any("on test seeds only, which had no part in choosing the tested settings" in note for note in found.notes)


def test_a_number_with_many_values_is_compared_in_ranges() -> None:
    random = np.random.default_rng(0)
    lrs = sorted(random.uniform(1e-5, 1e-3, size=16))
    runs = [run(f"{index}", float(index), ppo__lr=lr, ppo__kl_coef=index % 3) for index, lr in enumerate(lrs)]
    found = compare_groups(source(runs), "lr")
    assert [len(group.values) for group in found.groups] == [4, 4, 4, 4]
    assert [group.estimate.value for group in found.groups] == [13.5, 9.5, 5.5, 1.5]
    assert any("grouped into 4 ranges" in note for note in found.notes)
    assert any("no setting has two seeds" in note for note in found.notes)
    # A grid of as many values with seeds stays what it is.
    grid = [run(f"{lr}/{seed}", 1.0, ppo__lr=lr, seed=seed) for lr in lrs for seed in range(2)]
    assert len(compare_groups(source(grid), "lr").groups) == 16


def test_groups_that_differ_in_other_settings_say_so() -> None:
    runs = [*seeds([1.0, 2.0, 3.0], key=1, other=1), *seeds([1.0, 2.0, 3.0], "b", key=2, other=2)]
    assert any("also differ in other" in note for note in compare_groups(source(runs), "key").notes)


@pytest.mark.parametrize("value", [None, True, "text", [1, 2], {"a": 1}, float("nan")])
def test_odd_config_values(value: object) -> None:
    runs = [*seeds([1.0, 2.0], key=value), *seeds([1.0, 2.0], "b", key=0.5)]
    found = compare_groups(source(runs), "key")
    assert len(found.groups) == 2
    assert len({group.label for group in found.groups}) == 2


def test_groups_without_a_value_come_last() -> None:
    runs = [run for key in (1, 2, 3) for run in seeds([1.0 * key], str(key), key=key)]
    runs += [replace(run, state=PRUNED) for key in (0, 1.5, 2.5, 4) for run in seeds([1.0], f"p{key}", key=key)]
    found = compare_groups(source(runs), "key")
    assert [group.place for group in found.groups] == [1, 2, 3, 0, 0, 0, 0]
    assert [group.label for group in found.groups][:3] == ["3", "2", "1"]


def test_values_that_look_alike_stay_apart() -> None:
    runs = [*seeds([1.0, 2.0], key=1), *seeds([1.0, 2.0], "b", key="1")]
    assert len(compare_groups(source(runs), "key").groups) == 2
    runs = [*seeds([1.0, 2.0], key=0.123456), *seeds([1.0, 2.0], "b", key=0.123457)]
    assert {group.label for group in compare_groups(source(runs), "key").groups} == {"0.123456", "0.123457"}


def test_ranges_are_named_by_their_ends() -> None:
    runs = [run(f"r{n}", float(n), seed=n, lr=n / 100) for n in range(1, 17)]
    found = compare_groups(source(runs, space=axes({"lr": "interval(0,1)"})), "lr")
    assert sorted(group.label for group in found.groups) == [
        "0.01 to 0.04", "0.05 to 0.08", "0.09 to 0.12", "0.13 to 0.16",
    ]  # fmt: skip


def test_other_keys_are_those_that_are_not_compared_by() -> None:
    runs = [run(f"{a}{b}{c}", 1.0, a=a, b=b, c=c) for a in (1, 2) for b in (1, 2) for c in (1, 2)]
    assert group_runs(source(runs), "a,b").others == ["c"]
    assert group_runs(source(runs), "a").others == ["b", "c"]
    assert group_runs(source(runs), "run").others == []
