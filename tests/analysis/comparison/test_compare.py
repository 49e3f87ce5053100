"""Groups compared: values, verdicts that are rarely wrong, judges, seeds, runs that do not count."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.records import axes, rows, summary, write_run
from scipy.stats import binomtest
from scipy.stats import t as student
from scipy.stats import ttest_ind as welch

from analysis.comparison.compare import compare
from analysis.comparison.groups import BROKEN, UNSURE, grouping
from analysis.comparison.judge_matrix import OWN, matrix
from analysis.comparison.run_values import OTHER_JUDGES, WIN_RATE, best_update, num_prompts
from analysis.comparison.text import comparison_text, statements
from analysis.reading.sources import read
from analysis.records.runs import DIVERGED, FAILED, PRUNED, STOPPED, UNFINISHED, RunRecord, Source, Trial
from analysis.wording.errors import AnalysisError
from rlhf_sweeps.verdicts import estimates
from rlhf_sweeps.verdicts.pairs import BETTER, BY_RUN, BY_SETTING, BY_STRATUM, NOISE, UNKNOWN, WORSE, rank

UPDATES = np.arange(1.0, 11.0)


def run(name, objective=None, *, state="complete", is_test=False, metrics=None, summary=None, **config):
    """A run with an objective; config keys are given as ppo__lr=1e-4."""
    return RunRecord(
        name,
        {"update": UPDATES, **(metrics or {})},
        {key.replace("__", "."): value for key, value in config.items()},
        state,
        {"objective": objective, **(summary or {})},
        is_test=is_test,
    )


def source(runs, **more):
    return Source("made up", "sweep", list(runs), **more)


def seeds(values, prefix="", **config):
    return [run(f"{prefix}{index}", value, seed=index, **config) for index, value in enumerate(values)]


def at(update, value):
    """A metric that was evaluated once."""
    return np.where(update == UPDATES, value, np.nan)


def test_groups_that_are_settings_are_ranked_by_their_means_over_seeds():
    # Without its lowest and its highest, 1.075, the first would be the second.
    runs = [*seeds([1, 1.1, 1.05, 5], "a", ppo__kl_coef=0.1), *seeds([1.5, 1.52, 1.54, 1.56], "b", ppo__kl_coef=0.2)]
    found = compare(source(runs), "kl_coef")
    assert [(group.label, group.place, group.estimate.value) for group in found.groups] == [
        ("0.1", 1, 8.15 / 4),
        ("0.2", 2, 6.12 / 4),
    ]
    assert (found.ranking.statistic, found.pairs[0].difference) == ("mean", pytest.approx(0.5075))
    assert "mean [95 % interval]; P: " in comparison_text(found)
    assert "interquartile" not in comparison_text(found)
    assert found.by == "ppo.kl_coef"
    assert "objective (eval/score)" in found.measure.text


def test_the_interval_of_a_mean_is_students():
    # Deviation of 2, 4, 6, 8: sqrt(20 / 3); t of 97.5 % with 3 degrees of freedom: 3.182. From 5000 resamples.
    (group,) = compare(source(seeds([2.0, 4.0, 6.0, 8.0], key=1)), "key").groups
    half = 3.182 * np.sqrt(20 / 3) / 2
    assert (5 - group.estimate.low, group.estimate.high - 5) == pytest.approx((half, half), rel=0.05)


def test_groups_of_several_settings_are_ranked_by_interquartile_means_over_settings_and_seeds():
    runs = [*seeds([2.0, 8.0], "a", key=1, lr=1), *seeds([4.0, 4.0], "b", key=1, lr=2), *seeds([3.9] * 4, "c", key=2)]
    found = compare(source(runs, space=axes({"key": "choice(1,2)", "lr": "choice(1,2)"})), "key")
    assert [(group.label, group.estimate.value) for group in found.groups] == [("1", 4.0), ("2", 3.9)]
    assert "interquartile mean [95 % interval]; P: " in comparison_text(found)


def test_a_direction_to_minimize_turns_the_ranking_around():
    runs = [*seeds([1.0, 1.1, 1.2], "a", key=1), *seeds([2.0, 2.1, 2.2], "b", key=2)]
    found = compare(source(runs, metrics=["eval/kl"], directions=["minimize"]), "key")
    assert [group.label for group in found.groups] == ["1", "2"]
    pair = found.ranking.against_best("2")
    assert (pair.verdict, pair.probability.value, found.winner) == (BETTER, 1.0, "1")


def test_several_keys():
    runs = [run(f"{lr}{kl}", lr + kl, ppo__lr=lr, ppo__kl_coef=kl) for lr in (1, 2) for kl in (3, 4)]
    found = compare(source(runs), "lr,kl_coef")
    assert [group.label for group in found.groups] == ["2, 4", "1, 4", "2, 3", "1, 3"]


def test_the_swept_key_is_the_default():
    runs = seeds([1.0, 2.0], key=1) + seeds([1.0, 2.0], "b", key=2)
    assert compare(source(runs)).by == "key"
    with pytest.raises(AnalysisError, match="differ in nothing but seeds"):
        compare(source(seeds([1.0, 2.0], key=1)))
    two = [run("a", 1.0, key=1, other=1), run("b", 1.0, key=2, other=2)]
    with pytest.raises(AnalysisError, match="differ in: key, other"):
        compare(source(two))


def test_unknown_keys_and_metrics_are_named():
    runs = seeds([1.0, 2.0], key=1, metrics={"objective/kl": UPDATES})
    with pytest.raises(AnalysisError, match="nothing_such: no run has such a key"):
        compare(source(runs), "nothing_such")
    with pytest.raises(AnalysisError, match=r"--metric objective/kll: no run has recorded it .*objective/kl"):
        compare(source(runs), "key", "objective/kll")


def test_runs_that_do_not_count_are_counted():
    states = [PRUNED, PRUNED, FAILED, DIVERGED, UNFINISHED]
    runs = [run(f"x{index}", 9.0, state=state, key=1) for index, state in enumerate(states)]
    reasons = ["waiting", "waiting", "interrupted", "budget"]
    runs += [run(f"y{i}", 9.0, state=STOPPED, summary={"stop_reason": why}, key=1) for i, why in enumerate(reasons)]
    runs += [run("ended", 1.5, key=1), run("none", None, key=1), *seeds([1.0, 2.0], "b", key=2)]
    found = compare(source(runs), "key")
    group = next(group for group in found.groups if group.label == "1")
    assert group.values == {"ended": 1.5}
    stopped = {"waiting": 2, "interrupted": 1, "out of time": 1}
    assert group.excluded == {PRUNED: 2, FAILED: 1, DIVERGED: 1, UNFINISHED: 1, "without a value": 1} | stopped
    told = "1 diverged, 1 failed, 1 interrupted, 1 out of time, 2 pruned, 1 unfinished, 2 waiting, 1 without a value"
    assert any(told in note for note in found.notes)


def test_only_runs_that_came_to_their_end_count_by_their_folders(tmp_path):
    """As the runs themselves write it: one that waits has an objective already, one over its KL budget has ended."""
    ends = {"0": "complete", "1": "waiting", "2": "interrupted", "3": "kl_budget", "4": "pruned"}
    for name, reason in ends.items():
        metrics = rows(30 if reason == "complete" else 5)
        end = summary(metrics) | ({"status": "stopped", "stop_reason": reason} if reason != "complete" else {})
        write_run(tmp_path / name, metrics, settings={"seed": int(name)}, end=end)
    runs = [replace(one, name=Path(one.name).name) for one in read(tmp_path).runs]
    (group,) = compare(source(runs), "reward_model").groups
    assert sorted(group.values) == ["0", "3"]
    assert group.excluded == {"waiting": 1, "interrupted": 1, PRUNED: 1}


def test_test_seeds_count_alone_where_all_groups_have_them():
    chose = [run(f"{key}/{seed}", 9.0 + seed, key=key) for key in (1, 2) for seed in range(3)]
    tests = [run(f"test/{key}/{seed}", key + 0.1 * seed, key=key, is_test=True) for key in (1, 2) for seed in range(2)]
    found = compare(source(chose + tests), "key")
    assert found.grouping.is_test
    assert [list(group.values) for group in found.groups] == [["test/2/0", "test/2/1"], ["test/1/0", "test/1/1"]]
    assert any("on test seeds" in note for note in found.notes)


def test_test_seeds_of_some_groups_of_several_settings_are_left_aside():
    chose = [run(f"{key}/{lr}", 9.0 + lr, key=key, lr=lr) for key in (1, 2) for lr in range(3)]
    tests = [run(f"test/{seed}", 1.0, key=1, lr=2, is_test=True) for seed in range(2)]
    found = compare(source(chose + tests, space=axes({"key": "choice(1,2)", "lr": "choice(0,1,2)"})), "key")
    assert not found.grouping.is_test
    assert all("test" not in name for group in found.groups for name in group.values)
    assert any("2 runs on test seeds are left aside" in note for note in found.notes)


def test_settings_that_ran_on_test_seeds_go_first_by_these_and_are_compared_by_these():
    chose = {1: [3.0, 3.1, 3.05], 2: [1.0, 1.1, 1.05], 3: [0.5, 0.6, 0.55]}
    tested = {1: [1.0, 1.1, 1.2], 2: [2.5, 2.6, 2.7]}
    runs = [one for key, values in chose.items() for one in seeds(values, f"{key}/", key=key)]
    runs += [replace(one, is_test=True) for key, values in tested.items() for one in seeds(values, f"t{key}/", key=key)]
    found = compare(source(runs), "key")
    values = [(group.label, round(group.estimate.value, 9)) for group in found.groups]
    assert values == [("2", 2.6), ("1", 1.1), ("3", 0.55)]
    pairs = {(pair.first, pair.second): (round(pair.difference, 9), pair.verdict) for pair in found.pairs}
    # Those with the third are of the seeds that chose: 1.05 - 0.55, 3.05 - 0.55.
    assert pairs == {("2", "1"): (1.5, BETTER), ("2", "3"): (0.5, BETTER), ("1", "3"): (2.5, BETTER)}
    assert any(note.startswith("values of 1, 2 are of runs on test seeds") for note in found.notes)
    assert not found.grouping.is_test  # what is drawn against KL is of one kind


def test_a_setting_without_test_seeds_that_looked_better_is_not_worse_than_the_best():
    chose = {"a": {(): np.array([1.0, 1.1, 1.05])}, "b": {(): np.array([3.0, 3.1, 3.05])}}
    (pair,) = rank(chose, tested={"a": {(): np.array([0.5, 0.6])}}).pairs
    assert (pair.first, pair.verdict, round(pair.difference, 9)) == ("a", NOISE, -2.0)


def trial(number, values, state="complete", **violations):
    own = [replace(one, trial=number) for one in seeds(values, f"{number}/", key=number)]
    return Trial(number, state, {"key": str(number)}, [float(np.mean(values))], violations=violations, runs=own)


def test_settings_that_cannot_be_the_best_are_put_aside():
    trials = [
        trial(0, [3.0, 3.1, 3.05], **{"eval/length<=30": 5.0}),
        trial(1, [1.0, 1.1, 1.05], **{"eval/length<=30": -5.0}),
        trial(2, [0.5, 0.6, 0.55]),
        trial(3, [9.0, 9.1], "failed"),
        trial(4, [8.0, 8.1, 8.2], **{"eval/length<=30": float("nan")}),
    ]
    runs = [one for each in trials for one in each.runs]
    found = compare(source(runs, trials=trials, space=axes({"key": "choice(0,1,2,3,4)"})), "key")
    assert found.winner == "1"
    assert [group.label for group in found.groups if group.place] == ["1", "2"]
    assert {group.label: dict(group.excluded) for group in found.groups if not group.place} == {
        "0": {BROKEN: 3},
        "3": {"whose trial is failed": 2},
        "4": {UNSURE: 3},
    }


def test_a_missing_objective_is_the_best_score_within_the_kl_budget():
    metrics = {"eval/score": np.array([1.0, 2, 9, 3, 4, 4, 4, 4, 4, 4]), "eval/kl": np.array([1.0, 2, 99] + [5] * 7)}
    one = run("a", metrics=metrics, key=1, objective__kl_budget=15.0)
    assert best_update(one) == 5  # 9 is too far, 4 comes first there
    found = compare(source([one]), "key")
    assert found.groups[0].values == {"a": 4.0}
    assert "of 1 run without one the best eval/score within the KL budget" in found.measure.text
    assert best_update(run("b", metrics=metrics, objective__kl_budget=None)) == 3
    assert best_update(run("c", metrics=metrics, objective__kl_budget=0.1)) is None


def test_a_metric_at_the_best_evaluation_and_at_the_end():
    metrics = {
        "eval/score": np.array([1.0, 5, 2, 2, 2, 2, 2, 2, 2, 2]),
        "eval/length": UPDATES * 10,
        "objective/kl": UPDATES,
    }
    runs = [run("a", 5.0, metrics=metrics, key=1), run("b", 5.0, metrics=metrics, key=2, summary={"best_update": 4})]
    found = compare(source(runs), "key", "eval/length")
    assert {group.label: group.estimate.value for group in found.groups} == {"1": 20.0, "2": 40.0}
    found = compare(source(runs), "key", "objective/kl")
    assert found.groups[0].estimate.value == 10.0  # the last tenth: from update 9.1 on
    assert "last 10 %" in found.measure.text
    assert "lower is better" in found.measure.text


def test_without_any_objective_the_training_scores_count():
    runs = [run(name, metrics={"objective/scores": UPDATES * scale}, key=scale) for name, scale in (("a", 1), ("b", 2))]
    found = compare(source(runs), "key")
    assert [group.estimate.value for group in found.groups] == [20.0, 10.0]
    assert "since no run has an objective or an evaluation" in found.measure.text


def judged(name, own, seed, **wins):
    """A run of a reward model, with a win rate under each judge at update 5, the best one."""
    metrics = {f"judge/{judge}/win_rate": at(5, rate) for judge, rate in wins.items()}
    metrics |= {"eval/win_rate": at(5, wins.get(own, 0.9)), "eval/score": at(5, 1.0)}
    return run(name, 100.0, metrics=metrics, reward_model__name=own, seed=seed, summary={"best_update": 5})


def test_reward_models_are_compared_under_the_other_judges():
    runs = [judged(f"a{seed}", "a", seed, a=0.99, b=0.6 + 0.01 * seed, c=0.7) for seed in range(3)]
    runs += [judged(f"b{seed}", "b", seed, a=0.5, b=0.97, c=0.6 + 0.02 * seed) for seed in range(3)]
    found = compare(source(runs), "reward_model")
    assert found.measure.name == OTHER_JUDGES
    assert found.groups[0].label == "a"
    assert found.groups[0].estimate.value == pytest.approx((0.61 + 0.7) / 2)
    assert found.groups[1].estimate.value == pytest.approx((0.5 + 0.62) / 2)
    cell = found.matrix.cells["a", "a"]
    assert (cell.win_rate, cell.is_own, cell.num_runs) == (pytest.approx(0.99), True, 3)
    assert not found.matrix.cells["a", "b"].is_own


def test_without_common_judges_each_is_its_own_and_that_is_said():
    runs = [judged(f"{own}{seed}", own, seed) for own in "ab" for seed in range(2)]
    found = compare(source(runs), "reward_model")
    assert found.measure.name == WIN_RATE
    assert any("each reward model judges its own runs" in note for note in found.notes)
    assert found.matrix is None


def test_the_same_reward_model_everywhere_leaves_the_objective():
    runs = [judged(f"{index}", "a", index, b=0.6) for index in range(4)]
    for index, one in enumerate(runs):
        one.config["ppo.lr"] = index // 2
    found = compare(source(runs), "lr")
    assert found.measure.name == "objective"
    assert found.matrix.judges == ["b", OWN]


def test_the_sweeps_own_matrix_is_used():
    rate = {"mean": 0.8, "low": 0.7, "high": None}
    written = {
        "judges": ["a", "b"],
        "reward_models": [{"reward_model": "a", "judges": {"b": {"win_rate": rate, "num_seeds": 3}}}],
    }
    runs = [judged(f"{own}{seed}", own, seed, a=0.5, b=0.5) for own in "ab" for seed in range(2)]
    found = compare(source(runs, comparison=written), "reward_model").matrix
    assert found.cells["a", "b"].win_rate == 0.8
    assert np.isnan(found.cells["a", "b"].high)
    for broken in ({}, {"reward_models": 3}, {"judges": ["a"], "reward_models": [{"reward_model": "a"}]}, []):
        rebuilt = matrix(source(runs, comparison=broken), grouping(source(runs), "reward_model"))
        assert rebuilt.cells["a", "b"].win_rate == 0.5


def test_one_seed_each_tells_nothing():
    found = compare(source([run("a", 1.0, key=1), run("b", 5.0, key=2)]), "key")
    assert found.winner is None
    assert found.pairs[0].verdict == UNKNOWN
    assert "do not show how much seeds differ, and so not which is better" in statements(found)[0].text


def test_equal_values():
    found = compare(source(seeds([1.0, 1.0], key=1) + seeds([1.0, 1.0], "b", key=2)), "key")
    assert statements(found)[0].text == "all groups have the same value"
    # Runs that agree by chance, as rates of few prompts may, are no evidence.
    found = compare(source(seeds([1.0, 1.0], key=1) + seeds([0.0, 0.0], "b", key=2)), "key")
    assert found.pairs[0].verdict == UNKNOWN


def test_the_same_shift_in_every_setting_is_no_noise_at_all():
    # 0.1 more each, up to rounding in the last digit.
    first = {level: np.array([level + 0.1]) for level in (0.1, 0.2, 0.7, 1.1)}
    second = {level: np.array([level]) for level in first}
    pair = rank({"a": first, "b": second}).pairs[0]
    assert (pair.design, pair.verdict) == (BY_SETTING, UNKNOWN)
    assert np.isnan([pair.low, pair.high, pair.p_value]).all()


def test_large_values_are_rounded_more_and_their_differences_with_them():
    # 0.1 more each, of values whose last digit is 1e-11.
    second = {level: np.array([1e5 * level]) for level in (1.1, 2.3, 3.7, 4.9)}
    first = {level: values + 0.1 for level, values in second.items()}
    shifts = np.concatenate([first[level] - second[level] for level in first])
    assert 1e-12 < np.ptp(shifts) < 1e-10
    assert rank({"a": first, "b": second}).pairs[0].verdict == UNKNOWN


def rated(name, rate, prompts=60, **config):
    """A run whose win rate is its objective; its samples say how many prompts there were."""
    one = run(name, rate, metrics={"eval/win_rate": at(10, rate), "eval/score": at(10, 1.0)}, **config)
    samples = [{"update": update, "prompt": str(prompt)} for update in (5, 10) for prompt in range(prompts)]
    return replace(one, read_samples=lambda: samples)


def test_equal_rates_are_as_uncertain_as_their_prompts():
    runs = [rated(f"{key}{seed}", rate, key=key, seed=seed) for key, rate in ((1, 1.0), (2, 0.5)) for seed in range(3)]
    found = compare(source(runs, metrics=["eval/win_rate"]), "key")
    assert found.measure.num_prompts == 60
    for group, rate in zip(found.groups, (1.0, 0.5), strict=True):
        known = binomtest(round(60 * rate), 60).proportion_ci(method="wilson")
        assert (group.estimate.low, group.estimate.high) == pytest.approx((known.low, known.high))
    assert any("as wide as 60 held-out prompts" in note for note in found.notes)
    assert "[0.9398, 1]" in comparison_text(found)


@pytest.mark.parametrize(
    ("metric", "values"), [("token_rate", [200.0, 201.0, 202.0]), ("eval/win_rate", [67, 67.4, 68])]
)
def test_values_above_1_are_no_shares_whatever_their_name(metric, values):
    runs = [
        run(f"{key}{n}", metrics={metric: np.full(10, x - 9 * key)}, key=key)
        for key in (0, 1)
        for n, x in enumerate(values)
    ]
    found = compare(source(runs), "key", metric)
    assert not found.measure.is_rate
    margin = student.ppf(0.975, 2) * np.std(values, ddof=1) / 3**0.5
    best = found.groups[0].estimate
    assert (best.low, best.high) == pytest.approx((np.mean(values) - margin, np.mean(values) + margin), rel=0.01)
    one = estimates.estimate([np.array(values)])
    assert estimates.of_rate(one, 60) == one


def test_wins_in_percent_are_so_in_the_judges_matrix():
    shares = [judged(f"a{seed}", "a", seed, b=0.5 + 0.01 * seed) for seed in range(3)]
    percents = [judged(f"a{seed}", "a", seed, a=90, b=50 + seed) for seed in range(3)]
    one, other = (compare(source(runs), "reward_model").matrix.cells["a", "b"] for runs in (shares, percents))
    assert (other.win_rate, other.low, other.high) == pytest.approx((one.win_rate, one.low, one.high))
    assert one.win_rate == pytest.approx(0.51)


def test_rm_2_judges_before_rm_10():
    runs = [judged(f"a{seed}", "a", seed, rm_10=0.5, rm_2=0.6, rm_1=0.7) for seed in range(2)]
    assert compare(source(runs), "reward_model").matrix.judges == ["rm_1", "rm_2", "rm_10", OWN]


def students(found):
    return [one.evidence for one in statements(found) if "intervals are Student's" in one.text]


def test_intervals_are_called_students_where_one_is():
    few = compare(source(seeds([1.0], key=1) + seeds([3.0, 4.0, 6.0], "b", key=2)), "key")
    assert students(few) == [{"fewest runs in a group": 3}]
    alike = compare(source(seeds([1.0] * 3, key=1) + seeds([2.0] * 3, "b", key=2)), "key")
    assert not students(alike)
    rates = [rated(f"{key}{seed}", key, key=key, seed=seed) for key in (0.0, 1.0) for seed in range(3)]
    wins = compare(source(rates, metrics=["eval/win_rate"]), "key")
    assert not students(wins)  # Wilson's, of 60 prompts
    rates += [rated(f"c{seed}", rate, key=2, seed=seed) for seed, rate in enumerate((0.3, 0.9))]
    assert students(compare(source(rates, metrics=["eval/win_rate"]), "key")) == [{"fewest runs in a group": 2}]


def test_that_each_run_counts_as_one_prompt_is_said():
    runs = seeds([1.0] * 3, key="a", metrics={"eval/win_rate": np.ones(10)})
    found = compare(source(runs, metrics=["eval/win_rate"]), "key")
    known = binomtest(3, 3).proportion_ci(method="wilson")
    assert found.groups[0].estimate.low == pytest.approx(known.low)
    whose = "for a, whose runs are all alike, each run counts as one prompt"
    assert found.notes[-1] == f"how many prompts the rates are of is unknown: {whose}"
    told = compare(source([rated(str(n), 1.0, key="a") for n in range(3)], metrics=["eval/win_rate"]), "key")
    assert not any("counts as one prompt" in note for note in told.notes)


@pytest.mark.parametrize(
    ("groups", "text"),
    [
        (([9.0], [1.0, 2.0, 3.0]), "it has one run only, so that nothing can be said about noise; more seeds show it"),
        (
            ([8.0, 9.0], [1.0], [2.0]),
            "the others have one run only, so that nothing can be said about noise; more seeds show it",
        ),
        (([9.0] * 3, [1.0] * 3), "runs of a group are all alike, which does not show how much others would differ"),
        (
            ([9.0] * 3, [1.0] * 3, [2.0]),
            "the others have one run only, or runs that are all alike, so that nothing can be said about noise",
        ),
    ],
)
def test_why_nothing_is_known_of_noise(groups, text):
    runs = [one for key, values in enumerate(groups) for one in seeds(values, f"{key}/", key=f"k{key}")]
    assert statements(compare(source(runs), "key"))[0].text == f"k0 has the best value, but {text}"


def test_the_same_difference_in_every_setting_is_told():
    runs = [
        run(f"{key}{other}", key + other, key=key, other=other) for key in (0.0, 1.0) for other in (10.0, 20.0, 40.0)
    ]
    why = "by the same in every setting, which does not show how much other settings would differ"
    assert statements(compare(source(runs), "key"))[0].text == f"1 has the best value, but {why}"


def test_sweeps_are_told_the_key_and_tables_are_not():
    runs = [run("a", 1.0, key=1), run("b", 5.0, key=2)]
    assert statements(compare(source(runs), "key"))[0].text.endswith("; more seeds show it")
    swept = [replace(one, trial=number) for number, one in enumerate(runs)]
    assert statements(compare(source(swept), "key"))[0].text.endswith("; sweep.seeds=3 shows it")


def test_prompts_are_counted_else_those_that_the_config_asks_for():
    config = {"eval__num_prompts": 128}
    counted = [rated(str(seed), 1.0, seed=seed, **config) for seed in range(2)]
    assert num_prompts(counted) == 60
    assert num_prompts([replace(one, read_samples=list) for one in counted]) == 128
    assert num_prompts([*counted, rated("few", 1.0, prompts=20, dataset__path="other")]) == 20
    assert num_prompts([run("a", 1.0)]) is None


def test_equal_values_that_are_no_rates_have_no_interval():
    found = compare(source(seeds([0.7] * 3, key=1) + seeds([0.1, 0.3, 0.2], "b", key=2)), "key")
    first, second = (next(group for group in found.groups if group.label == label) for label in "12")
    assert np.isnan([first.estimate.low, first.estimate.high]).all()
    assert second.estimate.low < 0.2 < second.estimate.high
    assert "[0.7, 0.7]" not in comparison_text(found)
    assert any(note.startswith("no interval for 1, whose runs are all alike") for note in found.notes)
    rates = seeds([3e-4] * 3, key=1, metrics={"learning_rate": np.full(10, 3e-4)})
    assert not compare(source(rates), "key", "learning_rate").measure.is_rate


def test_noise_of_a_pair_by_hand():
    groups = {"a": {(): np.array([9.0, 11.0])}, "b": {(): np.array([4.9, 5.1])}, "c": {(): np.array([-0.1, 0.1])}}
    found = {(pair.first, pair.second): pair for pair in rank(groups).pairs}
    # Squared standard errors 1, 0.01, 0.01, so variances of a run 2, 0.02, 0.02: pooled 0.68, with Satterthwaite's
    # 0.68^2 / ((2 / 3)^2 + 2 (0.02 / 3)^2) = 1.0402 degrees of freedom.
    quantile = student.ppf(0.975, 1.0402)
    assert found["b", "c"].high - 5 == pytest.approx(quantile * 0.68**0.5, rel=0.03)  # more than their own 0.02
    assert found["a", "b"].high - 5 == pytest.approx(quantile * 1.01**0.5, rel=0.03)  # their own
    p_values = {
        names: 2 * student.sf(abs(pair.difference) / ((pair.high - pair.difference) / quantile), 1.0402)
        for names, pair in found.items()
    }
    assert found["a", "c"].p_value == pytest.approx(3 * p_values["a", "c"], rel=0.01)  # the smallest of three
    assert found["b", "c"].p_value == pytest.approx(max(2 * p_values["b", "c"], 3 * p_values["a", "c"]), rel=0.01)


def test_settings_that_hardly_any_run_shares_are_not_compared_within():
    first = {index: np.array([1.0 * index, 1.0 * index + 1]) for index in range(3)}
    second = {index: np.array([1.0 * index, 1.0 * index + 1]) for index in range(2, 5)}
    assert rank({"a": first, "b": second}).pairs[0].design == BY_RUN
    assert rank({"a": first, "b": first | {9: np.array([1.0, 2.0])}}).pairs[0].design == BY_STRATUM


def test_settings_that_both_have_are_compared_within():
    groups = {
        "a": {"x": np.array([1.0, 1.1, 1.2]), "y": np.array([11.0, 11.1, 11.2])},
        "b": {"x": np.array([0.0, 0.1, 0.2]), "y": np.array([10.0, 10.1, 10.2])},
    }
    pair = rank(groups).pairs[0]
    assert (pair.design, pair.verdict, pair.probability.value) == (BY_STRATUM, BETTER, 1.0)
    mixed = {label: {label: np.concatenate(list(strata.values()))} for label, strata in groups.items()}
    pair = rank(mixed).pairs[0]
    assert (pair.design, pair.verdict) == (BY_RUN, NOISE)
    assert pair.probability.value == 0.75  # of nine pairs in each of four settings, all but those of low with high


def test_one_run_for_each_setting_is_paired():
    shifts = [1.0, 1.1, 0.9, 1.05, 0.95]
    groups = {
        "a": {index: np.array([10.0 * index + shift]) for index, shift in enumerate(shifts)},
        "b": {index: np.array([10.0 * index]) for index in range(5)},
    }
    pair = rank(groups).pairs[0]
    assert (pair.design, pair.verdict) == (BY_SETTING, BETTER)
    # Student's interval of the shifts' interquartile mean, by their deviation 0.08 and 4 degrees of freedom.
    assert pair.difference == pytest.approx(1.0)
    assert 0.8 < pair.low < 0.95 < 1.05 < pair.high < 1.2


def test_a_better_mean_from_other_settings_is_seen_through():
    groups = {
        "a": {"x": np.array([1.0, 1.1]), "y": np.array([1.0, 1.1]), "z": np.array([90.0, 91.0])},
        "b": {"x": np.array([5.0, 5.1]), "y": np.array([5.0, 5.1])},
        "c": {"x": np.array([0.0, 0.1]), "y": np.array([0.0, 0.1])},
    }
    groups["a"]["w"] = np.array([92.0, 93.0])
    assert rank(groups).against_best("b").verdict == WORSE


@pytest.mark.parametrize("size", [2, 3, 5, 10])
@pytest.mark.parametrize("num_groups", [2, 4])
def test_false_alarms(monkeypatch, size, num_groups):
    """Groups of one distribution: some pair is called better in 5 % of the comparisons at most.

    Of 6,000 made-up comparisons of 2, 3, 5 and 10 groups each it was 0.1 to 3.6 % for normal values, 0.1 to 1.8 % for
    log-normal ones; the most was 5.1 % for two groups of ten uniform values.
    """
    monkeypatch.setattr(estimates, "RESAMPLES", 200)
    random = np.random.default_rng(10 * size + num_groups)
    draws = [rank({str(group): {(): random.normal(size=size)} for group in range(num_groups)}).pairs for _ in range(60)]
    alarms = sum(any(pair.verdict == BETTER for pair in pairs) for pairs in draws)
    assert alarms <= 6  # if it were 5 %, 97 of 100 such tests would find no more


def test_false_alarms_with_unequal_noise(monkeypatch):
    monkeypatch.setattr(estimates, "RESAMPLES", 200)
    random = np.random.default_rng(5)
    scales = [3.0, 1.0, 1.0, 1.0]
    draws = [
        rank({str(scale) + str(index): {(): scale * random.normal(size=3)} for index, scale in enumerate(scales)}).pairs
        for _ in range(60)
    ]
    assert sum(any(pair.verdict == BETTER for pair in pairs) for pairs in draws) <= 6


def test_a_small_noisy_group_among_quiet_ones_by_hand():
    """Welch's interval: the degrees of freedom of the quiet runs say nothing about the two noisy ones."""
    quiet, noisy = np.array([-1.0, 0.0, 1.0]), np.array([6.0, 16.0])
    ranking = rank({"noisy": {(): noisy}} | {f"quiet {index}": {(): quiet + index / 10} for index in range(4)})
    expected = welch(noisy, quiet, equal_var=False).confidence_interval()
    assert ranking.against_best("quiet 0").low == pytest.approx(expected.low, rel=0.03)


