"""The fitted surface, and how flat the optimum is, against known functions."""

from collections.abc import Callable

import numpy as np
import pytest
from helpers.sweep_sources import hill, of, search, swept, trial
from scipy.special import digamma, polygamma
from scipy.stats import norm
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from analysis.records.runs import Source
from analysis.sweep.analysis import analyse_sweep
from analysis.sweep.optimum import Optimum, Profile, find_optimum, raise_to_floor
from analysis.sweep.settings import make_views
from analysis.sweep.surface import fit_surface
from analysis.sweep.thresholds import MIN_SETTINGS
from analysis.views.sweep_sentences import write_flatness_statements, write_view_statements
from rlhf_sweeps.record import Axis

# Positions on the axis of the learning rate from 1e-5 to 1e-2.
TOP = (-3.3 + 5) / 3
GRID = 1 / 80


def fitted(source: Source) -> Optimum:
    found = find_optimum(make_views(source)[0])
    assert found is not None
    return found


def test_the_surface_is_that_of_another_library() -> None:
    random = np.random.default_rng(0)
    axes, points = [Axis("a"), Axis("b")], random.random((25, 2))
    gains = np.sin(4 * points[:, 0]) + 0.1 * random.standard_normal(25)
    surface = fit_surface(axes, points, gains, np.ones(25))
    scales, signal, noise = np.exp(surface.theta[:2]), np.exp(surface.theta[2]), np.exp(surface.theta[3])
    kernel = ConstantKernel(signal) * Matern(scales, nu=2.5) + ConstantKernel(1.0) + WhiteKernel(noise)
    other = GaussianProcessRegressor(kernel, alpha=1e-8, optimizer=None)
    other.fit(points, (gains - gains.mean()) / gains.std())
    places = random.random((7, 2))
    mean, covariance = other.predict(places, return_cov=True)
    ours, spread = surface.predict(places)
    np.testing.assert_allclose(ours, gains.mean() + gains.std() * mean, atol=1e-9)
    np.testing.assert_allclose(np.diag(spread), gains.var() * (np.diag(covariance) - noise), atol=1e-9)
    np.testing.assert_allclose(surface.predict_mean(places), ours, atol=1e-12)


def test_what_is_left_out_is_foretold_as_if_it_had_never_been_there() -> None:
    random = np.random.default_rng(1)
    points = random.random((12, 1))
    gains = points[:, 0] + 0.1 * random.standard_normal(12)
    surface = fit_surface([Axis("a")], points, gains, np.ones(12))
    kernel = ConstantKernel(np.exp(surface.theta[1])) * Matern(np.exp(surface.theta[0]), nu=2.5) + ConstantKernel(1.0)
    other = GaussianProcessRegressor(kernel + WhiteKernel(np.exp(surface.theta[2])), alpha=1e-8, optimizer=None)
    standard = (gains - gains.mean()) / gains.std()
    expected = []
    for index in range(12):
        others = np.arange(12) != index
        expected.append(other.fit(points[others], standard[others]).predict(points[[index]])[0])
    np.testing.assert_allclose(surface.predict_left_out(), gains.mean() + gains.std() * np.array(expected), atol=1e-7)


