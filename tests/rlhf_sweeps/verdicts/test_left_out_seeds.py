"""What a setting chosen as the best comes to on a seed that did not choose it; every expectation by hand."""

from typing import Any

import numpy as np
import pytest

from rlhf_sweeps.verdicts.final_policies import read_confirmed_score
from rlhf_sweeps.verdicts.left_out_seeds import (
    LeftOut,
    SettingBySeed,
    choose_for_each_seed,
    measure_left_out,
    write_left_out,
)


def on_seeds(*rows: dict[int, float]) -> list[SettingBySeed]:
    return [SettingBySeed(row, {}) for row in rows]


def on_test_seeds(*rows: tuple[float, dict[int, float]]) -> list[SettingBySeed]:
    """Settings with one seed that chooses, 0, and test seeds."""
    return [SettingBySeed({0: worth}, row) for worth, row in rows]


def unconfirmed(place: int, seed: int) -> None:
    return None


# Without seed 0 the means are 1.5 and 2; without seed 1 they are 4 and 1; without seed 2 they are 3.5 and 1.
ROWS = ({0: 6.0, 1: 1.0, 2: 2.0}, {0: 0.0, 1: 2.0, 2: 2.0})


def test_each_seed_is_measured_where_the_others_choose() -> None:
    settings = on_seeds(*ROWS)
    assert choose_for_each_seed(settings, "maximize") == {0: 1, 1: 0, 2: 0}
    # The second on seed 0, the first on seeds 1 and 2: (0 + 1 + 2) / 3, where the best of both has 9 / 3.
    assert measure_left_out(settings, "maximize", unconfirmed) == LeftOut(1.0, [0, 1, 2], False, None)
    # Lower is better: the first on seed 0, the second on the others: (6 + 2 + 2) / 3.
    assert choose_for_each_seed(settings, "minimize") == {0: 0, 1: 1, 2: 1}
    figure = measure_left_out(settings, "minimize", unconfirmed)
    assert figure is not None
    assert figure.mean == pytest.approx(10 / 3)


def test_of_equal_settings_the_first_is_chosen() -> None:
    assert choose_for_each_seed(on_seeds({0: 1.0, 1: 1.0}, {0: 1.0, 1: 1.0}), "maximize") == {0: 0, 1: 0}


def test_there_is_no_figure_without_a_choice_or_another_seed() -> None:
    for settings in ([], on_seeds(ROWS[0]), on_seeds({0: 1.0}, {0: 2.0}), on_seeds({0: 1.0, 1: 2.0}, {2: 1.0, 3: 2.0})):
        assert choose_for_each_seed(settings, "maximize") == {}
        assert measure_left_out(settings, "maximize", unconfirmed) is None
    # One tested setting is no choice, however many others there are.
    alone = [*on_test_seeds((3.0, {7: 1.0, 8: 2.0})), *on_seeds(*ROWS)]
    assert choose_for_each_seed(alone, "maximize") == {}


def test_a_seed_that_a_setting_lacks_chooses_and_is_not_left_out() -> None:
    """Without seed 1 the means are 6 and (1 + 5 + 9) / 3 = 5, without seed 0 they are 1 and 6."""
    settings = on_seeds({0: 6.0, 1: 1.0}, {0: 1.0, 1: 4.0, 2: 5.0, 3: 9.0})
    assert choose_for_each_seed(settings, "maximize") == {0: 1, 1: 0}


def test_a_seed_that_pruned_settings_is_not_left_out() -> None:
    """What remained was lucky on it. It still chooses, as it did in the sweep."""
    assert choose_for_each_seed(on_seeds(*ROWS), "maximize", {0}) == {1: 0, 2: 0}
    assert choose_for_each_seed(on_seeds(*ROWS), "maximize", {0, 1, 2}) == {}
    # Test seeds prune nothing, although a seed may have the same number.
    both = on_test_seeds((3.0, {7: 1.0, 8: 2.0}), (2.0, {7: 3.0, 8: 1.0}))
    assert choose_for_each_seed(both, "maximize", {0, 7, 8}) == {7: 0, 8: 1}


