"""Reward against KL: the law of over-optimization against known constants, rankings at the same KL by hand."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from numpy.typing import ArrayLike

from analysis.comparison import over_optimization
from analysis.comparison.frontier import OTHERS, SEVERAL_SCALES, TOO_FEW, KlPath, trace_frontiers, trace_path
from analysis.comparison.groups import group_runs
from analysis.comparison.matched_kl import interpolate_gain, match_groups
from analysis.comparison.over_optimization import fit_law
from analysis.records.runs import Floats, RunRecord, Source


def law(distances: Floats, alpha: float = 2.0, beta: float = 0.6) -> Floats:
    return distances * (alpha - beta * np.log(distances))


def evaluated(
    name: str,
    kls: ArrayLike,
    gains: ArrayLike,
    base: float = 0.3,
    judges: Mapping[str, ArrayLike] | None = None,
    **config: object,
) -> RunRecord:
    """A run that was evaluated at each update."""
    kls, gains = np.asarray(kls, dtype=float), np.asarray(gains, dtype=float)
    metrics = {
        "update": np.arange(1.0, len(kls) + 1),
        "eval/kl": kls,
        "eval/score": gains + base,
        "eval/base_score": np.full(len(kls), base),
    }
    for judge, rates in (judges or {}).items():
        metrics[f"judge/{judge}/win_rate"] = np.asarray(rates, dtype=float)
        metrics[f"judge/{judge}/score"] = np.asarray(rates, dtype=float) * 10
        metrics[f"judge/{judge}/base_score"] = np.full(len(kls), 5.0)
    return RunRecord(name, metrics, {key.replace("__", "."): value for key, value in config.items()})


def source(*runs: RunRecord) -> Source:
    return Source("made up", "sweep", runs)


def test_exact_points_give_the_constants_back() -> None:
    distances = np.array([0.5, 1.0, 2.0, 4.0])
    found = fit_law([(distances, law(distances)), (distances + 0.25, law(distances + 0.25))])
    assert (found.alpha, found.beta) == (pytest.approx(2.0), pytest.approx(0.6))
    assert found.deviation == pytest.approx(0, abs=1e-12)
    assert found.predict_gain(np.array([0.0, 1.0, math.e])) == pytest.approx([0.0, 2.0, math.e * 1.4])
    assert (found.num_points, found.num_runs, found.largest_kl) == (8, 2, pytest.approx(4.25**2))


def test_agrees_with_numpys_least_squares() -> None:
    random = np.random.default_rng(0)
    distances = random.uniform(0.3, 6, size=30)
    gains = law(distances) + random.normal(size=30)
    found = fit_law([(distances[:12], gains[:12]), (distances[12:], gains[12:])])
    columns = np.stack([distances, -distances * np.log(distances)], axis=1)
    assert [found.alpha, found.beta] == pytest.approx(np.linalg.lstsq(columns, gains)[0].tolist())


def test_the_peak_by_hand() -> None:
    # exp(2 / 0.5 - 1) = e^3 in distance, e^6 = 403.4 in KL.
    distances = np.linspace(1, 30, 12)
    found = fit_law([(distances, law(distances, 2.0, 0.5)), (distances, law(distances, 2.0, 0.5))])
    assert found.peak_kl == pytest.approx(math.exp(6), rel=1e-6)
    assert found.is_peak_within_data
    assert not fit_law([(distances / 10, law(distances / 10, 2.0, 0.5))] * 2).is_peak_within_data
    gain = found.predict_gain(np.exp(3) * np.array([0.9, 1.0, 1.1]))
    assert gain[1] == max(gain)


def test_runs_that_are_all_alike_do_not_make_a_law_certain() -> None:
    distances = np.linspace(1, 30, 12)
    found = fit_law([(distances, law(distances, 2.0, 0.5) + np.sin(distances))] * 3)
    bounds = [found.alpha_low, found.alpha_high, found.beta_low, found.beta_high, found.peak_low, found.peak_high]
    assert np.isnan(bounds).all()


def test_the_peaks_interval_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    # Fieller: (2 - r)^2 = 0.04 - 2 r 0.01 + r^2 0.01, so that 0.99 r^2 - 3.98 r + 3.96 = 0.
    spread = np.array([[0.04, 0.01], [0.01, 0.01]])
    monkeypatch.setattr(over_optimization, "_resample_covariance", lambda *_: spread / 12.7062047**2)
    distances = np.linspace(1, 5, 6)
    found = fit_law([(distances, law(distances, 2.0, 1.0))] * 2)
    ratios = (3.98 - 0.3985) / 1.98, (3.98 + 0.3985) / 1.98
    assert [found.peak_low, found.peak_high] == pytest.approx([math.exp(2 * (ratio - 1)) for ratio in ratios], rel=1e-3)
    assert found.alpha_high == pytest.approx(2.2)
    assert found.beta_low == pytest.approx(0.9)


def test_no_peak_where_the_gain_may_go_on() -> None:
    random = np.random.default_rng(1)
    distances = np.linspace(0.5, 3, 6)
    rising = [(distances, 2 * distances + 0.5 * random.normal(size=6)) for _ in range(3)]
    found = fit_law(rising)
    assert found.beta_low < 0 < found.beta_high
    assert not found.has_peak
    assert math.isnan(found.peak_low)
    growing = [(distances, law(distances, 1.0, -0.5)) for _ in range(3)]
    assert not fit_law(growing).has_peak


def test_one_run_has_least_squares_own_intervals() -> None:
    random = np.random.default_rng(2)
    distances = np.linspace(0.5, 5, 8)
    gains = law(distances) + 0.2 * random.normal(size=8)
    found = fit_law([(distances, gains)])
    columns = np.stack([distances, -distances * np.log(distances)], axis=1)
    variance = (found.deviation**2 * 8) / 6
    margin = 2.4469 * np.sqrt(variance * np.linalg.inv(columns.T @ columns)[1, 1])  # Student's for 6
    assert found.beta_high - found.beta == pytest.approx(margin, rel=1e-4)
    assert found.num_runs == 1


@pytest.mark.parametrize(
    "distances", [[], [0.0, 0.0], [1.0, 1.0, 1.0, 1.0, 1.0], [0.0, 1.0, 2.0, 3.0], [1.0, 1 + 1e-9, 1 + 2e-9, 1 + 3e-9]]
)
def test_too_few_distances_give_no_fit(distances: Sequence[float]) -> None:
    points = np.array(distances)
    assert fit_law([(points, points)] * 3) is None


# Of 2,000 draws the intervals of alpha and beta covered 95 to 99 % for 2, 3 and 5 runs that differ in their constants
# (percentiles of the same bootstrap 58 to 90 %), the peak's 93 % of the draws that show one.
@pytest.mark.parametrize("num_runs", [2, 3, 5])
def test_coverage(monkeypatch: pytest.MonkeyPatch, num_runs: int) -> None:
    monkeypatch.setattr(over_optimization, "LAW_RESAMPLES", 300)
    random = np.random.default_rng(num_runs)
    draws = []
    for _ in range(200):
        paths = []
        for _ in range(num_runs):
            distances = np.sqrt(np.linspace(0.3, random.uniform(2.5, 6) ** 2, 6))
            constants = 2 + 0.3 * random.normal(), 0.6 + 0.05 * random.normal()
            paths.append((distances, law(distances, *constants) + 0.1 * random.normal(size=6)))
        draws.append(fit_law(paths))
    assert np.mean([one.alpha_low <= 2.0 <= one.alpha_high for one in draws]) >= 0.92
    assert np.mean([one.beta_low <= 0.6 <= one.beta_high for one in draws]) >= 0.92
    peaks = [one for one in draws if one.has_peak]
    truth = math.exp(2 * (2 / 0.6 - 1))
    assert np.mean([one.peak_low <= truth <= one.peak_high for one in peaks]) >= 0.85


def test_frontiers_by_group() -> None:
    kls = np.array([1.0, 4.0, 9.0, 16.0])
    runs = [
        evaluated(f"{group}{seed}", kls, law(np.sqrt(kls)) + group, key=group) for group in (0, 1) for seed in (0, 1)
    ]
    found = trace_frontiers(group_runs(source(*runs), "key"))
    assert [line.label for line in found] == ["0", "1"]
    assert found[0].distances.tolist() == [1.0, 2.0, 3.0, 4.0] * 2
    assert found[0].run_indices.tolist() == [0.0] * 4 + [1.0] * 4
    assert found[0].fit.alpha == pytest.approx(2.0)
    assert not found[0].is_training


def test_negative_and_missing_kls() -> None:
    run = evaluated("a", [-0.1, np.nan, 1.0, 4.0, 9.0, 16.0, 25.0], [0.0, 5.0, 1.0, np.nan, 2.0, 3.0, 4.0], key=1)
    (found,) = trace_frontiers(group_runs(source(run), "key"))
    assert found.num_negative == 1
    assert found.distances.tolist() == [0.0, 1.0, 3.0, 4.0, 5.0]
    assert found.fit is not None


def test_a_judges_frontier() -> None:
    run = evaluated("a", [1.0, 4.0], [1.0, 2.0], judges={"j": [0.6, 0.7]}, key=1)
    (found,) = trace_frontiers(group_runs(source(run), "key"), judge="j")
    assert found.gains == pytest.approx([1.0, 2.0])
    assert (found.judge, found.fit, found.note) == ("j", None, TOO_FEW)
    assert trace_frontiers(group_runs(source(run), "key"), judge="unknown") == []


def test_scores_of_several_reward_models_are_not_fitted_together() -> None:
    kls = [1.0, 4.0, 9.0, 16.0]
    runs = [evaluated(name, kls, [1, 2, 3, 4], key=1, reward_model__name=name) for name in "ab"]
    (found,) = trace_frontiers(group_runs(source(*runs), "key"))
    assert (found.fit, found.note) == (None, SEVERAL_SCALES)


def test_without_evaluations_training_batches_count() -> None:
    metrics = {
        "update": np.arange(1.0, 6),
        "objective/kl": np.array([0.0, 1, 4, 9, 16]),
        "objective/scores": np.array([0.5, 1.5, 2.5, 3.0, 3.2]),
    }
    (found,) = trace_frontiers(group_runs(source(RunRecord("a", metrics, {"key": 1})), "key"))
    assert found.is_training
    assert found.gains == pytest.approx([1.0, 2.0, 2.5, 2.7])
    late = {name: values[1:] for name, values in metrics.items()}  # the base policy's score is not known
    assert trace_frontiers(group_runs(source(RunRecord("a", late, {"key": 1})), "key")) == []


def test_gain_at_a_kl_by_hand() -> None:
    way = KlPath(np.array([2.0, 4.0, 3.0, 8.0]), np.array([1.0, 2.0, 9.0, 4.0]))
    assert interpolate_gain(way, 0.5) == pytest.approx(0.5)  # half way from the base policy to sqrt(2)
    assert interpolate_gain(way, 2.0) == pytest.approx(1.0)
    assert interpolate_gain(way, 3.0) == pytest.approx(
        1 + (3**0.5 - 2**0.5) / (2 - 2**0.5)
    )  # where it first gets there
    assert interpolate_gain(way, 5.0) == pytest.approx(9 - 5 * (5**0.5 - 3**0.5) / (8**0.5 - 3**0.5))
    assert interpolate_gain(KlPath(np.array([-0.1, 4.0]), np.array([0.2, 1.0])), 1.0) == pytest.approx(
        0.6
    )  # -0.1 stands for 0
    assert interpolate_gain(way, 8.1) is None


def test_rankings_at_the_same_kl() -> None:
    runs = [evaluated(f"fast{seed}", [2.0, 4.0, 8.0], [2.0 + seed / 10, 3.0, 3.0], key="fast") for seed in range(3)]
    runs += [evaluated(f"far{seed}", [2.0, 4.0, 8.0], [1.0 + seed / 10, 3.5, 9.0], key="far") for seed in range(3)]
    runs.append(evaluated("short", [1.0], [0.5], key="fast"))
    found = match_groups(group_runs(source(*runs), "key"), levels=[2.0, 8.0])
    assert not found.is_rate
    assert [level.ranking.labels[0] for level in found.levels] == ["fast", "far"]
    assert found.levels[0].ranking.estimates["fast"].value == pytest.approx(2.1)
    assert found.levels[0].num_reached == {"far": 3, "fast": 3}
    assert found.levels[0].num_runs == {"far": 3, "fast": 4}


def test_levels_are_reached_by_half_of_each_groups_runs() -> None:
    runs = [evaluated(f"a{index}", [reach], [1.0], key="a") for index, reach in enumerate((4.0, 8.4, 100.0))]
    runs += [evaluated(f"b{index}", [50.0], [1.0], key="b") for index in range(2)]
    assert [level.kl for level in match_groups(group_runs(source(*runs), "key")).levels] == [2.1, 4.2, 8.4]


def test_runs_that_were_evaluated_rarely_look_no_worse() -> None:
    """Both groups follow one law; one of them was evaluated first at 6 nats, as high learning rates are."""
    random = np.random.default_rng(0)
    often, rarely = np.linspace(0.5, 9, 18), np.array([6.0, 9.0])
    runs = [
        evaluated(f"{key}{seed}", kls, law(np.sqrt(kls), 1.0, 0.1) + 0.02 * random.normal(size=len(kls)), key=key)
        for key, kls in (("often", often), ("rarely", rarely))
        for seed in range(5)
    ]
    found = match_groups(group_runs(source(*runs), "key"), levels=[3.0, 4.5, 9.0])
    for level in found.levels:
        often_gained, rarely_gained = (level.ranking.estimates[key].value for key in ("often", "rarely"))
        assert rarely_gained == pytest.approx(often_gained, abs=0.1)
    assert [level.num_before for level in found.levels] == [{"often": 0, "rarely": 5}] * 2 + [{"often": 0, "rarely": 0}]
    assert found.kls_before_evaluation == []


def test_levels_below_the_first_evaluations_are_told() -> None:
    runs = [evaluated(f"{key}{seed}", [5.0, 8.0], [1.0, 2.0], key=key) for key in "ab" for seed in range(2)]
    found = match_groups(group_runs(source(*runs), "key"))
    assert found.kls_before_evaluation == [2.0, 4.0]


def test_a_group_that_never_gets_there_is_counted() -> None:
    runs = [evaluated("a", [5.0], [1.0], key="a"), evaluated("b", [1.0], [1.0], key="b")]
    (level,) = match_groups(group_runs(source(*runs), "key"), levels=[3.0]).levels
    assert level.ranking.labels == ["a"]
    assert level.num_reached == {"a": 1, "b": 0}


def test_reward_models_are_matched_by_the_wins_under_the_others() -> None:
    judges = {"a": [0.9, 0.95], "b": [0.6, 0.7], "c": [0.8, 0.9]}
    runs = [
        evaluated(f"{own}{seed}", [2.0, 4.0], [1, 2], judges=judges, reward_model__name=own)
        for own in "ab"
        for seed in (0, 1)
    ]
    found = match_groups(group_runs(source(*runs), "reward_model"), levels=[2.0])
    assert found.is_rate
    estimates = found.levels[0].ranking.estimates
    assert estimates["a"].value == pytest.approx(0.7)
    assert estimates["b"].value == pytest.approx(0.85)
    assert trace_path(runs[0], OTHERS, ["a", "b", "c"]).gains == pytest.approx([0.2, 0.3])
    assert found.levels[0].ranking.estimates["a"].high <= 1.0


def test_without_ways_nothing_is_matched() -> None:
    empty = RunRecord("a", {"update": np.empty(0)}, {"key": 1})
    assert match_groups(group_runs(source(empty), "key")) is None
    still = evaluated("a", [0.0, -1.0], [0.0, 1.0], key=1)
    assert match_groups(group_runs(source(still), "key")).levels == []