def test_false_alarms_with_unequal_noise_and_sizes(monkeypatch):
    """One of two runs that is ten times as noisy. Of 400 comparisons 7 % called some pair better."""
    monkeypatch.setattr(estimates, "RESAMPLES", 200)
    random, sizes, scales = np.random.default_rng(7), (8, 2, 3, 3, 3), (1.0, 10.0, 1.0, 1.0, 1.0)
    both = [(str(index), *each) for index, each in enumerate(zip(sizes, scales, strict=True))]
    draws = [rank({name: {(): scale * random.normal(size=size)} for name, size, scale in both}) for _ in range(60)]
    # 7 if degrees of freedom are those of all runs.
    assert sum(any(pair.verdict == BETTER for pair in ranking.pairs) for ranking in draws) <= 6


# The winner was found in 41, 97 and 100 % of 6,000 comparisons of two groups of 2, 3 and 5 runs, 5 deviations apart,
# and in 20, 90 and 100 % of those of three groups.
@pytest.mark.parametrize(("size", "found_at_least"), [(2, 0.2), (3, 0.85), (5, 0.97)])
def test_power(monkeypatch, size, found_at_least):
    monkeypatch.setattr(estimates, "RESAMPLES", 200)
    random = np.random.default_rng(size)
    winners = [
        rank({"a": {(): random.normal(5, 1, size)}, "b": {(): random.normal(size=size)}}).winner for _ in range(60)
    ]
    assert winners.count("b") == 0
    assert winners.count("a") / 60 >= found_at_least


