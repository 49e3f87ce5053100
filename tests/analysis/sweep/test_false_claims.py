"""What is claimed about sweeps in which nothing differs; tests/benchmarks/verdicts.py measures it over many more."""

import math
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from helpers.null_comparisons import COMPARED, add_settings
from helpers.null_sweeps import CURSED, NULLS, grid, list_claims, measure_best
from helpers.sweep_sources import of, run, swept, trial
from numpy.typing import NDArray

from analysis.comparison import compare
from analysis.records.runs import Source
from analysis.sweep import importance
from analysis.sweep.analysis import analyse_sweep
from analysis.sweep.failures import find_bad_regions
from analysis.sweep.importance import measure_importance
from analysis.sweep.margin import measure_lead
from analysis.sweep.settings import make_views
from rlhf_sweeps.verdicts import estimates
from rlhf_sweeps.verdicts.estimates import Strata
from rlhf_sweeps.verdicts.noise import Noise
from rlhf_sweeps.verdicts.pairs import GroupRanking, rank


@pytest.fixture(autouse=True)
def only_p_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shares of importance and resampled intervals take most of the time, and no claim depends on them."""
    monkeypatch.setattr(importance, "_resample_shares", lambda *given: {})
    monkeypatch.setattr(estimates, "RESAMPLES", 100)


@pytest.mark.parametrize("kind", NULLS)
def test_false_claims_are_rare_in_the_whole_text_of_a_sweep(kind: str) -> None:
    """At most 5 % of sweeps; of 20 sweeps 5 or more would come up in 3 of 1,000 such tests."""
    claims = [list_claims(NULLS[kind](seed)) for seed in range(20)]
    assert sum(map(bool, claims)) < 5, claims


@pytest.mark.parametrize("kind", COMPARED)
def test_false_claims_are_rare_where_groups_are_compared(kind: str) -> None:
    """All axes of a sweep together, and all reward models together, have a rate of 5 % as a sweep's text has."""
    claims = [COMPARED[kind](seed) for seed in range(20)]
    assert sum(map(bool, claims)) < 5, claims


@pytest.mark.parametrize("kind", CURSED)
def test_the_figure_to_report_is_not_biased_as_the_best_settings_is(kind: str) -> None:
    """Nothing differs, so the truth is 0; 4 standard errors of 60 sweeps are passed by 1 in 10,000 such tests."""
    pairs = np.array([measure_best(CURSED[kind](seed)) for seed in range(60)])
    (best, error), (figure, own_error) = (average(column[np.isfinite(column)]) for column in pairs.T)
    assert best > 4 * error
    assert math.isnan(figure) if kind == "16 settings, 1 seed" else abs(figure) < 4 * own_error


def average(values: NDArray[np.float64]) -> tuple[float, float]:
    """The mean and its standard error; nan without values."""
    if not len(values):
        return math.nan, math.nan
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values)))


def test_the_text_speaks_where_there_is_something_to_say() -> None:
    sources = [grid(seed, (4, 4), 3, planted=4.0) for seed in range(8)]
    assert sum("winner" in list_claims(source) for source in sources) >= 6
    for source in sources:
        (analysis,) = analyse_sweep(source).views
        best = max(analysis.view.settings, key=lambda setting: float(np.mean(setting.by_run)))
        assert analysis.view.best is best