def test_test_seeds_are_left_out_among_the_tested_settings() -> None:
    """Without 7 the second, tested setting has 0 and the third 3; without 8 they have 5 and 2; the first cannot win."""
    settings = [*on_seeds({0: 99.0}), *on_test_seeds((3.0, {7: 5.0, 8: 0.0}), (2.0, {7: 2.0, 8: 3.0}))]
    assert choose_for_each_seed(settings, "maximize") == {7: 2, 8: 1}
    assert measure_left_out(settings, "maximize", unconfirmed) == LeftOut(1.0, [7, 8], True, None)  # (2 + 0) / 2


def test_without_the_only_test_seed_the_seeds_before_choose() -> None:
    settings = on_test_seeds((3.0, {7: 1.0}), (2.0, {7: 5.0}))
    assert measure_left_out(settings, "maximize", unconfirmed) == LeftOut(1.0, [7], True, None)


LIMIT = "eval/kl<=5"


def with_limit(*rows: tuple[dict[int, float], dict[int, float]]) -> list[SettingBySeed]:
    """Settings with their values and with the excesses over a limit, by seed."""
    return [
        SettingBySeed(values, {}, {seed: {LIMIT: excess} for seed, excess in excesses.items()})
        for values, excesses in rows
    ]


# The first one has the higher mean without every seed.
LIMITED = ({0: 4.0, 1: 5.0, 2: 6.0}, {0: 1.0, 1: 2.0, 2: 3.0})


def test_the_seed_left_out_has_no_part_in_the_constraints() -> None:
    """The first has excesses of (-3 + 3) / 2 = 0 without seed 0, (-2 + 3) / 2 without 1, (-2 - 3) / 2 without 2."""
    settings = with_limit((LIMITED[0], {0: -2.0, 1: -3.0, 2: 3.0}), (LIMITED[1], {0: -1.0, 1: -1.0, 2: -1.0}))
    assert choose_for_each_seed(settings, "maximize") == {0: 0, 1: 1, 2: 0}
    assert measure_left_out(settings, "maximize", unconfirmed) == LeftOut(
        4.0, [0, 1, 2], False, None
    )  # (4 + 2 + 6) / 3
    # Over all seeds the first breaks the limit, but not without seed 2.
    settings = with_limit((LIMITED[0], {0: -2.0, 1: -3.0, 2: 6.0}), (LIMITED[1], {0: -1.0, 1: -1.0, 2: -1.0}))
    assert choose_for_each_seed(settings, "maximize") == {0: 1, 1: 1, 2: 0}


def test_a_seed_without_which_no_setting_keeps_the_constraints_gives_no_value() -> None:
    """Both keep the limit over all seeds, and break it without seed 1, whose mean excess is (-1 + 3) / 2 there."""
    settings = with_limit(*((values, {0: -1.0, 1: -9.0, 2: 3.0}) for values in LIMITED))
    assert choose_for_each_seed(settings, "maximize") == {0: 0, 2: 0}
    # No setting keeps it over all seeds, so that there is no best one to report, but without seed 2 both keep it.
    settings = with_limit(*((values, {0: -1.0, 1: -1.0, 2: 3.0}) for values in LIMITED))
    assert choose_for_each_seed(settings, "maximize") == {}


def test_test_seeds_have_no_part_in_the_constraints() -> None:
    """The last one breaks the limit and cannot be chosen, although it is the best on the test seeds."""
    both = on_test_seeds((3.0, {7: 1.0, 8: 2.0}), (2.0, {7: 3.0, 8: 1.0}))
    broken = SettingBySeed({0: 9.0}, {7: 9.0, 8: 9.0}, {0: {LIMIT: 0.1}})
    assert choose_for_each_seed([*both, broken], "maximize") == {7: 0, 8: 1}


def test_the_figure_is_unbiased_where_a_limit_is_on_what_goes_with_the_score() -> None:
    """500 sweeps of 16 equal settings on 3 seeds, whose excesses over a limit correlate -0.7 with the values.

    So what keeps the limit is lucky. When the seed left out had a part in the constraints, the bias was +0.40 (0.03).
    """
    random = np.random.default_rng(11)
    figures = []
    for _ in range(500):
        values = random.normal(size=(16, 3))
        excesses = 0.5 - 0.7 * values + np.sqrt(1 - 0.7**2) * random.normal(size=(16, 3))
        rows = [(dict(enumerate(row)), dict(enumerate(excess))) for row, excess in zip(values, excesses, strict=True)]
        figure = measure_left_out(with_limit(*rows), "maximize", unconfirmed)
        figures += [] if figure is None else [figure.mean]
    assert len(figures) > 450
    assert abs(np.mean(figures)) < 4 * np.std(figures) / np.sqrt(len(figures))