def test_the_winner_must_beat_every_other_group():
    noise = np.array([-0.1, 0.0, 0.1])
    near = rank({"a": {(): noise + 1}, "b": {(): noise + 0.95}, "c": {(): noise}})
    assert near.winner is None
    assert [near.against_best(label).verdict for label in "bc"] == [NOISE, BETTER]
    assert rank({"a": {(): noise + 2}, "b": {(): noise + 1}, "c": {(): noise}}).winner == "a"


def test_a_number_with_many_values_is_compared_in_ranges():
    random = np.random.default_rng(0)
    lrs = sorted(random.uniform(1e-5, 1e-3, size=16))
    runs = [run(f"{index}", float(index), ppo__lr=lr, ppo__kl_coef=index % 3) for index, lr in enumerate(lrs)]
    found = compare(source(runs), "lr")
    assert [len(group.values) for group in found.groups] == [4, 4, 4, 4]
    assert [group.estimate.value for group in found.groups] == [13.5, 9.5, 5.5, 1.5]
    assert any("grouped into 4 ranges" in note for note in found.notes)
    assert any("no setting has two seeds" in note for note in found.notes)
    # A grid of as many values with seeds stays what it is.
    grid = [run(f"{lr}/{seed}", 1.0, ppo__lr=lr, seed=seed) for lr in lrs for seed in range(2)]
    assert len(compare(source(grid), "lr").groups) == 16


