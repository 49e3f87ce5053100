"""When judges are said to turn away, right at the limits: standard errors of win rates by hand."""

import numpy as np
import pytest
from helpers.health_runs import UPDATES, Floats, found, run

from analysis.health.hacking import _count_evaluations, average_judges, bound_win_error, is_own_score_up, list_judges
from rlhf_sweeps.verdicts.series import Series


def is_hacked(config: dict[str, object] | None = None, **metrics: Floats | float) -> bool:
    return "reward hacking" in found(run(config, **metrics))


def falling(before: float, after: float) -> Floats:
    return np.where(UPDATES <= 50, before, after)


@pytest.mark.parametrize(
    ("config", "num", "error"),
    [({}, 1, 0.05), ({}, 4, 0.025), ({"eval.num_prompts": 400}, 4, 0.0125), ({"eval.num_prompts": 0}, 1, 0.05)],
)
def test_a_win_rate_is_a_mean_of_wins_and_losses(config: dict[str, object], num: int, error: float) -> None:
    assert bound_win_error(run(config), num) == pytest.approx(error)


@pytest.mark.parametrize(("num", "width"), [(1, 1), (2, 1), (3, 2), (14, 2), (15, 3), (100, 20)])
def test_a_fifth_of_the_evaluations_makes_a_level(num: int, width: int) -> None:
    assert _count_evaluations(Series(np.arange(float(num)), np.zeros(num))) == width


def test_judges_together_are_the_mean_of_their_last_two_evaluations() -> None:
    rates = {
        "judge__a__win_rate": np.where(UPDATES == 99, 0.4, np.where(UPDATES == 100, 0.8, 0.0)),
        "judge__b__win_rate": 0.2,
    }
    record = run(**rates, judge__c__score=9.0, judge__d__other=1.0)
    assert list_judges(record) == ["a", "b", "c"]
    assert average_judges(record, ["a", "b", "c"]) == pytest.approx((0.6 + 0.2) / 2)
    assert average_judges(record, ["c"]) == 0.5


def test_the_own_score_is_up_by_three_and_a_half_standard_errors() -> None:
    """Of two evaluations of 100 prompts one is 0.5 / root of 200: 0.6237. Gains of scores are told in the same way."""
    assert is_own_score_up(run(eval__win_rate=np.where(UPDATES < 99, 0.0, 0.625)))
    assert not is_own_score_up(run(eval__win_rate=np.where(UPDATES < 99, 1.0, 0.622)))
    wobble = np.tile([0.1, -0.1], 50)  # a noise of 0.2 / root 2 / 0.6745 x 1.04, over 20 updates: 0.069
    assert is_own_score_up(run(eval__score=np.where(UPDATES <= 50, 0.0, 0.25) + wobble))
    assert not is_own_score_up(run(eval__score=np.where(UPDATES <= 50, 0.0, 0.23) + wobble))
    assert not is_own_score_up(run(eval__score=np.where(UPDATES <= 50, 0.25, 0.0) + wobble))
    # Without six evaluations it is the training's score.
    few = np.where(UPDATES > 95, 1.0, np.nan)
    assert is_own_score_up(run(eval__score=few, objective__scores=np.where(UPDATES <= 50, 0.0, 0.25) + wobble))


def test_a_judge_turns_away_by_an_eighth_or_what_noise_cannot_do() -> None:
    """Of 20 evaluations of 10,000 prompts noise is nothing; of 7 it is 3.5 x root 2 x 0.5 / root of 140: 0.209."""
    own = {"eval__win_rate": 0.95}
    many = {"eval.num_prompts": 10_000}
    assert is_hacked(many, **own, judge__a__win_rate=falling(0.9, 0.77))
    assert not is_hacked(many, **own, judge__a__win_rate=falling(0.9, 0.79))
    few = {"eval.num_prompts": 7}
    assert is_hacked(few, eval__win_rate=1.0, judge__a__win_rate=falling(0.9, 0.68))
    assert not is_hacked(few, eval__win_rate=1.0, judge__a__win_rate=falling(0.9, 0.70))


@pytest.mark.parametrize(("other", "expected"), [(0.65, True), (0.75, False)])
def test_half_of_the_judges_are_enough_where_all_together_like_the_base_policy_better(
    other: float, expected: bool
) -> None:
    assert is_hacked(eval__win_rate=0.95, judge__a__win_rate=falling(0.6, 0.3), judge__b__win_rate=other) is expected


@pytest.mark.parametrize(
    ("own", "judge", "expected"),
    [
        (0.76, 0.42, True),
        (0.74, 0.42, False),  # who wins so little need not please others
        (0.76, 0.43, False),  # 1.5 standard errors of 0.05 below a half are 0.425
    ],
)
def test_a_judge_that_never_saw_a_gain_where_the_own_one_is_large(own: float, judge: float, expected: bool) -> None:
    assert is_hacked(eval__win_rate=own, judge__a__win_rate=judge) is expected


def test_all_judges_that_turn_away_are_told_and_the_first_of_them_is_the_beginning() -> None:
    sooner, later = np.where(UPDATES <= 40, 0.9, 0.5), np.where(UPDATES <= 60, 0.9, 0.2)
    finding = found(run(eval__win_rate=0.95, judge__b__win_rate=later, judge__a__win_rate=sooner))["reward hacking"]
    assert finding.update == 40
    assert "the own score rises while the win rate under b falls from 90 % to 20 % (2 of 2 judges)" in finding.text
    assert finding.evidence == pytest.approx(
        {
            "win rate under a, best": 0.9,
            "win rate under a, end": 0.5,
            "win rate under b, best": 0.9,
            "win rate under b, end": 0.2,
            "own win rate, end": 0.95,
        }
    )


def test_a_judge_that_never_saw_a_gain_tells_nothing_where_the_own_win_rate_is_not_known() -> None:
    assert not is_hacked(eval__score=np.linspace(0, 1, 100), judge__a__win_rate=0.42)


@pytest.mark.parametrize(("after", "scores", "expected"), [(0.77, 1.0, True), (0.79, 1.0, False), (0.77, -1.0, False)])
def test_the_held_out_win_rate_falls_by_an_eighth_while_the_training_score_rises(
    after: float, scores: float, expected: bool
) -> None:
    told = found(
        run(
            {"eval.num_prompts": 10_000},
            eval__win_rate=falling(0.9, after),
            objective__scores=np.linspace(0, scores, 100),
        )
    )
    assert ("held-out score falls" in told) is expected


def test_half_of_the_judges_are_enough_where_no_win_rate_is_known() -> None:
    wobble = 0.05 * np.sin(UPDATES * 2)
    scores = {"judge__a__score": falling(1.0, -1.0) + wobble, "judge__b__score": falling(0.0, 1.0) + wobble}
    assert is_hacked(eval__win_rate=0.95, **scores)
    assert not is_hacked(eval__win_rate=0.95, **scores, judge__c__score=falling(0.0, 1.0) + wobble)
