"""Who is better on other seeds and prompts: by hand, by how often it is wrong, and the same at every place."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from helpers.judged_sweeps import drawn, judged_source, written
from scipy import stats

from analysis.comparison.compare import compare_groups
from analysis.comparison.own_matrix import NOT_BEST
from analysis.results.other_judges import find_rates_by_others
from analysis.results.results import Results
from analysis.views.comparison_sentences import write_comparison_answer, write_comparison_statements
from analysis.views.noise import write_noise_sentences
from rlhf_sweeps.sweep.comparison_table import write_table
from rlhf_sweeps.verdicts.crossed import compare_by_prompt
from rlhf_sweeps.verdicts.pairs import BETTER, BY_PROMPT, NOISE, UNKNOWN


def test_one_pair_by_hand() -> None:
    """Two seeds, three prompts; every mean square below is of these few numbers."""
    first = np.array([[4.0, 5.0, 9.0], [6.0, 7.0, 11.0]])  # prompts 5, 6, 10; seeds 6, 8; no error
    second = np.array([[1.0, 2.0, 3.0], [2.0, 1.0, 3.0]])  # prompts 1.5, 1.5, 3; seeds 2, 2; error below
    (found,) = compare_by_prompt({"b": second, "a": first})
    # By prompt 3.5, 4.5 and 7: variance 13 / 4 - their mean is 5.
    prompts = (1.5**2 + 0.5**2 + 2**2) / 2 / 3
    # The seeds of the first deviate by root 2, those of the second not at all: 2 / 2, as is half of it over all groups.
    seeds = 2.0 / 2
    # Residuals of the second: -0.5, 0.5, 0 and 0.5, -0.5, 0, with two degrees of freedom.
    error = (4 * 0.25) / 2 / 6
    variance = prompts + seeds - error
    freedom = variance**2 / (prompts**2 / 2 + seeds**2 / 1 + error**2 / 2)
    assert (found.first, found.second, found.value) == ("a", "b", 5.0)
    assert found.p_value == pytest.approx(2 * stats.t.sf(5 / math.sqrt(variance), freedom))
    assert found.high == pytest.approx(5 + stats.t.ppf(0.975, freedom) * math.sqrt(variance))


def test_one_seed_is_students_paired_test_and_never_better() -> None:
    random = np.random.default_rng(0)
    far, near = random.random((1, 40)), random.random((1, 40)) + 0.05
    (found,) = compare_by_prompt({"a": near + 1.0, "b": far})
    assert found.p_value == pytest.approx(stats.ttest_rel((near + 1.0)[0], far[0]).pvalue)
    assert found.verdict == UNKNOWN
    (found,) = compare_by_prompt({"a": near, "b": far})
    assert found.p_value == pytest.approx(stats.ttest_rel(near[0], far[0]).pvalue)
    assert found.verdict == NOISE


def test_a_prompt_that_is_hard_for_both_is_no_noise_and_seeds_that_differ_are() -> None:
    hard = np.tile(np.linspace(0, 1, 60), (3, 1))
    level = np.array([[-0.01], [0.0], [0.01]])
    assert [one.verdict for one in compare_by_prompt({"a": hard + level + 0.1, "b": hard + level})] == [BETTER]
    assert [one.verdict for one in compare_by_prompt({"a": hard + 20 * level + 0.1, "b": hard + 20 * level})] == [NOISE]


def test_seeds_of_one_pair_that_happen_to_agree_are_no_certainty() -> None:
    """Seeds of the third deviate by 0.4, those of the others by nothing: 0.16 x 2 / 6 of variance over all."""
    prompts = np.random.default_rng(0).normal(0, 0.02, 60)
    alike, other = np.tile(prompts, (3, 1)), np.tile(0 * prompts, (3, 1))
    pair = {"a": alike + 0.1, "b": other}
    assert [one.verdict for one in compare_by_prompt(pair)] == [BETTER]
    third = other - 0.5 + np.array([[-0.4], [0.0], [0.4]])
    best, *_ = compare_by_prompt(pair | {"c": third})
    assert (best.first, best.second, best.verdict) == ("a", "b", NOISE)


def test_wins_that_are_all_alike_are_told_from_losses_and_not_from_wins() -> None:
    won, lost = np.ones((3, 60)), np.zeros((3, 60))
    assert [one.verdict for one in compare_by_prompt({"a": won, "b": lost})] == [BETTER]
    assert [one.verdict for one in compare_by_prompt({"a": won, "b": won})] == [NOISE]
    single = [(one.verdict, one.p_value) for one in compare_by_prompt({"a": won[:, :1], "b": lost[:, :1]})]
    assert single == [(UNKNOWN, None)]


@pytest.mark.parametrize(
    ("num_groups", "num_seeds", "prompt_deviation", "seed_deviation"),
    [(2, 3, 0.15, 0.01), (2, 3, 0.3, 0.05), (2, 2, 0.15, 0.05), (4, 2, 0.15, 0.08), (5, 3, 0.3, 0.02)],
)
def test_groups_that_do_not_differ_are_seldom_called_better(
    num_groups: int, num_seeds: int, prompt_deviation: float, seed_deviation: float
) -> None:
    """5 % of families at most; 400 families, so that 7.5 % is beyond two standard errors."""
    random = np.random.default_rng(num_groups)
    names = {str(place): 0.65 for place in range(num_groups)}
    wrong = 0
    for _ in range(400):
        wins = drawn(random, names, num_seeds, 120, prompt_deviation, seed_deviation)
        wrong += any(one.verdict == BETTER for one in compare_by_prompt({name: wins[name]["judge"] for name in wins}))
    assert wrong / 400 <= 0.075


def test_the_sweeps_last_lines_and_the_report_say_the_same() -> None:
    """Sixty sweeps of two reward models, three seeds and 120 prompts: true win rates 0.74 and 0.62."""
    random = np.random.default_rng(4)
    num_better = 0
    for _ in range(60):
        wins = drawn(random, {"one": 0.74, "two": 0.62})
        source = judged_source(wins, json.loads(json.dumps(written(wins))))
        assert source.comparison is not None
        is_noise = "within noise of" in write_table(source.comparison)
        found = compare_groups(source, "reward_model")
        (pair,) = found.pairs
        assert (pair.verdict == NOISE) == is_noise
        assert (found.winner is None) == is_noise
        assert ("better than every other group by more than noise" in write_comparison_answer(found).text) != is_noise
        (sentence,) = write_noise_sentences(Results(source).ranking)
        assert sentence.startswith("No: " if is_noise else "Yes: ")
        num_better += not is_noise
    assert 25 <= num_better <= 50  # 0.12 are three standard errors; both answers are tried


def test_a_reward_model_is_worth_the_same_at_the_end_and_in_the_report() -> None:
    """Four seeds, 10 prompts: a wins 5, 6, 6 and 9 of 10, the mean of which is 0.65, and b 6 of 10 with each."""
    counts = {"a": [5, 6, 6, 9], "b": [6, 6, 6, 6]}
    judged = {name: [[1.0] * won + [0.0] * (10 - won) for won in seeds] for name, seeds in counts.items()}
    wins = {name: {name: np.zeros((4, 10)), "judge": np.array(rows)} for name, rows in judged.items()}
    source = judged_source(wins, json.loads(json.dumps(written(wins))))
    found = compare_groups(source, "reward_model")
    assert [(group.label, group.estimate and group.estimate.value) for group in found.groups] == [
        ("a", pytest.approx(0.65)),
        ("b", pytest.approx(0.6)),
    ]
    assert found.pairs[0].difference == pytest.approx(0.05)
    assert source.comparison is not None
    for group, ranked in zip(found.groups, source.comparison["ranking"], strict=True):
        assert group.estimate is not None
        assert (group.estimate.low, group.estimate.high) == (ranked["low"], ranked["high"])
    assert "Student's" not in " ".join(statement.text for statement in write_comparison_statements(found))
    assert find_rates_by_others(source) == pytest.approx({"a": 0.65, "b": 0.6})


def test_test_seeds_of_reward_models_change_no_verdict_and_are_told() -> None:
    wins = {name: rows | {"judge": rows["judge"][:2]} | {name: rows[name][:2]}
            for name, rows in drawn(np.random.default_rng(4), {"one": 0.74, "two": 0.62}).items()}  # fmt: skip
    source = judged_source(wins)
    before = compare_groups(source, "reward_model")
    tests = {"one": 0.25, "two": 0.75}
    runs = []
    for one in source.runs:
        rate = np.where(one.metrics["update"] == 10, tests[str(one.look_up("reward_model"))], np.nan)
        metrics = {**one.metrics, "judge/judge/win_rate": rate}
        runs.append(replace(one, name=f"test/{one.name}", is_test=True, metrics=metrics))
    after = compare_groups(replace(source, runs=[*source.runs, *runs]), "reward_model")
    assert after.pairs == before.pairs
    assert [group.estimate for group in after.groups] == [group.estimate for group in before.groups]
    assert any(
        "on test seeds" in note and "25 % for one (2 runs) and 75 % for two (2 runs)" in note for note in after.notes
    )


def test_a_reward_model_stands_with_its_best_setting_everywhere() -> None:
    """The worse setting of each has other wins, which neither the sweep nor the report counts."""
    random = np.random.default_rng(1)
    best, worse = drawn(random, {"one": 0.9, "two": 0.4}), drawn(random, {"one": 0.1, "two": 0.9})
    source = judged_source(best)
    others = judged_source(worse)
    trials = [
        *(type(one)(**{**vars(one), "settings": {**one.settings, "ppo.lr": "0.1"}}) for one in source.trials),
        *(type(one)(**{**vars(one), "number": one.number + 2, "settings": {**one.settings, "ppo.lr": "0.2"}})
          for one in others.trials),
    ]  # fmt: skip
    runs = [
        type(run)(**{**vars(run), "name": f"{trial.number}/{run.seed}", "trial": trial.number})
        for trial in trials
        for run in trial.runs
    ]
    found = compare_groups(type(source)(**{**vars(source), "runs": runs, "trials": trials}), "reward_model")
    assert found.winner == "one"
    assert [group.excluded for group in found.groups] == [{NOT_BEST: 3}] * 2
    assert {pair.design for pair in found.pairs} == {BY_PROMPT}
    assert any("each reward model is represented by its best setting" in note for note in found.notes)


def test_a_comparison_of_before_is_read_by_its_runs() -> None:
    wins = drawn(np.random.default_rng(1), {"one": 0.9, "two": 0.4})
    old = {key: value for key, value in written(wins).items() if key != "pairs"}
    (pair,) = compare_groups(judged_source(wins, old), "reward_model").pairs
    assert (pair.first, pair.verdict) == ("one", BETTER)
    assert pair.design != BY_PROMPT