def test_groups_that_differ_in_other_settings_say_so():
    runs = [*seeds([1.0, 2.0, 3.0], key=1, other=1), *seeds([1.0, 2.0, 3.0], "b", key=2, other=2)]
    assert any("also differ in other" in note for note in compare(source(runs), "key").notes)


@pytest.mark.parametrize("value", [None, True, "text", [1, 2], {"a": 1}, float("nan")])
def test_odd_config_values(value):
    runs = [*seeds([1.0, 2.0], key=value), *seeds([1.0, 2.0], "b", key=0.5)]
    found = compare(source(runs), "key")
    assert len(found.groups) == 2
    assert len({group.label for group in found.groups}) == 2


def test_groups_without_a_value_come_last():
    runs = [run for key in (1, 2, 3) for run in seeds([1.0 * key], str(key), key=key)]
    runs += [replace(run, state=PRUNED) for key in (0, 1.5, 2.5, 4) for run in seeds([1.0], f"p{key}", key=key)]
    found = compare(source(runs), "key")
    assert [group.place for group in found.groups] == [1, 2, 3, 0, 0, 0, 0]
    assert [group.label for group in found.groups][:3] == ["3", "2", "1"]


def test_values_that_look_alike_stay_apart():
    runs = [*seeds([1.0, 2.0], key=1), *seeds([1.0, 2.0], "b", key="1")]
    assert len(compare(source(runs), "key").groups) == 2
    runs = [*seeds([1.0, 2.0], key=0.123456), *seeds([1.0, 2.0], "b", key=0.123457)]
    assert {group.label for group in compare(source(runs), "key").groups} == {"0.123456", "0.123457"}


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
def test_without_values_nothing_is_compared(metrics):
    damaged = {"best": [3], "best_update": "x"}
    runs = [run(f"{index}", metrics=metrics, summary=damaged, key=index) for index in range(2)]
    found = compare(source(runs), "key")
    assert found.ranking is None
    assert "nothing to compare" in comparison_text(found)


