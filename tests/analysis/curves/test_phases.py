"""Phases on curves whose course is known."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.curve_runs import noise

from analysis.curves.phase import DROPS, FALLS, JUMPS, LEVEL, RISES
from analysis.curves.phase_text import describe_place
from analysis.curves.phases import find_phases, find_sum_phases
from analysis.curves.segmentation import average_down, measure_gap_gain, segment_curve
from analysis.curves.sentences import describe_runs
from analysis.records.runs import CUMULATIVE_REWARD, REWARD, Floats, RunRecord
from rlhf_sweeps.figures import format_number


def kinds(values: Floats, is_sum: bool = False) -> list[str]:
    updates = np.arange(1.0, len(values) + 1)
    return [phase.kind for phase in (find_sum_phases if is_sum else find_phases)(updates, values)]


def plateau(count: int) -> Floats:
    """0 to 1 until 0.6 of the updates, level until 0.85, then down to 0.5."""
    return np.interp(np.linspace(0, 1, count), [0, 0.6, 0.85, 1], [0, 1, 1, 0.5])


def record(name: str = "0", config: dict[str, object] | None = None, **metrics: Floats) -> RunRecord:
    columns = {key.replace("__", "/"): np.asarray(values, np.float64) for key, values in metrics.items()}
    length = len(next(iter(columns.values())))
    return RunRecord(name, {"update": np.arange(1.0, length + 1), **columns}, config or {})


def share_of_false_phases(count: int, memory: float, seeds: int) -> float:
    return float(np.mean([kinds(noise(count, seed, memory)) != [LEVEL] for seed in range(seeds)]))


@pytest.mark.parametrize("count", [4, 10, 30, 90, 250])
def test_pure_noise_is_level(count: int) -> None:
    assert share_of_false_phases(count, 0.0, 100) <= 0.04


@pytest.mark.parametrize("count", [10, 30, 90, 250])
def test_noise_that_remembers_is_level(count: int) -> None:
    assert share_of_false_phases(count, 0.5, 60) <= 0.1


@pytest.mark.parametrize("seed", range(5))
def test_heavy_tails_and_single_spikes_are_no_phases(seed: int) -> None:
    random = np.random.default_rng(seed)
    assert kinds(random.standard_t(3, size=90)) == [LEVEL]
    values = random.normal(size=90)
    values[40] += 60
    assert kinds(values) == [LEVEL]


def test_the_size_of_the_noise_may_change() -> None:
    found = [kinds(noise(250, seed) * np.where(np.arange(250) > 175, 4.0, 1.0)) for seed in range(40)]
    assert np.mean([one != [LEVEL] for one in found]) <= 0.15


@pytest.mark.parametrize("seed", range(10))
def test_rise_plateau_fall(seed: int) -> None:
    values = plateau(90) + 0.03 * noise(90, seed)
    phases = find_phases(np.arange(1.0, 91), values)
    assert [phase.kind for phase in phases] == [RISES, LEVEL, FALLS]
    assert abs(phases[1].start - 54.4) <= 8
    assert abs(phases[2].start - 76.7) <= 4
    assert phases[0].slope == pytest.approx(1 / 53.4, rel=0.1)
    assert phases[0].noise == pytest.approx(0.03, rel=3 / np.sqrt(2 * 53))  # three standard errors
    assert phases[0].end == phases[1].start
    assert phases[1].end == phases[2].start


def test_places_of_turns_are_covered_by_their_bounds() -> None:
    hits = 0
    for seed in range(50):
        values = np.abs(np.linspace(-0.6, 0.4, 90)) + 0.08 * noise(90, seed)
        phases = find_phases(np.arange(90.0), values)
        assert [phase.kind for phase in phases] == [FALLS, RISES]
        low, high = phases[1].begins
        hits += low - 1 <= 53.4 <= high + 1
    assert hits >= 43


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_scale_and_offset_do_not_matter(scale: float, offset: float) -> None:
    values = plateau(90) + 0.03 * noise(90, 3) + offset
    assert kinds(scale * values) == [RISES, LEVEL, FALLS]
    assert kinds(-scale * values) == [FALLS, LEVEL, RISES]


@pytest.mark.parametrize("count", [10, 30, 90, 250, 1000])
def test_a_monotone_rise_is_one_phase(count: int) -> None:
    for seed in range(5):
        assert kinds(np.linspace(0, 1, count) + 0.05 * noise(count, seed)) == [RISES]


def test_a_bent_rise_of_few_values_is_a_rise() -> None:
    assert kinds(1 - np.exp(-np.linspace(0, 3, 8)))[0] == RISES


def test_a_slow_drift_is_found() -> None:
    assert kinds(np.linspace(0, 2, 400) + noise(400, 0)) == [RISES]


def test_a_step_is_a_jump() -> None:
    values = np.where(np.arange(90) < 45, 0.0, 1.0) + 0.1 * noise(90, 0)
    phases = find_phases(np.arange(90.0), values)
    assert [phase.kind for phase in phases] == [LEVEL, JUMPS, LEVEL]
    assert (phases[1].start, phases[1].end) == (44, 45)
    assert phases[1].change == pytest.approx(1, abs=0.1)
    assert kinds(-values) == [LEVEL, DROPS, LEVEL]


def test_constants_gaps_and_short_curves() -> None:
    assert kinds(np.full(30, 0.1 + 0.2)) == [LEVEL]
    assert kinds(np.zeros(5)) == [LEVEL]
    for count in range(4):
        assert kinds(np.arange(float(count))) == []
    values = plateau(90) + 0.02 * noise(90, 1)
    values[20:35] = np.nan
    values[60] = np.inf
    assert kinds(values) == [RISES, LEVEL, FALLS]


def test_long_curves_are_cut_as_well() -> None:
    phases = find_phases(np.arange(5000.0), plateau(5000) + 0.1 * noise(5000, 0))
    assert [phase.kind for phase in phases] == [RISES, LEVEL, FALLS]
    assert phases[1].start == pytest.approx(3000, abs=150)
    assert phases[0].noise == pytest.approx(0.1, rel=0.1)


def test_means_of_as_many_points_as_are_too_many() -> None:
    """A thousand points are 250 means of four; 375 are of one and two in turn."""
    x, y = average_down(np.arange(1000.0), np.tile([0.0, 2.0, 4.0, 6.0], 250))
    np.testing.assert_allclose(x, np.arange(250) * 4 + 1.5)
    np.testing.assert_allclose(y, np.full(250, 3.0))
    x, _ = average_down(np.arange(375.0), np.arange(375.0))
    np.testing.assert_allclose(x[:4], [0.0, 1.5, 3.0, 4.5])
    assert [len(average_down(np.arange(n * 1.0), np.zeros(n))[0]) for n in (249, 250, 251)] == [249, 250, 250]


def test_a_running_sum_of_noise_has_no_phases() -> None:
    false = [kinds(np.cumsum(noise(count, seed)), is_sum=True) != [LEVEL] for count in (30, 90) for seed in range(50)]
    assert np.mean(false) <= 0.05


@pytest.mark.parametrize("seed", range(5))
def test_a_running_sum_follows_the_sign_of_its_steps(seed: int) -> None:
    share = np.linspace(0, 1, 90)
    steps = np.where(share < 0.6, 1.0, np.where(share < 0.85, 0.0, -1.0)) + 0.3 * noise(90, seed)
    phases = find_sum_phases(np.arange(90.0), np.cumsum(steps))
    assert [phase.kind for phase in phases] == [RISES, LEVEL, FALLS]
    assert phases[1].start == pytest.approx(53, abs=3)
    assert phases[2].start == pytest.approx(75, abs=3)


def test_a_sum_turns_where_its_steps_change() -> None:
    steps = np.where(np.arange(89) < 50, 1.0, 0.005) + 0.001 * noise(89, 0)
    rise, level = find_sum_phases(np.arange(90.0), np.cumsum([0.0, *steps]))
    assert (rise.kind, level.kind) == (RISES, LEVEL)  # what is added later is less than 1 % of the whole
    assert rise.end == level.start == 50


def test_small_steps_one_after_the_other_are_a_rise() -> None:
    values = np.repeat(np.arange(6.0), 20) + 0.02 * noise(120, 0)
    assert kinds(values) == [RISES]


def test_a_sum_of_equal_steps_rises() -> None:
    assert kinds(np.cumsum(np.full(10, 0.1)), is_sum=True) == [RISES]
    assert kinds(np.cumsum(np.full(10, -0.1)), is_sum=True) == [FALLS]
    assert kinds(np.full(10, 3.0), is_sum=True) == [LEVEL]


def test_sentences_of_a_run_like_the_published_one() -> None:
    share = np.linspace(0, 1, 90)
    steps = np.interp(share, [0, 0.6, 0.66, 0.84, 0.86, 1], [1.2, 0.7, 0, 0, -1, -1]) + 0.3 * noise(90, 0)
    entropy = np.interp(share, [0, 0.62, 1], [1.7, 0.6, 1.1]) + 0.04 * noise(90, 1)
    run = record(objective__rlhf_reward=steps, objective__entropy=entropy, objective__kl=0.06 + 0.003 * noise(90, 2))
    texts = {text.text.split(" ")[0]: text for text in describe_runs([run])}
    total = texts["cumulative"]
    assert "until update 5" in total.text or "until about update 5" in total.text
    assert "stays level" in total.text
    assert "then falls" in total.text
    sums = np.cumsum(steps)
    assert total.evidence["peak value"] == pytest.approx(sums.max())
    assert total.evidence["peak update"] == np.argmax(sums) + 1
    assert format_number(float(sums.max())) in total.text
    assert texts["entropy"].text.startswith("entropy falls from 1.")
    assert "then rises to 1." in texts["entropy"].text
    assert abs(texts["entropy"].evidence["phase 2 start"] - 56) < 5
    assert "has no trend beyond its noise" in texts["KL"].text
    assert "under control: at most 0.0" in texts["KL"].text


@pytest.mark.parametrize(
    ("begins", "text"),
    [((60, 61), "update 60"), ((55, 64), "about update 60"), ((48, 71), "somewhere between updates 48 and 71")],
)
def test_a_turn_is_named_as_exactly_as_it_is_known(begins: tuple[float, float], text: str) -> None:
    assert describe_place(60.2, begins, np.arange(91.0)) == text


def test_what_is_missing_or_short_is_said() -> None:
    assert describe_runs([]) == []
    assert describe_runs([RunRecord("0", {"update": np.empty(0)})]) == []
    (one, _) = describe_runs([record(objective__scores=np.array([2.0]))])
    assert one.text == "score has one value: 2 at update 1"
    (three, _) = describe_runs([record(objective__scores=np.array([2.0, np.nan, 4.0]))])
    assert three.text.startswith("score has 2 values, too few")


def test_a_rise_that_is_soon_done_is_not_said_to_go_on() -> None:
    values = 10 * (1 - np.exp(-np.arange(30.0) / 4)) + 0.8 * noise(30, 2)
    run = record(config={"objective.kl_budget": 12.0}, objective__kl=values)
    (text,) = describe_runs([run])
    assert "still" not in text.text
    assert "stays level" in text.text or "80 % of it by update" in text.text
    (line,) = describe_runs([record(objective__kl=np.linspace(0, 10, 30) + 0.5 * noise(30, 2))])
    assert "rises throughout" in line.text
    assert line.text.endswith("though it still rises at the end")


def test_runs_that_disagree_are_named() -> None:
    up, down = np.linspace(0, 1, 30), np.linspace(1, 0, 30)
    runs = [record(str(seed), objective__scores=(up, up, down)[seed] + 0.05 * noise(30, seed)) for seed in range(3)]
    texts = [text.text for text in describe_runs(runs, ["objective/scores"])]
    assert texts[0].startswith("score (mean of 3 runs) rises")
    assert texts[1] == (
        "the runs disagree on score: it ends higher than it starts in 2 of 3, it ends lower in 1 of 3 (2)"
    )
    assert len(describe_runs(runs[:2], ["objective/scores"])) == 1


def test_a_mean_is_over_runs_that_last() -> None:
    """The bad run ends early; without care the mean would jump where it does."""
    good = [record(str(i), objective__scores=1 + 0.02 * noise(60, i)) for i in range(3)]
    bad = record("3", objective__scores=-5 + 0.02 * noise(30, 3))
    (text, *_) = describe_runs([*good, bad], ["objective/scores"])
    assert text.text.startswith("score (mean of the 3 longest of 4 runs) has no trend")
    assert text.evidence["runs"] == 3


def test_cumulative_reward_is_known_without_its_column() -> None:
    run = record(objective__rlhf_reward=np.full(20, 0.5))
    (text,) = describe_runs([run], [CUMULATIVE_REWARD])
    assert text.text == "cumulative reward rises throughout, from 0.5 to 10"
    assert REWARD in run.metrics


@pytest.mark.parametrize(("memory", "times"), [(0.0, 1.0), (0.5, 3.0), (0.8, 9.0)])
def test_a_gap_counts_by_the_variance_that_noise_with_a_memory_has(memory: float, times: float) -> None:
    """The variance of a sum of noise with memory m is (1 + m) / (1 - m) times that of white noise."""
    x = np.arange(40.0)
    y = np.where(x < 20, 0.0, 5.0) + np.random.default_rng(7).standard_normal(40)
    white = replace(segment_curve(x, y), noise=1.0, autocorrelation=0.0)
    assert len(white.cuts) == 3
    assert measure_gap_gain(replace(white, autocorrelation=memory), 1) == pytest.approx(
        measure_gap_gain(white, 1) / times
    )