def test_more_runs_and_guesses_weigh_as_they_should() -> None:
    """Two places: at each a sure and an unsure measurement that contradict each other."""
    points = np.array([[0.0], [0.0], [1.0], [1.0], [0.5], [0.25], [0.75], [0.1]])
    gains = np.array([0.0, 1.0, 0.0, 1.0, 0.5, 0.3, 0.7, 0.2])
    runs = np.array([50.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    extra = np.array([0.0, 0.0, 0.0, 5.0, 0.0, 0.0, 0.0, 0.0])
    surface = fit_surface([Axis("a")], points, gains, runs, (0.3, 50), extra)
    low, high = surface.predict_mean(np.array([[0.0], [1.0]]))
    assert low < 0.2
    assert high < 0.5


def test_the_noise_between_seeds_is_heeded() -> None:
    found = fitted(search(hill(-3.3), 12, 0.2, seed=3, runs=4))
    assert found.noise.repetitions == 36
    assert 0.13 < found.noise.deviation < 0.27


def test_the_range_holds_the_true_optimum() -> None:
    likely = possible = 0
    for seed in range(30):
        profile = fitted(search(hill(-3.3), 16, 0.1, seed)).profiles[0]
        likely += profile.likely[0] - GRID <= TOP <= profile.likely[-1] + GRID
        possible += profile.possible[0] - GRID <= TOP <= profile.possible[-1] + GRID
    assert likely >= 25
    assert possible >= 28


def test_the_range_is_as_wide_as_the_noise_makes_it() -> None:
    """The parabola falls by the noise of 0.04 within 0.2 decades: 0.4 decades of 3, which are 10 steps of the grid.

    Never more, and one or two fewer: what is sought is beside the highest point of each draw, which is a lucky one.
    """
    widths = []
    for seed in range(8):
        likely = fitted(search(hill(-3.3), 40, 0.04, seed)).profiles[0].likely
        widths.append((likely[-1] - likely[0]) / GRID)
    assert 7.5 <= np.median(widths) <= 10


def test_a_key_that_does_not_matter_is_flat_and_one_that_does_is_not() -> None:
    first, second, third = fitted(search(hill(-3.3), 30, 0.2, seed=0, runs=3)).profiles
    assert (first.is_flat, second.is_flat, third.is_flat) == (False, True, True)
    assert (first.is_clear, second.is_clear) == (True, False)


def test_a_cliff_beside_the_optimum_does_not_hide_it() -> None:
    def cliff(point: dict[str, float]) -> float:
        return hill(-3.1)(point) if point["ppo.lr"] < 10**-2.7 else -20.0

    hits = 0
    for seed in range(10):
        found = fitted(search(cliff, 24, 0.03, seed))
        assert found.surface.gains.min() > -15
        possible = found.profiles[0].possible
        hits += possible[0] <= (5 - 3.1) / 3 <= possible[-1]
    assert hits >= 9


def test_the_floor_is_below_the_median_and_leaves_the_rest() -> None:
    gains = np.array([-100.0, 0.0, 1.0, 2.0, 3.0])
    assert raise_to_floor(gains).tolist() == [-3.0, 0.0, 1.0, 2.0, 3.0]


def test_noise_alone_is_not_fitted() -> None:
    found = [find_optimum(make_views(search(lambda point: 0.0, 16, 1.0, seed))[0]) for seed in range(20)]
    assert sum(one is not None for one in found) <= 4


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (search(hill(-3.3), MIN_SETTINGS - 1, 0.1, 0), "5 complete settings are too few; at least 6 are needed"),
        (search(hill(-3.3), 8, 0.1, 0), "8 settings are too few; at least 9 are needed for 3 keys"),
        (search(lambda point: 1.0, 20, 0.0, 0), "all settings have the same objective"),
        (search(lambda point: 0.0, 16, 1.0, 1), "no key stands out from chance"),
    ],
)
def test_why_nothing_can_be_said(source: Source, told: str) -> None:
    (view,) = make_views(source)
    assert find_optimum(view) is None
    (statement,) = write_flatness_statements(view, None)
    assert told in statement.text


def test_where_constraints_are_broken_nothing_is_best() -> None:
    points = [{"ppo.lr": 10 ** (-5 + n / 7)} for n in range(20)]
    trials = [trial(n, points[n], [hill(-3.3)(points[n])], violations={"eval/kl<5": 1.0}) for n in range(20)]
    (view,) = make_views(of(trials))
    assert view.best is None
    assert find_optimum(view) is None
    assert (
        "none of 20 complete settings is known to keep all constraints"
        in write_view_statements(analyse_sweep(of(trials)).views[0])[0].text
    )


def test_the_best_keeps_the_constraints_that_a_better_one_breaks() -> None:
    trials = [trial(0, {"ppo.lr": 1e-4}, [1.0]), trial(1, {"ppo.lr": 1e-3}, [2.0], violations={"eval/kl<5": 0.1})]
    best = make_views(of(trials))[0].best
    assert best is not None
    assert best.numbers == (0,)


