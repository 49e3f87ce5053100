"""What other prompts add to the noise of a difference: by hand, and by how often settings are told apart."""

import math
from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from rlhf_sweeps.verdicts import estimates
from rlhf_sweeps.verdicts.differences import BY_RUN, BY_SETTING, BY_STRATUM
from rlhf_sweeps.verdicts.other_prompts import PromptNoise, compare_on_prompts, measure_prompt_noise, tabulate_scores
from rlhf_sweeps.verdicts.pairs import UNKNOWN, GroupPair, GroupRanking, rank
from rlhf_sweeps.verdicts.two_way import measure_squares

# Three seeds and four prompts. Means of the seeds: 3, 4 and 5; of the prompts: 1, 3, 5 and 7; of all: 4.
TABLE = np.array([[0.5, 1.5, 4.0, 6.0], [1.0, 3.0, 5.5, 6.5], [1.5, 4.5, 5.5, 8.5]])


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """The intervals of groups are not looked at."""
    monkeypatch.setattr(estimates, "RESAMPLES", 100)


def test_mean_squares_by_hand() -> None:
    squares = measure_squares(TABLE)
    assert squares.rows == pytest.approx(4 * (1 + 0 + 1) / 2)
    assert squares.columns == pytest.approx(3 * (9 + 1 + 1 + 9) / 3)
    # Eight residuals of 0.5 or -0.5, and four of 0, have 2 x 3 degrees of freedom.
    residuals = [[0.5, -0.5, 0, 0], [0, 0, 0.5, -0.5], [-0.5, 0.5, -0.5, 0.5]]
    assert np.array([[0, 2, 4, 6], [1, 3, 5, 7], [2, 4, 6, 8]]) + residuals == pytest.approx(TABLE)
    assert squares.residual == pytest.approx(8 * 0.25 / 6)
    assert (squares.row_freedom, squares.column_freedom, squares.residual_freedom) == (2, 3, 6)


def test_the_variance_of_prompts_by_hand() -> None:
    noise = measure_prompt_noise([TABLE])
    assert noise.variance == pytest.approx((20 - 1 / 3) / 3 / 4)
    error, freedom = noise.widen(2.0, 2.0)
    variance = 4 + (20 - 1 / 3) / 12
    assert error == pytest.approx(math.sqrt(variance))
    assert freedom == pytest.approx(variance**2 / (16 / 2 + (20 / 12) ** 2 / 3 + (1 / 36) ** 2 / 6))


def test_a_seed_alone_shows_prompts_and_no_residual() -> None:
    noise = measure_prompt_noise([TABLE[1:2]])
    values = [1.0, 3.0, 5.5, 6.5]
    assert noise.variance == pytest.approx(sum((value - 4) ** 2 for value in values) / 3 / 4)
    assert noise.residuals == []
    assert noise.widen(math.nan, 0.0)[1] == 0.0  # the noise between seeds stays unknown


def test_prompts_that_differ_less_than_answers_add_nothing_and_the_degrees_of_freedom_have_a_least() -> None:
    noise = PromptNoise(1.0, 3, [(1.5, 6)])
    assert noise.variance == 0.0
    error, freedom = noise.widen(1.0, 2.0)
    assert (error, freedom) == (1.0, 2.0)  # 1 / (1/2 + 1/3 + 2.25/6) is 0.83


def test_groups_on_other_seeds_are_compared_by_their_means_on_each_prompt() -> None:
    """The second group has two seeds; the residuals of each group count by its own number of runs."""
    other = np.array([[0.0, 0.0, 1.0, 1.0], [0.0, 2.0, 1.0, 3.0]])
    noise = measure_prompt_noise([TABLE], [other])
    # Means of the second: 0, 1, 1, 2, so differences 1, 2, 4 and 5; seeds 0.5 and 1.5; residuals 0.5, -0.5, 0.5, -0.5.
    assert noise.whole == pytest.approx((4 + 1 + 1 + 4) / 3 / 4)
    assert noise.residuals == [
        (pytest.approx(1 / 3 / 3 / 4), 6), (pytest.approx(8 * 0.25 / 3 / 2 / 4), 3),
    ]  # fmt: skip


def test_runs_of_several_settings_have_a_residual_within_each_setting() -> None:
    noise = measure_prompt_noise([TABLE, TABLE + 5.0])
    # A residual mean square of 1/3; half of the six runs are in each setting.
    assert noise.residuals == [(pytest.approx(3 / 36 / 3 / 4), 6)] * 2


