"""A sharp change in the last few updates: where there is one, what is said of it, and what is none."""

from pathlib import Path

import numpy as np
import pytest
from helpers.curve_runs import noise

from analysis.curves.last_change import find_last_change
from analysis.curves.phase import DROPS, JUMPS, LEVEL
from analysis.curves.phase_text import describe_curve
from analysis.curves.phases import find_phases
from analysis.reading.sources import read
from analysis.records.runs import REWARD, Floats

PUBLISHED = Path(__file__).parents[3] / "analysis" / "published" / "smollm2_human_like.csv"
NUM = 60


def fall(num_last: int, size: float = 1.5) -> Floats:
    """A noisy fall, then a calm at 0 for 20 updates, then so many values that are lower by `size`."""
    shape = np.interp(np.arange(float(NUM)), [0, NUM - 21, NUM], [3, 0, 0])
    values: Floats = shape + np.where(np.arange(NUM) < NUM - 20, 0.3, 0.05) * noise(NUM, 3)
    values[NUM - num_last :] -= size
    return values


@pytest.mark.parametrize("num_last", [3, 5, 8])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_sharp_change_at_the_end_is_a_phase_between_recorded_values(num_last: int, sign: int) -> None:
    values, updates = sign * fall(num_last), np.arange(1.0, NUM + 1)
    assert find_last_change(values) == NUM - num_last
    *_, change, level = find_phases(updates, values)
    assert (change.kind, level.kind) == (DROPS if sign > 0 else JUMPS, LEVEL)
    assert (change.start, change.end) == (NUM - num_last, NUM - num_last + 1)
    assert change.last == level.last == pytest.approx(values[NUM - num_last :].mean())
    assert abs(change.first) < 0.1
    verb = "drops" if sign > 0 else "jumps"
    told = describe_curve("it", updates, values)[0].text
    assert f"then {verb} from " in told
    mean, deviation = values[-num_last:].mean(), values[-num_last:].std(ddof=1)
    assert told.endswith(
        f"to {mean:.3g} at update {NUM - num_last + 1} (mean of the last {num_last} updates, standard deviation "
        f"{deviation:.3g})"
    )


def test_what_is_no_sharp_change() -> None:
    assert find_last_change(fall(2)) is None  # may be a spike
    assert find_last_change(fall(10)) is None  # a piece of its own
    assert find_last_change(fall(5, size=1.0)) is None  # of a range of 4.7, less than a quarter
    slope = np.linspace(0, 10, NUM) + 0.05 * noise(NUM, 4)
    assert find_last_change(slope) is None
    blow_up = np.exp(np.linspace(-6, 3, NUM))
    assert find_last_change(blow_up) is None  # no calm before it
    # It rises by 3 over the eight values before: 1.7 from half to half, more than a quarter of the change of 5.
    rising = np.concatenate([np.zeros(49), np.linspace(0, 3, 8), np.full(3, 6.5)])
    assert find_last_change(rising) is None
    calm = np.concatenate([np.zeros(57), np.full(3, 6.5)])
    assert find_last_change(calm) == 57
    mixed = fall(8, size=2.0)
    mixed[-3] = 0.0
    assert find_last_change(mixed) is None  # one of them lies among those before


@pytest.mark.parametrize(("memory", "most"), [(0.0, 0), (0.5, 12)])
def test_noise_has_hardly_a_sharp_change(memory: float, most: int) -> None:
    alarms = 0
    for seed in range(300):
        values = noise(90, seed)
        for index in range(1, 90):
            values[index] += memory * values[index - 1]
        alarms += find_last_change(values) is not None
    assert alarms <= most


def test_the_published_reward_falls_sharply_in_its_last_five_updates() -> None:
    """-0.8191, -1.0, -0.9362, -1.1489 and -0.8085 add up to -4.7127; the ten before add up to 0.0107."""
    (run,) = read(PUBLISHED).runs
    told, phases = describe_curve("reward", *run.select_points(REWARD))
    assert told.text.endswith(
        ", then drops from 0.00107 to -0.943 at update 85 (mean of the last 5 updates, standard deviation 0.141)"
    )
    assert phases[-1].last == pytest.approx(-4.7127 / 5)


def test_the_end_of_a_rise_is_the_mean_of_recorded_values() -> None:
    """Steps of 0.1 up to 3: the last five are 2.6 to 3."""
    values = np.arange(31.0) / 10
    told = describe_curve("it", np.arange(31.0), values)[0].text
    assert told == "it rises throughout, from 0 to 2.8 (mean of the last 5 updates, standard deviation 0.158)"