def test_sentences_name_the_range_and_what_is_worse() -> None:
    (view,) = make_views(search(hill(-3.3), 40, 0.05, seed=0))
    _, first, *_ = [one.text for one in write_flatness_statements(view, find_optimum(view))]
    assert first.startswith("ppo.lr: the objective stays within noise of the best between 0.000")
    assert "; below 0.000" in first
    assert first.endswith("it is worse")


def test_the_front_has_what_no_other_beats() -> None:
    values = [[1.0, 5.0], [2.0, 6.0], [2.0, 7.0], [0.5, 4.0], [0.5, 4.0], [1.0, 6.0]]
    trials = [trial(n, {"ppo.lr": 1e-4 * (n + 1)}, one) for n, one in enumerate(values)]
    found = analyse_sweep(of(trials, metrics=["eval/score", "eval/kl"], directions=["maximize", "minimize"]))
    assert [setting.numbers[0] for setting in found.views[0].front] == [1, 0, 3]
    assert found.views[0].view.best is None


def test_lower_is_better_where_it_is_to_be_minimized() -> None:
    source = search(hill(-3.3), 24, 0.1, seed=0)
    flipped = swept(
        [dict(one.settings) for one in source.trials],
        [[-value for value in one.objectives or ()] for one in source.trials],
        directions=("minimize",),
    )
    one, other = fitted(source).profiles[0], fitted(flipped).profiles[0]
    np.testing.assert_allclose(one.within, other.within, atol=1e-6)
    np.testing.assert_allclose(one.mean, -other.mean, atol=1e-6)
    assert (other.low <= other.high).all()


def test_the_band_is_one_of_90_percent() -> None:
    source = search(hill(-3.3), 24, 0.2, 7)
    found, (view,) = fitted(source), make_views(source)
    profile = found.profiles[0]
    points = np.tile(view.compute_positions([found.anchor.values])[0], (len(profile.positions), 1))
    points[:, 0] = profile.positions
    mean, covariance = found.surface.predict(points)
    deviations = np.sqrt(np.diag(covariance))
    assert norm.cdf((profile.high - mean) / deviations) == pytest.approx(0.95, abs=1e-4)
    assert norm.cdf((profile.low - mean) / deviations) == pytest.approx(0.05, abs=1e-4)


def test_choices_without_order_are_equally_far_apart() -> None:
    """Of three, the one that nobody tried is foretold from both others alike; the axis of numbers knows an order."""
    points = np.array([[0.0]] * 5 + [[1.0]] * 5)
    gains = np.concatenate([np.full(5, 2.0), np.full(5, -2.0)]) + 0.1 * np.tile([-1, -0.5, 0, 0.5, 1], 2)
    mean, _ = fit_surface([Axis("a", ("x", "y", "z"))], points, gains, np.ones(10)).predict(np.array([[2.0]]))
    assert mean[0] == pytest.approx(0.0, abs=1e-6)
    mean, _ = fit_surface([Axis("a", ("0", "1", "2"), 0.0, 2.0)], points / 2, gains, np.ones(10)).predict(
        np.array([[1.0]])
    )
    assert mean[0] < -0.5


def penalized(points: np.ndarray, gains: np.ndarray, means: np.ndarray, deviations: np.ndarray) -> Callable[..., float]:
    """Minus the log of the posterior of the hyperparameters' logarithms, with another library's likelihood."""
    standard = (gains - gains.mean()) / gains.std()
    num_axes = points.shape[1]

    def value(theta: np.ndarray) -> float:
        kernel = ConstantKernel(np.exp(theta[num_axes])) * Matern(np.exp(theta[:num_axes]), nu=2.5)
        kernel += ConstantKernel(1.0) + WhiteKernel(np.exp(theta[-1]))
        other = GaussianProcessRegressor(kernel, alpha=1e-8, optimizer=None).fit(points, standard)
        likelihood = other.log_marginal_likelihood(other.kernel_.theta)
        return float(-likelihood + 0.5 * (((theta - means) / deviations) ** 2).sum())

    return value