def test_prompts_without_a_score_are_left_out_and_half_of_them_must_be_left() -> None:
    wide = np.hstack([TABLE, TABLE + 100.0])
    wide[0, 4:] = math.nan
    noise = compare_on_prompts([wide])
    assert noise is not None
    assert noise.variance == pytest.approx((20 - 1 / 3) / 3 / 4)
    wide[1, 0] = math.nan  # three prompts of eight are left to all runs, and seven to two of them
    noise = compare_on_prompts([wide])
    assert noise is not None
    assert (noise.freedom, [freedom for _, freedom in noise.residuals]) == (6, [6])
    assert compare_on_prompts([wide[:1, :3]], [wide[:1, 3:6]]) is None
    assert compare_on_prompts([np.full((2, 3), math.nan)]) is None


def test_scores_are_those_of_the_prompts_that_most_runs_have() -> None:
    usual, odd = {"a": 1.0, "b": 2.0}, {"b": 5.0, "z": 9.0}
    tables = tabulate_scores({"first": {(): [usual, odd]}, "second": {(): [usual, {}]}})
    assert tables["first"][()] == pytest.approx(np.array([[1.0, 2.0], [math.nan, 5.0]]), nan_ok=True)
    assert tables["second"][()] == pytest.approx(np.array([[1.0, 2.0], [math.nan] * 2]), nan_ok=True)
    assert tabulate_scores({"first": {(): [{}]}}) == {}


def list_scores(table: NDArray[np.float64]) -> list[dict[str, float]]:
    return [{str(prompt): value for prompt, value in enumerate(row)} for row in table.tolist()]


def rank_tables(tables: Mapping[str, NDArray[np.float64]], is_by_prompt: bool = True) -> GroupRanking:
    """Settings on seeds 0, 1 ..., from the scores of each, (seeds, prompts)."""
    return rank(
        {label: {(): table.mean(1)} for label, table in tables.items()},
        seeds={label: list(range(len(table))) for label, table in tables.items()},
        scores={label: {(): list_scores(table)} for label, table in tables.items()} if is_by_prompt else None,
    )


def test_a_pair_by_seed_has_the_noise_of_prompts_and_says_so() -> None:
    """The differences of the two settings are TABLE."""
    base = np.array([[3.0, 1.0, 2.0, 5.0]] * 3)
    tables = {"a": base + TABLE, "b": base}
    (seeds,), (both,) = rank_tables(tables, False).pairs, rank_tables(tables).pairs
    assert (seeds.design_text, both.design_text) == ("paired by seed", "paired by seed, with the noise of prompts")
    # Seeds: differences 3, 4, 5, so a variance of 1 / 3 with two degrees of freedom.
    variance = 1 / 3 + (20 - 1 / 3) / 12
    freedom = variance**2 / ((1 / 3) ** 2 / 2 + (20 / 12) ** 2 / 3 + (1 / 36) ** 2 / 6)
    assert seeds.margin == pytest.approx(4.302653 * math.sqrt(1 / 3), rel=1e-5)
    assert both.prompt_share == pytest.approx((20 - 1 / 3) / 12 / variance)
    assert both.margin == pytest.approx(student_margin(freedom) * math.sqrt(variance), rel=1e-5)


def student_margin(freedom: float) -> float:
    from scipy.stats import t

    return float(t.ppf(0.975, freedom))


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_seeds_are_matched_whatever_their_order(order: list[int]) -> None:
    base = np.array([[3.0, 1.0, 2.0, 5.0], [0.0, 9.0, 2.0, 4.0], [1.0, 1.0, 8.0, 3.0]])
    tables = {"a": base + TABLE, "b": base[order]}  # the second one's runs in another order
    ranking = rank(
        {label: {(): table.mean(1)} for label, table in tables.items()},
        seeds={"a": [0, 1, 2], "b": order},
        scores={label: {(): list_scores(table)} for label, table in tables.items()},
    )
    assert ranking.pairs[0].prompt_share == pytest.approx((20 - 1 / 3) / 12 / (1 / 3 + (20 - 1 / 3) / 12))


def compare(groups: dict[str, dict[str, NDArray[np.float64]]]) -> GroupPair:
    values = {label: {key: table.mean(1) for key, table in strata.items()} for label, strata in groups.items()}
    scores = {label: {key: list_scores(table) for key, table in strata.items()} for label, strata in groups.items()}
    return rank(values, scores=scores).pairs[0]