def test_a_run_without_updates():
    empty = RunRecord("a", {"update": np.empty(0), "eval/score": np.empty(0)}, {"key": 1})
    assert compare(source([empty]), "key").groups[0].estimate is None


def test_text_is_narrow_and_names_the_answer():
    names = [f"{'long' * 20}{index}" for index in range(40)]
    runs = [run(f"{key}/{seed}", key + 0.01 * seed, key=name) for key, name in enumerate(names) for seed in range(3)]
    text = comparison_text(compare(source(runs), "key"))
    assert max(map(len, text.splitlines())) <= 120
    assert "is better than every other group by more than noise" in text
    assert "and 25 more groups" in text
    assert "fewer than 5 runs in a group" in text


def test_settings_that_few_runs_of_one_group_have_are_no_ground_to_compare_on() -> None:
    """All runs of the first group are of setting 1, of the second only two of six: less than half."""
    groups = {
        "a": {1: np.array([1.0, 2.0])},
        "b": {1: np.array([1.5, 2.5]), 2: np.array([3.0, 4.0]), 3: np.array([5.0, 6.0])},
    }
    (pair,) = rank(groups).pairs
    assert pair.design == BY_RUN
    (pair,) = rank({"a": groups["a"], "b": {key: groups["b"][key] for key in (1, 2)}}).pairs
    assert pair.design == BY_STRATUM


