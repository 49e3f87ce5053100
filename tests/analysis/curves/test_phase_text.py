"""What is said of curves whose course is known."""

import numpy as np
import pytest
from helpers.curve_runs import noise

from analysis.curves.phase import DROPS, LEVEL, RISES
from analysis.curves.phase_text import describe_curve
from analysis.curves.phases import find_phases, find_sum_phases
from analysis.curves.sentences import describe_runs
from analysis.curves.spikes import remove_spikes, select_large_spikes
from analysis.records.runs import REWARD, Floats, RunRecord


def text_of(values: Floats, is_sum: bool = False) -> str:
    return describe_curve("it", np.arange(1.0, len(values) + 1), values, is_sum)[0].text


@pytest.mark.parametrize("count", [60, 90, 400])
@pytest.mark.parametrize("seed", range(4))
def test_a_burst_is_told_and_is_no_phase(count: int, seed: int) -> None:
    values = 1 + 0.1 * noise(count, seed)
    place = count * 2 // 5
    values[place : place + 3] = [4, 6, 3]
    told = text_of(values)
    assert "has no trend beyond its noise: around 1" in told or "has no trend beyond its noise: around 0.9" in told
    assert told.endswith(f"; 3 values are outliers, such as 6 at update {place + 1 + 1}")


@pytest.mark.parametrize("place", [0, 12, 29])
@pytest.mark.parametrize("seed", range(4))
def test_a_single_value_anywhere_hides_no_rise_and_is_no_noise(place: int, seed: int) -> None:
    values = np.linspace(1, 2, 30) + 0.05 * noise(30, seed)
    values[place] = 9.0
    told, phases = describe_curve("it", np.arange(1.0, 31), values)
    assert [phase.kind for phase in phases] == [RISES]
    assert phases[0].first == pytest.approx(1, abs=0.2)
    assert phases[0].last == pytest.approx(2, abs=0.2)
    assert phases[0].noise < 0.1
    assert told.text.endswith(f"; 9 at update {place + 1} is an outlier")
    assert told.evidence["highest value"] == 9


@pytest.mark.parametrize("tail", [False, True])
def test_steep_ends_of_a_steady_course_are_no_spikes(tail: bool) -> None:
    values = np.exp(-np.arange(40.0) / 1.5)
    values = values[::-1] if tail else values
    np.testing.assert_array_equal(remove_spikes(values), values)


def test_a_peak_of_many_values_or_in_a_short_curve_is_none() -> None:
    wide = np.zeros(60)
    wide[30:34] = [2, 3, 3, 2]
    np.testing.assert_array_equal(remove_spikes(wide), wide)
    short = np.array([0, 0.1, 0, 2, 3, 2, 0, 0.1, 0, 0.1])
    np.testing.assert_array_equal(remove_spikes(short), short)


def test_ordinary_outliers_are_not_told() -> None:
    for seed in range(30):
        values = np.random.default_rng(seed).normal(size=90)
        assert not len(select_large_spikes(values, remove_spikes(values), 1.0))


def test_a_level_is_where_most_of_its_values_are() -> None:
    """A blow-up makes the line through the calm before it steep; what is level is still the calm."""
    updates = np.linspace(0, 1, 100)
    values = 0.5 + 0.5 * np.exp(np.clip(15 * (updates - 0.6), -9, 9)) + 0.05 * noise(100, 0)
    phases = find_phases(np.arange(100.0), values)
    assert phases[0].kind == LEVEL
    assert phases[0].first == pytest.approx(0.5, abs=0.1)


def test_a_collapse_with_a_value_halfway_is_a_drop_between_true_values() -> None:
    shape = np.interp(np.linspace(0, 1, 30), [0, 0.7, 0.75, 1], [0, 2, -3, -3])
    for seed in range(60):
        values = shape + 0.15 * np.random.default_rng(seed + 1000).normal(size=30)
        phases = find_phases(np.arange(30.0), values)
        ends = [value for phase in phases for value in (phase.first, phase.last)]
        assert max(ends) > 1.5
        assert phases[-1].last == pytest.approx(-3, abs=0.3)


def test_a_drop_ends_at_the_level_after_it() -> None:
    values = np.where(np.arange(90) < 45, 1.0, -3.0) + 0.1 * noise(90, 0)
    before, drop, after = find_phases(np.arange(90.0), values)
    assert (drop.kind, drop.first, drop.last) == (DROPS, before.last, after.first)


@pytest.mark.parametrize("seed", range(5))
def test_a_turn_is_called_a_peak_or_a_low(seed: int) -> None:
    values = np.interp(np.arange(90.0), [0, 45, 89], [0, 2, 0.5]) + 0.05 * noise(90, seed)
    assert "to a peak of 2" in text_of(values) or "to a peak of 1.9" in text_of(values)
    assert "to a low of -2" in text_of(-values) or "to a low of -1.9" in text_of(-values)
    sums = np.cumsum(np.where(np.arange(90) < 50, 1.0, -1.0) + 0.1 * noise(90, seed))
    assert f"to a peak of {sums[49]:.3g} at update 5" in text_of(sums, is_sum=True)


def test_when_most_of_a_change_comes_is_said() -> None:
    """Too noisy for phases: level until the middle, then down, so that a fifth of the fall is done a bit later."""
    share = np.linspace(0, 1, 90)
    shape = np.interp(share, [0, 0.5, 1], [1, 0.9, -1])
    ends = float(shape[0]), float(shape[-1])
    expected = float(np.flatnonzero(shape >= ends[0] + 0.2 * (ends[1] - ends[0]))[-1])
    found = []
    for seed in range(12):
        told, phases = describe_curve("it", np.arange(90.0), shape + 0.7 * noise(90, seed))
        if len(phases) == 1:
            found.append(told.evidence["most of it after update"])
            assert f", 80 % of it after update {found[-1]:g}" in told.text
            assert "throughout" not in told.text
    assert len(found) >= 6
    assert np.median(found) == pytest.approx(expected, abs=8)
    assert "throughout" in text_of(2 * share + 0.1 * noise(90, 0))


def test_a_sum_of_growing_steps_rises_from_the_start() -> None:
    share = np.linspace(0, 1, 400)
    sums = np.cumsum(2 * share + 0.1 * noise(400, 0))
    assert [phase.kind for phase in find_sum_phases(np.arange(400.0), sums)] == [RISES]


def test_a_metric_that_ends_before_its_run_says_so() -> None:
    updates = np.arange(1.0, 31)
    kl = np.where(updates > 20, np.nan, 1.0)
    sparse = np.where(updates % 5 == 0, 2.0, np.nan)
    sparse[-1] = np.nan  # one evaluation is missing, which may not have come yet
    run = RunRecord("0", {"update": updates, "objective/kl": kl, "eval/score": sparse, REWARD: updates})
    ended, missed, whole = describe_runs([run], ["objective/kl", "eval/score", REWARD])
    assert ended.text.endswith("; no usable value after update 20 of 30")
    assert ended.evidence["last usable value at update"] == 20
    assert "no usable value" not in missed.text
    assert "no usable value" not in whole.text
