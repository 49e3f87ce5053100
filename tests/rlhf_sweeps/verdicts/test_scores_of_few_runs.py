"""Prompts stay in the noise of a pair if some of its runs have lost their scores; all numbers are by hand."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from rlhf_sweeps.verdicts import estimates
from rlhf_sweeps.verdicts.other_prompts import compare_on_prompts
from rlhf_sweeps.verdicts.pairs import GroupPair, rank

# The differences of two settings on three seeds and four prompts; the means of the seeds are 3, 4 and 5.
TABLE = np.array([[0.5, 1.5, 4.0, 6.0], [1.0, 3.0, 5.5, 6.5], [1.5, 4.5, 5.5, 8.5]])
BASE = np.array([3.0, 1.0, 2.0, 5.0])
OF_SEEDS = 1 / 3  # the variance of the mean of 3, 4 and 5
# Of the first two seeds: the means of the prompts are 0.75, 2.25, 4.75 and 6.25, and each residual is 0.25 or -0.25.
OF_TWO_SEEDS = (2 * 2.75**2 + 2 * 1.25**2) / 3 / 4 - 8 * 0.25**2 / 3 / 2 / 4


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """The intervals of groups are not looked at."""
    monkeypatch.setattr(estimates, "RESAMPLES", 100)


def compare(scored: Sequence[int], other_scored: Sequence[int]) -> GroupPair:
    """The two settings on seeds 0, 1 and 2.

    Args:
        scored, other_scored: the seeds on which the runs of the first and of the second setting have scores.
    """
    tables = {"a": BASE + TABLE, "b": np.stack([BASE] * 3)}
    seeds_of = {"a": scored, "b": other_scored}
    scores = {
        label: {
            (): [
                {str(prompt): value for prompt, value in enumerate(row)} if seed in seeds_of[label] else {}
                for seed, row in enumerate(table.tolist())
            ]
        }
        for label, table in tables.items()
    }
    values = {label: {(): table.mean(1)} for label, table in tables.items()}
    (pair,) = rank(values, seeds={"a": [0, 1, 2], "b": [0, 1, 2]}, scores=scores).pairs
    return pair


@pytest.mark.parametrize(
    ("scored", "other_scored", "of_prompts"),
    [
        ([0, 1], [0, 1, 2], OF_TWO_SEEDS),
        ([0, 1, 2], [0, 1], OF_TWO_SEEDS),
        # One seed in common shows no residual. Its differences deviate by -3, -1, 1.5 and 2.5 from their mean of 4.
        ([0, 1], [1, 2], (9 + 1 + 2.25 + 6.25) / 3 / 4),
        # No seed in common: one run of each. The differences deviate by -2.5, -1.5, 1 and 3 from their mean of 3.
        ([0], [2], (6.25 + 2.25 + 1 + 9) / 3 / 4),
    ],
)
def test_prompts_are_read_from_the_runs_that_have_scores(
    scored: list[int], other_scored: list[int], of_prompts: float
) -> None:
    pair = compare(scored, other_scored)
    assert pair.design_text == "paired by seed, with the noise of prompts"
    assert pair.prompt_share == pytest.approx(of_prompts / (OF_SEEDS + of_prompts))


@pytest.mark.parametrize(("scored", "other_scored"), [([], [0, 1, 2]), ([0, 1, 2], []), ([], [])])
def test_seeds_alone_decide_where_no_run_of_a_setting_has_scores(scored: list[int], other_scored: list[int]) -> None:
    pair = compare(scored, other_scored)
    assert (pair.design_text, pair.prompt_share) == ("paired by seed", None)
    assert pair.margin == pytest.approx(4.302653 * math.sqrt(OF_SEEDS), rel=1e-5)


def test_a_single_prompt_shows_no_noise_of_prompts_and_the_design_does_not_name_it() -> None:
    values = {"a": np.array([3.0, 4.0, 5.0]), "b": np.array([1.0, 1.0, 1.0])}
    scores = {label: {(): [{"only": value} for value in runs.tolist()]} for label, runs in values.items()}
    seeds = {label: [0, 1, 2] for label in values}
    (pair,) = rank({label: {(): runs} for label, runs in values.items()}, seeds=seeds, scores=scores).pairs
    assert (pair.design_text, pair.prompt_share) == ("paired by seed", None)
    assert pair.margin == pytest.approx(4.302653 * math.sqrt(OF_SEEDS), rel=1e-5)


def test_within_settings_a_run_without_scores_is_left_out() -> None:
    """Of two settings with two runs each, the second run of the first one has lost its scores."""
    first = [BASE + TABLE[[0, 1]], BASE + TABLE[[0, 1]] + 10.0]
    first[0][1] = math.nan
    noise = compare_on_prompts(first, [np.stack([BASE] * 2)] * 2)
    # Rows 0, 0 and 1 of TABLE. Two of the three runs show a residual of 0.5 / 3.
    means = [(0.5 + 0.5 + 1) / 3, (1.5 + 1.5 + 3) / 3, (4 + 4 + 5.5) / 3, (6 + 6 + 6.5) / 3]
    whole = sum((mean - sum(means) / 4) ** 2 for mean in means) / 3 / 4
    assert noise is not None
    assert noise.whole == pytest.approx(whole)
    assert noise.variance == pytest.approx(whole - 2 / 9 / 4 * 0.5 / 3)
    lost = np.full((2, 4), math.nan)
    assert compare_on_prompts([lost], [TABLE]) is None
    assert compare_on_prompts([TABLE], [lost]) is None