def test_ranges_are_named_by_their_ends() -> None:
    runs = [run(f"r{n}", float(n), seed=n, lr=n / 100) for n in range(1, 17)]
    found = compare(source(runs, space=axes({"lr": "interval(0,1)"})), "lr")
    assert sorted(group.label for group in found.groups) == [
        "0.01 to 0.04", "0.05 to 0.08", "0.09 to 0.12", "0.13 to 0.16",
    ]  # fmt: skip


def test_other_keys_are_those_that_are_not_compared_by() -> None:
    runs = [run(f"{a}{b}{c}", 1.0, a=a, b=b, c=c) for a in (1, 2) for b in (1, 2) for c in (1, 2)]
    assert grouping(source(runs), "a,b").others == ["c"]
    assert grouping(source(runs), "a").others == ["b", "c"]
    assert grouping(source(runs), "run").others == []


def test_two_settings_have_one_degree_of_freedom_and_an_interval() -> None:
    """Differences of 1 and 2: mean 1.5, standard error 0.5, Student's quantile 12.706."""
    groups = {"a": {1: np.array([3.0]), 2: np.array([5.0])}, "b": {1: np.array([2.0]), 2: np.array([3.0])}}
    (pair,) = rank(groups).pairs
    assert (pair.low, pair.high) == pytest.approx((1.5 - 12.7062 * 0.5, 1.5 + 12.7062 * 0.5), rel=0.03)