@pytest.mark.parametrize("repetitions", [0, 6])
def test_the_hyperparameters_are_those_of_highest_posterior_probability(repetitions: int) -> None:
    """Priors: log length scales about log 0.7 by 1, log signal about 0 by 1, log noise variance about log 0.05 by 1.5.

    Repetitions that show a deviation s with f degrees of freedom add what they tell of the logarithm of the variance:
    log s² - digamma(f / 2) + log(f / 2), of variance trigamma(f / 2).
    """
    random = np.random.default_rng(7)
    points = random.random((22, 2))
    gains = np.sin(4 * points[:, 0]) + 0.15 * random.standard_normal(22)
    known = (0.2, repetitions) if repetitions else (np.nan, 0)
    surface = fit_surface([Axis("a"), Axis("b")], points, gains, np.ones(22), known)
    noise_mean, noise_deviation = np.log(0.05), 1.5
    if repetitions:
        told = 2 * np.log(0.2 / gains.std()) - digamma(repetitions / 2) + np.log(repetitions / 2)
        precisions = np.array([1.5**-2, 1 / polygamma(1, repetitions / 2)])
        noise_mean = float(np.average([np.log(0.05), told], weights=precisions))
        noise_deviation = float(precisions.sum() ** -0.5)
    value = penalized(
        points, gains, np.array([np.log(0.7)] * 2 + [0.0, noise_mean]), np.array([1.0, 1.0, 1.0, noise_deviation])
    )
    steps = 1e-3 * np.eye(4)
    slopes = [(value(surface.theta + step) - value(surface.theta - step)) / 2e-3 for step in steps]
    assert slopes == pytest.approx([0.0] * 4, abs=2e-3)
    # The noise's degrees of freedom: 2 over the variance of its logarithm by the curvature there.
    wide = 0.02 * np.eye(4)
    curvature = [
        [
            sum(s * t * value(surface.theta + s * one + t * two) for s in (1, -1) for t in (1, -1)) / (4 * 0.02**2)
            for two in wide
        ]
        for one in wide
    ]
    assert surface.freedom == pytest.approx(2 / np.linalg.inv(np.array(curvature))[-1, -1], rel=0.02)
    assert surface.noise == pytest.approx(gains.std() * np.exp(surface.theta[-1] / 2))


def profile(within: list[float], choices: tuple[str, ...] = ()) -> Profile:
    """Of the probabilities of being within noise of the best alone."""
    positions = np.linspace(0, 1, len(within))
    none = np.zeros(len(within))
    axis = Axis("a", choices, 0.0, 1.0)
    return Profile(axis, positions, none, none, none, np.array(within), none, none[None], 0.01)


def test_what_is_likely_and_what_is_possible_by_hand() -> None:
    """Likely: 0.5 and more in one piece with the best; possible: from the first to the last of 0.1 and more."""
    found = profile([0.05, 0.6, 0.2, 0.5, 0.9, 0.7, 0.4, 0.1, 0.09, 0.02, 0.0])
    assert found.likely.tolist() == pytest.approx([0.3, 0.4, 0.5])
    assert found.possible.tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
    assert not found.is_flat
    assert not found.is_unknown
    edge = profile([0.9, 0.5, 0.3, 0.2, 0.1])
    assert (edge.likely.tolist(), edge.is_unknown) == (pytest.approx([0.0, 0.25]), True)
    assert profile([0.2, 0.3, 0.5, 0.9]).likely.tolist() == pytest.approx([2 / 3, 1.0])
    assert profile([0.6, 0.9, 0.6]).is_flat
    assert not profile([0.59, 0.9, 0.6]).is_flat
    of_list = profile([0.9, 0.2, 0.5], ("x", "y", "z"))
    assert of_list.likely.tolist() == [0.0, 1.0]  # choices need not lie side by side
