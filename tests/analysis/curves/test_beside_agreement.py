"""How another curve compares with ours: sentences on curves whose answer is plain."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.curve_runs import noise

from analysis.curves.agreement import compare_levels, compare_shapes
from analysis.curves.curves import MetricCurve, make_curves
from analysis.records.runs import REWARD, UPDATE, Floats, RunRecord

KL = "objective/kl"


def line(name: str, values: Floats, metric: str = KL, start: int = 1) -> MetricCurve:
    places = start + np.arange(float(len(values)))
    (curve,) = make_curves(
        [RunRecord(name, {UPDATE: places, metric: np.asarray(values, dtype=np.float64)})], metric, None
    )
    return curve


def band(*runs: Floats, metric: str = KL) -> MetricCurve:
    """The mean of runs on one setting: with fewer than 5, the band goes from the lowest to the highest."""
    places = 1 + np.arange(float(len(runs[0])))
    records = [RunRecord(str(i), {UPDATE: places, metric: values}, {"lr": 1}) for i, values in enumerate(runs)]
    (curve,) = make_curves(records, metric, "lr")
    return curve


def steps(*stretches: tuple[float, int]) -> Floats:
    return np.concatenate([np.full(num, float(value)) for value, num in stretches])


RUNS = {"a": np.zeros(4), "p": np.array([-1.0, -1.0, 1.0, 1.0])}
ZERO_TO_ONE = band(np.zeros(90), np.ones(90), np.full(90, 0.5))


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (steps((0.5, 90)), "is within the band of our 3 runs at all 90 updates"),
        (steps((1.0, 90)), "is within the band of our 3 runs at all 90 updates"),  # its edge belongs to it
        (steps((1.5, 90)), "lies above the band of our 3 runs at all 90 updates"),
        (steps((-1.5, 90)), "lies below the band of our 3 runs at all 90 updates"),
        (steps((0.5, 84), (2, 6)), "is within the band of our 3 runs at 84 of 90 updates, above it from update 85 on"),
        (steps((-1, 12), (0.5, 78)), "is within the band of our 3 runs at 78 of 90 updates, below it until update 12"),
        (
            steps((0.5, 30), (2, 1), (0.5, 59)),
            "is within the band of our 3 runs at 89 of 90 updates, above it at update 31",
        ),
        (
            steps((-1, 12), (0.5, 18), (2, 60)),
            "is within the band of our 3 runs at 18 of 90 updates, below it until update 12, above it from update "
            "31 on",
        ),
        (
            steps((0.5, 10), (2, 10), (0.5, 10), (-1, 5), (2, 55)),
            "is within the band of our 3 runs at 20 of 90 updates, above it at 65 and below it at 5; above it from "
            "update 36 on",
        ),
    ],
)
def test_a_curve_against_the_band_of_several_runs(values: Floats, text: str) -> None:
    statement = compare_levels(ZERO_TO_ONE, line("published", values))
    assert statement.text == f"KL divergence of published {text}"
    counts = [statement.evidence[f"updates {side}"] for side in ("above", "within", "below")]
    assert counts == [(values > 1).sum(), ((values >= 0) & (values <= 1)).sum(), (values < 0).sum()]
    assert statement.evidence["mean difference"] == pytest.approx(values.mean() - 0.5)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (steps((1, 10)), "lies above ours at all 10 updates, by 1 on average"),
        (steps((-2, 10)), "lies below ours at all 10 updates, by 2 on average"),
        (steps((0, 10)), "equals ours at all 10 updates"),
        (
            steps((-1, 4), (1, 6)),
            "lies below ours until update 4, above ours from update 5 on; on average it is 0.2 higher",
        ),
        (
            steps((-1, 5), (1, 5)),
            "lies below ours until update 5, above ours from update 6 on; on average both are equal",
        ),
        (steps((1, 4), (0, 2), (1, 4)), "lies above ours at all 10 updates, by 0.8 on average"),  # it touches ours
        (
            np.tile([1.0, -1.5], 4),
            "crosses ours 7 times in 8 updates, below at update 8; on average it is 0.25 lower",
        ),
    ],
)
def test_a_curve_against_a_single_run(values: Floats, text: str) -> None:
    statement = compare_levels(line("a", np.zeros(len(values))), line("published", values))
    assert statement.text == f"KL divergence of published {text}"


def test_only_what_both_have_is_compared() -> None:
    ours = line("a", np.zeros(40))
    assert compare_levels(ours, line("p", np.ones(90))).text == (
        "KL divergence of p lies above ours at all 40 updates that both have, by 1 on average"
    )
    assert compare_levels(ours, line("p", np.ones(1), start=40)).text == (
        "KL divergence of p lies above ours at update 40, the only one that both have, by 1"
    )
    late = compare_levels(ours, line("p", np.ones(10), start=50))
    assert late.text == "KL divergence of p has no update in common with ours: it covers 50 to 59, ours 1 to 40"
    assert compare_shapes(ours, line("p", np.ones(10), start=50)) is None


def test_points_are_counted_and_not_episodes() -> None:
    curves = [
        make_curves([RunRecord(n, {UPDATE: 32 + 32 * np.arange(4.0), KL: v})], KL, None)[0] for n, v in RUNS.items()
    ]
    assert compare_levels(*curves, "episode").text == (
        "KL divergence of p lies below ours until episode 64, above ours from episode 96 on; on average both are equal"
    )
    lower = compare_levels(curves[0], line("p", np.array([-1.0]), start=64), "episode")
    assert lower.text == "KL divergence of p lies below ours at episode 64, the only one that both have, by 1"
    all_above = compare_levels(curves[0], replace(curves[0], label="p", smoothed=np.ones(4)), "episode")
    assert all_above.text == "KL divergence of p lies above ours at all 4 points, by 1 on average"


def test_a_gap_is_left_out() -> None:
    values = steps((1, 90))
    values[19:40] = np.nan
    text = compare_levels(line("a", np.zeros(90)), line("p", values)).text
    assert text == "KL divergence of p lies above ours at all 69 updates that both have, by 1 on average"
    assert compare_levels(line("a", values), line("p", np.zeros(90))).evidence["compared updates"] == 69


def test_curves_that_share_no_update_are_compared_between_ours() -> None:
    """Every tenth update from 10 on, and every tenth from 15 on: ours is half way there, 15 where it has 10 and 20."""
    tens, fives = np.arange(10.0, 110, 10), np.arange(15.0, 95, 10)
    (ours,) = make_curves([RunRecord("a", {UPDATE: tens, KL: tens})], KL, None)
    (theirs,) = make_curves([RunRecord("p", {UPDATE: fives, KL: fives + 2})], KL, None)
    statement = compare_levels(ours, theirs)
    assert statement.text.startswith("KL divergence of p lies above ours at its 8 updates within our range, by 2 on")


def test_what_is_compared_between_ours_is_called_so() -> None:
    """Theirs at 0.5, 1.5 and 2.5, ours at 1 to 4: no update is shared, and two of theirs lie within ours."""

    def describe(ours: MetricCurve, values: list[float], places: list[float]) -> str:
        run = RunRecord("p", {UPDATE: np.array(places), KL: np.array(values)})
        (theirs,) = make_curves([run], KL, None)
        return compare_levels(ours, theirs).text.removeprefix("KL divergence of p ")

    zeros, zero_to_one = line("a", np.zeros(4)), band(np.zeros(4), np.ones(4), np.full(4, 0.5))
    halves = [0.5, 1.5, 2.5]
    assert describe(zeros, [1.0] * 3, halves) == "lies above ours at its 2 updates within our range, by 1 on average"
    assert (
        describe(zeros, [1.0, 1.0], [0.5, 1.5]) == "lies above ours at update 1.5, its only one within our range, by 1"
    )
    assert describe(zeros, [-1, -1, 1], halves) == (
        "lies below ours at update 1.5, above ours at update 2.5, over its 2 updates within our range; "
        "on average both are equal"
    )
    assert describe(zero_to_one, [0.5] * 3, halves) == (
        "is within the band of our 3 runs at its 2 updates within our range"
    )
    assert describe(zero_to_one, [0.5, 0.5, 2], halves).startswith(
        "is within the band of our 3 runs at 1 of its 2 updates within our range, above it at update 2.5"
    )
    single = line("q", np.ones(1), start=9)
    assert compare_levels(zeros, single).text == (
        "KL divergence of q has no update in common with ours: it covers 9 only, ours 1 to 4"
    )


def test_levels_of_rewards_are_comparable_under_one_reward_model_only() -> None:
    addition = " (levels are comparable only under the same reward model)"
    for metric in (REWARD, "cumulative_reward", "eval/score"):
        text = compare_levels(line("a", np.zeros(5), metric), line("p", np.ones(5), metric)).text
        assert text.endswith(addition), metric
    for metric in (KL, "objective/entropy", "objective/non_score_reward"):
        assert addition not in compare_levels(line("a", np.zeros(5), metric), line("p", np.ones(5), metric)).text


UP, FLAT = np.linspace(0, 3, 40), np.zeros(40)


@pytest.mark.parametrize(
    ("ours", "theirs", "text"),
    [
        (UP, 5 + 9 * UP, "both rise"),
        (-UP, -UP, "both fall"),
        (UP, -UP, "ours rises, p falls"),
        (FLAT, -UP, "ours ends about where it starts, p falls"),
        (FLAT, 7 + FLAT, "both end about where they start"),
    ],
)
def test_shapes_whatever_the_level(ours: Floats, theirs: Floats, text: str) -> None:
    curves = line("a", ours + 0.05 * noise(40, 1)), line("p", theirs + 0.05 * noise(40, 2))
    statement = compare_shapes(*curves)
    assert statement is not None
    assert statement.text == text


def test_a_shape_is_that_of_the_updates_that_both_have() -> None:
    """The other curve falls only after the end of ours."""
    statement = compare_shapes(line("a", UP), line("p", np.concatenate([UP, 3 - 4 * UP])))
    assert statement is not None
    assert statement.text == "both rise"
    assert compare_shapes(line("a", UP), line("p", np.array([1.0, 2.0]))) is None  # too short for a shape