def test_a_measure_says_what_and_when_it_measured() -> None:
    metrics = {"eval/score": at(5, 1.0), "eval/length": at(5, 30.0), "loss/policy_avg": UPDATES, "eval/kl": at(5, 2.0)}
    runs = [run(f"r{n}", 1.0, metrics=metrics, key=n) for n in (1, 2)]

    def text(metric):
        return compare(source(runs), "key", metric).measure.text

    assert text("eval/length") == "eval/length at each run's best evaluation (higher is better)"
    assert text("loss/policy_avg") == "loss/policy_avg as the mean over the last 10 % of updates (lower is better)"
    assert text(None) == "objective (eval/score)"
    minimized = source(runs, metrics=["eval/kl", "eval/score"], directions=["minimize", "maximize"])
    assert compare(minimized, "key").measure.text == "objective (eval/kl, the first of several, lower is better)"


def test_prompts_are_those_of_a_whole_evaluation() -> None:
    """Of the last evaluation only three samples were written before the run was cut."""
    written = [{"update": 5}] * 60 + [{"update": 10}] * 3
    one = replace(run("a", 1.0), read_samples=lambda: written)
    assert num_prompts([one]) == 60
    rate = {"objective/truncated_rate": UPDATES / 20, "eval/win_rate": at(5, 0.5), "eval/score": at(5, 1.0)}
    runs = [replace(run(name, 1.0, metrics=rate, key=name), read_samples=lambda: written) for name in "ab"]
    assert compare(source(runs), "key", "eval/win_rate").measure.num_prompts == 60
    assert compare(source(runs), "key", "objective/truncated_rate").measure.num_prompts is None  # no held-out prompts