def test_comparisons_by_several_axes_share_one_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two axes each p value is twice that of a ranking alone; all axes at once are the settings, as in a sweep."""
    random = np.random.default_rng(2)
    axes = {"ppo.lr": ("0.0001", "0.001", "0.01"), "ppo.kl_coef": ("0.1", "0.2")}
    points: list[dict[str, object]] = [dict(zip(axes, both, strict=True)) for both in product(*axes.values())]
    values = [number // 2 + random.normal(size=3) for number in range(6)]  # better by 1 from one learning rate on
    space = {key: f"choice({','.join(own)})" for key, own in axes.items()}
    source = add_settings(swept(points, values, space=space))
    shares = []

    def note_share(*given: Any) -> GroupRanking:
        shares.append(given[5])
        return rank(*given)

    monkeypatch.setattr(compare, "rank", note_share)
    for by in ("ppo.lr", "ppo.kl_coef", "ppo.lr,ppo.kl_coef"):
        compare.compare_groups(source, by)
    assert shares == [1 / 2, 1 / 2, 1]
    # Settings of six runs each, by 2, 1 and 0 apart.
    groups: dict[str, Strata] = {str(level): {(): level + random.normal(size=6)} for level in range(3)}
    whole, half = (rank(groups, share=share).pairs for share in (1.0, 0.5))
    assert [pair.p_value for pair in half] == pytest.approx([min(2 * pair.p_value, 1.0) for pair in whole])
    assert min(pair.p_value for pair in whole) < 0.5


def make_compared(num_models: int) -> Source:
    """Reward models with four learning rates each, of which the third is better, and three seeds."""
    random = np.random.default_rng(8)
    trials = []
    for number in range(4 * num_models):
        setting = {"reward_model": f"model{number // 4}", "ppo.lr": f"{10.0 ** -(number % 4 + 1):g}"}
        values = 1.5 * (number % 4 == 2) + 0.3 * random.normal(size=3)
        runs = [run(number, seed, float(value)) for seed, value in enumerate(values)]
        trials.append(trial(number, setting, [float(values.mean())], runs=runs))
    names = ",".join(f"model{number}" for number in range(num_models))
    return of(trials, space={"reward_model": f"choice({names})", "ppo.lr": "choice(0.1,0.01,0.001,0.0001)"})


def test_the_views_of_reward_models_share_one_rate() -> None:
    """With three views each p value is three times that of a view alone, up to 1."""
    views = make_views(make_compared(3))
    assert [view.num_views for view in views] == [3, 3, 3]
    for view in views:
        alone = replace(view, num_views=1)
        ours, own = (measure_lead(each, each.estimate_noise()) for each in (view, alone))
        assert ours is not None
        assert own is not None
        expected = [min(3 * pair.p_value, 1.0) for pair in own.pairs or ()]
        assert [pair.p_value for pair in ours.pairs or ()] == pytest.approx(expected)
    search = replace(make_views(NULLS["search of 20"](1))[0], num_views=1)
    many = replace(search, num_views=4)
    shared, whole = ([key.p_value for key in measure_importance(each).keys] for each in (many, search))
    assert shared == pytest.approx([min(4 * p_value, 1.0) for p_value in whole])
    # Student's quantile of 10 degrees of freedom is 2.228 at 5 % and 2.634 at half of it; the error is 0.5.
    noise = Noise(0.5, 10.0)
    assert [noise.margin(2, 2), noise.margin(2, 2, share=0.5)] == pytest.approx([1.114, 1.317], abs=0.001)


def test_the_parts_of_an_axis_where_trials_fail_share_one_rate() -> None:
    """The last 3 of 8 learning rates diverged, which chance does in 2 of C(8, 3) = 56 sweeps: 0.0357 for one cause."""
    trials = [trial(number, {"ppo.lr": f"{10.0 ** -(8 - number):g}"}, [1.0 * number]) for number in range(5)]
    trials += [
        trial(number, {"ppo.lr": f"{10.0 ** -(8 - number):g}"}, None, state="failed", cause="diverged")
        for number in range(5, 8)
    ]
    (view,) = make_views(of(trials, space={"ppo.lr": "interval(1e-9, 1)"}))
    (statement,) = find_bad_regions(view)
    assert statement.evidence["p value"] == pytest.approx(2 / 56)
    (statement,) = find_bad_regions(replace(view, num_views=2))
    assert "p value" not in statement.evidence
    # One more trial fails for another reason: two causes, and 2 / C(9, 3) = 2 / 84 becomes 0.0476.
    trials.append(trial(8, {"ppo.lr": "3e-9"}, None, state="failed", cause="out_of_memory"))
    (view,) = make_views(of(trials, space={"ppo.lr": "interval(1e-9, 1)"}))
    diverged, _ = find_bad_regions(view)
    assert diverged.evidence["p value"] == pytest.approx(2 * 2 / 84)