def test_every_design_takes_the_prompts() -> None:
    random = np.random.default_rng(1)
    prompts = np.array([2.0, -2.0, 4.0, -4.0])

    def draw(runs: int) -> NDArray[np.float64]:
        return random.normal(0, 0.1, (runs, 4))

    single = {"a": {k: 1 + prompts + draw(1) for k in "xyz"}, "b": {k: draw(1) for k in "xyz"}}
    several = {"a": {k: 1 + prompts + draw(2) for k in "xy"}, "b": {k: draw(2) for k in "xy"}}
    apart = {"a": {"x": 1 + prompts + draw(3)}, "b": {"y": draw(3)}}
    for groups, design in ((single, BY_SETTING), (several, BY_STRATUM), (apart, BY_RUN)):
        pair = compare(groups)
        assert (pair.design, pair.prompt_share is None) == (design, False)
        # Prompts: a variance of 40 / 3 / 4; runs of 0.01 / 4 / 3 or so.
        assert pair.prompt_share is not None
        assert pair.prompt_share > 0.99
        assert pair.margin > 3


def test_one_seed_still_decides_nothing() -> None:
    tables = {"a": np.array([[9.0, 9.1, 9.0, 9.2]]), "b": np.array([[0.0, 0.1, 0.1, 0.1]])}
    (pair,) = rank_tables(tables).pairs
    assert (pair.verdict, pair.prompt_share) == (UNKNOWN, None)


def test_settings_without_scores_are_compared_as_before() -> None:
    tables = {"a": 9 + TABLE, "b": TABLE[::-1], "c": TABLE - 5.0}
    values = {label: {(): table.mean(1)} for label, table in tables.items()}
    seeds = {label: [0, 1, 2] for label in tables}
    before = rank(values, seeds=seeds)
    scores = {label: {(): list_scores(tables[label])} for label in "ab"} | {"c": {(): [{}, {}, {}]}}
    after = rank(values, seeds=seeds, scores=scores)
    are_same = [one.margin == other.margin for one, other in zip(before.pairs, after.pairs, strict=True)]
    assert [(pair.first, pair.second) for pair in after.pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert are_same == [False, True, True]
    assert [pair.prompt_share is None for pair in after.pairs] == are_same


def test_more_seeds_do_not_lessen_what_prompts_add() -> None:
    base = np.array([[3.0, 1.0, 2.0, 5.0]] * 3)
    (pair,) = rank_tables({"a": base + TABLE, "b": base}).pairs
    share = (20 - 1 / 3) / 12 / (1 / 3 + (20 - 1 / 3) / 12)
    assert pair.scale_margin(4) == pytest.approx(pair.margin * math.sqrt((1 - share) / 4 + share))
    assert pair.scale_seeds(pair.scale_margin(4)) == pytest.approx(4)
    assert pair.scale_seeds(pair.margin * math.sqrt(share) * 0.999) == math.inf
    (pair,) = rank_tables({"a": base + TABLE, "b": base}, False).pairs
    assert pair.scale_margin(4) == pytest.approx(pair.margin / 2)


def draw_settings(
    random: np.random.Generator, levels: list[float], num_prompts: int, interaction: float
) -> dict[str, NDArray[np.float64]]:
    """Settings on three seeds, (seeds, prompts) each.

    Seeds deviate by 1 for each setting, answers by 1, prompts by 2 for all settings together.

    Args:
        interaction: the standard deviation of what the prompts add to the mean of a setting.
    """
    common = 2 * random.normal(size=num_prompts)
    tables = {}
    for place, level in enumerate(levels):
        prompts = interaction * math.sqrt(num_prompts) * random.normal(size=num_prompts)
        seeds, answers = random.normal(size=(3, 1)), random.normal(size=(3, num_prompts))
        tables[str(place)] = level + common + prompts + seeds + answers
    return tables


def test_settings_that_are_equal_on_other_prompts_are_seldom_told_apart() -> None:
    """Two equal settings above two worse ones; on the 16 prompts they differ by as much as seeds do.

    A winner among the equal ones is a false one. At 5 % more than 23 of 300 come up in 2 of 100 such tests.
    """
    random = np.random.default_rng(24)
    before = after = 0
    for _ in range(300):
        tables = draw_settings(random, [0.0, 0.0, -30.0, -30.0], 16, 1.0)
        before += rank_tables(tables, False).winner is not None
        after += rank_tables(tables).winner is not None
    print(f"winners among equal settings: {before} of 300 by seeds alone, {after} by seeds and prompts")
    assert before > 60
    assert after <= 23


def test_a_better_setting_is_decided_where_prompts_have_no_interaction() -> None:
    """Better by 5 deviations on three seeds, with three other settings: nearly as often as by seeds alone."""
    random = np.random.default_rng(25)
    before = after = 0
    for _ in range(80):
        tables = draw_settings(random, [5.0, 0.0, 0.0, 0.0], 16, 0.0)
        before += rank_tables(tables, False).winner == "0"
        after += rank_tables(tables).winner == "0"
    print(f"the better one is decided in {before} of 80 by seeds alone, in {after} by seeds and prompts")
    assert before > 70
    assert after > before - 5