def test_scores_on_confirming_prompts_count_if_all_of_these_runs_have_one() -> None:
    scores = {(1, 0): 0.5, (0, 1): 1.5, (0, 2): 4.0}  # setting and seed; other runs are not asked
    figure = measure_left_out(on_seeds(*ROWS), "maximize", lambda place, seed: (scores[place, seed], 70 + seed))
    assert figure == LeftOut(2.0, [0, 1, 2], False, 70)
    lacking = measure_left_out(on_seeds(*ROWS), "maximize", lambda place, seed: None if seed == 2 else (9.0, 70))
    assert lacking == LeftOut(1.0, [0, 1, 2], False, None)


def test_the_sentence_names_the_quantity_and_what_was_left_out() -> None:
    meaning = "what a setting chosen in this way comes to on a seed"
    seeds = f"{meaning} that did not choose it (each of 3 seeds left out in turn)"
    assert write_left_out(LeftOut(1.0512, [0, 1, 2], False, None), "objective") == f"to report: objective 1.05, {seeds}"
    alone = f"{meaning} that did not choose it (test seed 7 left out)"
    assert write_left_out(LeftOut(1.0, [7], True, None), "objective") == f"to report: objective 1, {alone}"
    confirmed = f"{meaning} and prompts that did not choose it (each of 2 test seeds left out in turn, 72 confirming"
    assert write_left_out(LeftOut(1.0, [7, 8], True, 72), "objective") == f"to report: score 1, {confirmed} prompts)"


@pytest.mark.parametrize(("shared", "num_tests"), [(0.0, 0), (0.5, 0), (0.5, 3)])
def test_the_figure_has_no_bias_where_nothing_differs(shared: float, num_tests: int) -> None:
    """500 sweeps of 16 settings on 3 seeds, or on one seed with the best three on test seeds; a run deviates by 1.

    The standard error is that of the figures themselves. The figure of the best is biased by 1.02 (the expected highest
    of 16 standard normal values is 1.77 times 1 / sqrt(3)) if seeds share nothing.
    """
    random = np.random.default_rng(7)
    figures, best = [], []
    num_seeds = num_tests or 3
    for _ in range(500):
        by_seed = np.sqrt(shared) * random.normal(size=num_seeds + 1)
        values = by_seed + np.sqrt(1 - shared) * random.normal(size=(16, num_seeds + 1))
        if num_tests:
            finalists = set(np.argsort(-values[:, 0])[:3].tolist())
            tests = [
                dict(enumerate(row[1:], start=7)) if place in finalists else {} for place, row in enumerate(values)
            ]
            settings = [SettingBySeed({0: row[0]}, test) for row, test in zip(values, tests, strict=True)]
        else:
            settings = on_seeds(*(dict(enumerate(row[1:])) for row in values))
        figure = measure_left_out(settings, "maximize", unconfirmed)
        assert figure is not None
        figures.append(figure.mean)
        best.append(max(np.mean(list((each.tested or each.chosen).values())) for each in settings))
    assert abs(np.mean(figures)) < 4 * np.std(figures) / np.sqrt(500)
    assert np.std(figures) < 1
    if not num_tests and not shared:
        assert np.mean(best) == pytest.approx(1.02, abs=0.06)


ROW = {"update": 2, "prompt": "a", "score": 5.0, "base_score": 1.0}
SUMMARY: dict[str, Any] = {
    "objective": 1.25,
    "best": {"update": 2, "kl": 3.0, "score": 1.25},
    "confirmed": {"update": 2, "num_prompts": 1, "eval/kl": 4.0, "eval/score": 5.0},
}


def test_a_confirmed_score_stands_for_the_objective_of_the_same_policy() -> None:
    assert read_confirmed_score(SUMMARY, [ROW]) == (5.0, 1)
    # The objective is another quantity; there is no best one within the KL budget; nothing was confirmed.
    assert read_confirmed_score({**SUMMARY, "objective": 1.0}, [ROW]) is None
    assert read_confirmed_score({**SUMMARY, "objectives": [1.25, 3.0]}, [ROW]) is None
    assert read_confirmed_score({**SUMMARY, "best": None, "last": SUMMARY["best"]}, [ROW]) is None
    assert read_confirmed_score({**SUMMARY, "confirmed": None}, [ROW]) is None
    assert read_confirmed_score({}, []) is None
