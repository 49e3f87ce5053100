"""Slices and what they rest on: axes read from texts, settings merged over seeds."""

import math

import numpy as np
import pytest
from helpers.records import axes
from helpers.sweep_sources import SPACE, of, run, swept, trial
from scipy.stats import t

from analysis.sweep.axes import make_axes
from analysis.sweep.settings import make_views
from analysis.sweep.slices import cut_slices
from rlhf_sweeps.verdicts.student import mean_and_margin


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tag(log,interval(1e-05,0.001))", ((), 1e-5, 1e-3, True, False)),
        ("interval(0.9,1.0)", ((), 0.9, 1.0, False, False)),
        ("tag(int,log,interval(1,64))", ((), 1.0, 64.0, True, True)),
        ("choice(0.3,0.10,0.2)", (("0.1", "0.2", "0.3"), 0.1, 0.3, False, False)),
        ("choice(linear,cosine)", (("linear", "cosine"), 0.0, 1.0, False, False)),
        ("choice([1,2],[3])", (("[1,2]", "[3]"), 0.0, 1.0, False, False)),
        ("choice(0.001,0.01,0.1)", (("0.001", "0.01", "0.1"), 0.001, 0.1, True, False)),
    ],
)
def test_an_axis_is_read_from_what_was_swept(text: str, expected: tuple[object, ...]) -> None:
    (axis,) = make_axes(axes({"+key": text}), {})
    assert axis.key == "key"
    assert (axis.choices, axis.low, axis.high, axis.is_log, axis.is_int) == expected


def test_positions_count_factors_on_a_log_axis() -> None:
    (axis,) = make_axes(axes({"lr": "tag(log,interval(1e-05,0.001))"}), {})
    assert [axis.position(text) for text in ("1e-05", "1e-4", "0.001")] == pytest.approx([0, 0.5, 1])
    assert axis.value(0.5) == pytest.approx(1e-4)
    assert math.isnan(axis.position("abc"))


def test_many_numbers_without_a_known_space_were_drawn_from_an_interval() -> None:
    (axis,) = make_axes((), {"lr": [str(10 ** (-5 + n / 4)) for n in range(12)]})
    assert (axis.is_interval, axis.is_log) == (True, True)


def test_trials_that_differ_in_the_seed_are_one_setting() -> None:
    points = [{"ppo.lr": lr, "seed": seed} for lr in (1e-4, 1e-3) for seed in (0, 1, 2)]
    values = [[1.0], [2.0], [3.0], [4.0], [4.0], [7.0]]
    (view,) = make_views(swept(points, values, space={"ppo.lr": "choice(0.0001,0.001)", "seed": "choice(0,1,2)"}))
    assert [setting.numbers for setting in view.settings] == [(0, 1, 2), (3, 4, 5)]
    assert [float(setting.objectives[0]) for setting in view.settings] == [2.0, 5.0]
    # (1 + 0 + 1 + 1 + 1 + 4) / 4 degrees of freedom
    assert (view.estimate_noise().deviation, view.estimate_noise().freedom) == (pytest.approx(math.sqrt(2.0)), 4)


def test_test_seeds_tell_of_noise_but_not_of_the_objective() -> None:
    tests = [run(0, 100, 1.0), run(0, 101, 2.0)]
    (view,) = make_views(of([trial(0, {"ppo.lr": 1e-4}, [5.0], runs=[run(0, 0, 5.0)], tests=tests)]))
    assert float(view.settings[0].objectives[0]) == 5.0
    assert (view.estimate_noise().deviation, view.estimate_noise().freedom) == (pytest.approx(math.sqrt(0.5)), 1)


def test_keys_that_are_tied_are_one_axis() -> None:
    lrs = [1e-5, 1e-4, 1e-3, 1e-2]
    points = [{"ppo.lr": lr, "ppo.value_lr": 10 * lr, "ppo.kl_coef": kl} for lr in lrs for kl in (0.01, 0.1)]
    space = {
        "ppo.lr": "tag(log,interval(1e-05,0.01))",
        "ppo.value_lr": "tag(log,interval(1e-04,0.1))",
        "ppo.kl_coef": "choice(0.01,0.1)",
    }
    (view,) = make_views(swept(points, [[float(n)] for n in range(8)], space=space))
    assert [axis.key for axis in view.axes] == ["ppo.lr", "ppo.kl_coef"]
    assert view.tied == {"ppo.value_lr": "ppo.lr"}


def test_a_slice_of_a_list_has_the_mean_and_students_interval_of_each_choice() -> None:
    points = [{"ppo.clip_range": clip} for clip in (0.1, 0.1, 0.1, 0.3)]
    for number, point in enumerate(points):
        point["ppo.lr"] = 1e-4 * (number + 1)
    (view,) = make_views(swept(points, [[1.0], [2.0], [6.0], [4.0]]))
    cut = next(cut for cut in cut_slices(view) if cut.axis.key == "ppo.clip_range")
    first, last = cut.bins
    assert (first.label, first.num, first.mean, first.best) == ("0.1", 3, 3.0, 6.0)
    margin = math.sqrt(7.0) / math.sqrt(3) * t.ppf(0.975, 2)
    assert (first.mean_low, first.mean_high) == (pytest.approx(3 - margin), pytest.approx(3 + margin))
    assert (last.label, last.num, math.isnan(last.mean_low)) == ("0.3", 1, True)


def test_an_interval_is_cut_into_bins_of_as_many_settings() -> None:
    points = [{"ppo.lr": 10 ** (-5 + n / 7)} for n in range(20)]
    (view,) = make_views(swept(points, [[float(n)] for n in range(20)], directions=("minimize",)))
    (cut,) = cut_slices(view)
    assert [part.num for part in cut.bins] == [4, 4, 4, 4, 4]
    assert [part.mean for part in cut.bins] == [1.5, 5.5, 9.5, 13.5, 17.5]
    assert [part.best for part in cut.bins] == [0.0, 4.0, 8.0, 12.0, 16.0]


def test_the_interval_of_a_mean_covers_it_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    hits = 0
    for _ in range(1000):
        mean, margin = mean_and_margin(random.normal(3.0, 2.0, 6))
        hits += abs(mean - 3.0) <= margin
    assert 930 <= hits <= 970


def test_settings_without_a_key_are_not_in_its_slice() -> None:
    points = [{"ppo.lr": 1e-4, "ppo.kl_coef": 0.01}, {"ppo.lr": 1e-3}, {"ppo.lr": 2e-3, "ppo.kl_coef": 0.1}]
    (view,) = make_views(swept(points, [[1.0], [2.0], [3.0]], space=SPACE))
    cut = next(cut for cut in cut_slices(view) if cut.axis.key == "ppo.kl_coef")
    assert list(cut.numbers) == [0, 2]
