"""Importance against simulated sweeps in which one key matters and the others do not."""

import numpy as np
import optuna
import pytest
from helpers.sweep_sources import SPACE, hill, of, search, swept, trial
from scipy.stats import f_oneway

from analysis.sweep.chance import compute_p_values
from analysis.sweep.importance import measure_importance
from analysis.sweep.pruned import estimate_pruned
from analysis.sweep.settings import make_views
from analysis.sweep.thresholds import MIN_IMPORTANCE_SETTINGS
from rlhf_sweeps.record import Axis
from rlhf_sweeps.verdicts.error_rate import SIGNIFICANCE_LEVEL


def test_the_key_that_matters_is_first_and_clear_and_the_others_are_not() -> None:
    found = measure_importance(make_views(search(hill(-3.3), 24, 0.1, seed=0))[0])
    first, *others = found.keys
    assert (first.key, first.is_clear) == ("ppo.lr", True)
    assert first.fanova is not None
    assert first.fanova.value > 0.8
    assert first.fanova.low <= first.fanova.value <= first.fanova.high
    assert not any(one.is_clear for one in others)
    assert sum(one.fanova.value for one in found.keys if one.fanova) == pytest.approx(1)
    assert sum(one.ped_anova.value for one in found.keys if one.ped_anova) == pytest.approx(1)


def test_from_the_fewest_settings_on_the_most_important_key_is_found() -> None:
    sweeps = [
        measure_importance(make_views(search(hill(-3.3), MIN_IMPORTANCE_SETTINGS, 0.3, seed))[0]) for seed in range(8)
    ]
    assert sum(found.keys[0].key == "ppo.lr" for found in sweeps) >= 7


def test_fanova_is_the_share_of_the_variance_over_positions() -> None:
    """min(log10 lr, -3) over three decades has a variance of 4/9, 0.55 log10 kl_coef over log10 250 one of 0.145.

    By plain values all the change would be in a tenth of the axis of lr, and kl_coef would be first.
    """

    def objective(point: dict[str, float]) -> float:
        return float(min(np.log10(point["ppo.lr"]), -3.0) + 0.55 * np.log10(point["ppo.kl_coef"]))

    first = measure_importance(make_views(search(objective, 140, 0.0, 3))[0]).keys[0]
    assert first.fanova is not None
    assert (first.key, first.fanova.value) == ("ppo.lr", pytest.approx(0.444 / 0.589, abs=0.07))


def test_ped_anova_is_about_the_best_settings() -> None:
    """The learning rate alone decides what is good; of what is bad, the KL coefficient decides how bad."""

    def objective(point: dict[str, float]) -> float:
        return 1.0 + 1e-3 * point["ppo.lr"] if point["ppo.lr"] > 1e-3 else -float(np.log10(point["ppo.kl_coef"]) + 5)

    found = {one.key: one.ped_anova for one in measure_importance(make_views(search(objective, 60, 0.0, 1))[0]).keys}
    first, second = found["ppo.lr"], found["ppo.kl_coef"]
    assert first is not None
    assert second is not None
    assert first.value > 2 * second.value


def test_equal_input_equal_numbers() -> None:
    assert measure_importance(make_views(search(hill(-3.3), 15, 0.1, 4))[0]) == measure_importance(
        make_views(search(hill(-3.3), 15, 0.1, 4))[0]
    )


def test_chance_alone_seldom_makes_a_key_matter() -> None:
    random = np.random.default_rng(0)
    axes = [Axis("a"), Axis("b"), Axis("c", ("x", "y", "z"))]
    found = []
    for _ in range(100):
        positions = np.column_stack([random.random(18), random.random(18), random.integers(0, 3, 18)])
        found.append(compute_p_values(axes, positions, random.standard_normal(18)).min())
    # Of 100 draws at 5 %, 11 or more come up once in a hundred.
    assert 0 < sum(value <= SIGNIFICANCE_LEVEL for value in found) <= 11


def test_a_key_that_is_narrowed_while_another_gets_better_is_not_taken_for_a_cause() -> None:
    random = np.random.default_rng(1)
    progress = np.linspace(0, 1, 40)
    first = progress + 0.1 * random.standard_normal(40)
    second = progress + 0.3 * random.standard_normal(40)
    positions = np.column_stack([first, second])
    found = compute_p_values([Axis("a"), Axis("b")], positions, first + 0.05 * random.standard_normal(40))
    assert found[0] <= SIGNIFICANCE_LEVEL < found[1]


def test_the_test_of_a_list_is_that_of_the_analysis_of_variance() -> None:
    """With one axis, permutations approach the F test of the ranks."""
    random = np.random.default_rng(5)
    groups = random.integers(0, 3, 60)
    values = 0.3 * groups + random.standard_normal(60)
    ranks = values.argsort().argsort()
    expected = f_oneway(*(ranks[groups == one] for one in range(3))).pvalue
    (found,) = compute_p_values([Axis("a", ("x", "y", "z"))], groups[:, None].astype(float), values)
    assert found == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize(
    ("sweep", "told"),
    [
        (search(hill(-3.3), MIN_IMPORTANCE_SETTINGS - 1, 0.1, 0), "too few"),
        (swept([{"ppo.lr": 1e-4 * n} for n in range(1, 20)], [[1.0]] * 19), "the only key"),
        (
            swept([{"ppo.lr": 1e-4 * n, "ppo.kl_coef": n / 50} for n in range(1, 20)], [[1.0]] * 19),
            "have the same objective",
        ),
        (swept([{"seed": n} for n in range(20)], [[float(n)] for n in range(20)]), "nothing but the seed"),
    ],
)
def test_what_cannot_be_said_is_not(sweep: object, told: str) -> None:
    found = measure_importance(make_views(sweep)[0])  # type: ignore[arg-type]
    assert not found.keys
    assert told in str(found.problem)


def test_a_key_that_is_not_always_active_has_no_fanova() -> None:
    random = np.random.default_rng(2)
    points = [{"ppo.lr": 10 ** random.uniform(-5, -2), "ppo.clip_range": 0.1 + 0.1 * (n % 2)} for n in range(30)]
    for point in points[::2]:
        point["ppo.kl_coef"] = 10 ** random.uniform(-2.5, -0.5)
    found = measure_importance(make_views(swept(points, [[hill(-3.3)(point)] for point in points]))[0])
    by_key = {one.key: one for one in found.keys}
    assert by_key["ppo.kl_coef"].fanova is None
    assert by_key["ppo.kl_coef"].ped_anova is not None


def test_a_list_of_very_many_names_takes_no_time() -> None:
    random = np.random.default_rng(3)
    points = [{"name_of": f"n{n}", "ppo.lr": 10 ** random.uniform(-5, -2)} for n in range(60)]
    found = measure_importance(make_views(swept(points, [[hill(-3.3)(point)] for point in points]))[0])
    assert {one.key for one in found.keys} == {"name_of", "ppo.lr"}


def test_each_reward_model_is_looked_at_alone_and_none_is_left_out() -> None:
    sweep = search(hill(-3.3), 30, 0.1, 0)
    trials = [
        trial(
            one.number,
            {**one.settings, "reward_model": "ab"[one.number % 2]},
            [one.objectives[0] + 9 * (one.number % 2)],
        )
        for one in sweep.trials
        if one.objectives
    ]
    both = make_views(of(trials, space={**SPACE, "reward_model": "choice(a,b)"}, comparison={"judges": []}))
    assert [view.label for view in both] == ["a", "b"]
    for view in both:
        assert [axis.key for axis in view.axes] == list(SPACE)
        assert measure_importance(view).keys[0].key == "ppo.lr"


def test_pruned_trials_take_part_with_what_they_would_have_been_worth() -> None:
    study = optuna.create_study()
    distribution = optuna.distributions.FloatDistribution(1e-5, 1e-2, log=True)
    # Complete trials gain 1 from update 5 on, all the same; the pruned one had 0.5 there. Half of the gain is unsure.
    for number, state in enumerate(["COMPLETE"] * 3 + ["PRUNED"]):
        value = 2.0 + number if state == "COMPLETE" else None
        reports = {5: 1.0 + number, 10: 2.0 + number} if value else {5: 0.5}
        study.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState[state],
                value=value,
                params={"ppo.lr": 1e-4},
                distributions={"ppo.lr": distribution},
                intermediate_values=reports,
            )
        )
    points = [{"ppo.lr": 10.0 ** -(number + 2)} for number in range(4)]
    trials = [trial(number, points[number], [2.0 + number]) for number in range(3)]
    (view,) = make_views(of([*trials, trial(3, points[3], None, state="pruned")], study=study))
    (guess,) = view.pruned
    assert (guess.numbers, guess.objectives[0], guess.deviation) == ((3,), 1.5, 0.5)


def test_what_a_pruned_trial_would_have_gained_is_as_unsure_as_others_differ_in_it() -> None:
    """Gains of 1, 2 and 4 from update 5 on: 2 in the median, 1.4826 x 1 from there, and half of the gain is unsure."""
    study = optuna.create_study()
    ends: list[float | None] = [2.0, 3.0, 5.0, 101.0, None]
    for end in ends:
        reports = {5: 0.5} if end is None else {5: 1.0, 10: end}
        study.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState["PRUNED" if end is None else "COMPLETE"],
                value=end,
                intermediate_values=reports,
            )
        )
    states = ["complete"] * 3 + ["stopped", "pruned"]  # the fourth was stopped, however good it was
    trials = [
        trial(number, {"ppo.lr": 10.0 ** -(number + 2)}, None if end is None else [end], state=state)
        for number, (end, state) in enumerate(zip(ends, states, strict=True))
    ]
    (guess,) = estimate_pruned(study, trials, 1)
    assert (guess.number, guess.value) == (4, 2.5)
    assert guess.deviation == pytest.approx((1.4826**2 + 1) ** 0.5)
    assert estimate_pruned(study, trials, 2) == []
    assert estimate_pruned(study, [*trials[1:3], trials[4]], 1) == []  # two complete trials are too few


def test_settings_of_pruned_trials_count() -> None:
    study = optuna.create_study()
    points = search(hill(-3.3), 16, 0.1, 0).trials
    trials = []
    for number, one in enumerate(points):
        assert one.objectives is not None
        is_pruned = number >= 8
        study.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState["PRUNED" if is_pruned else "COMPLETE"],
                value=None if is_pruned else one.objectives[0],
                intermediate_values={5: one.objectives[0] - 0.1},
            )
        )
        state = "pruned" if is_pruned else "complete"
        trials.append(trial(number, dict(one.settings), None if is_pruned else list(one.objectives), state=state))
    found = measure_importance(make_views(of(trials, study=study))[0])
    assert found.num_settings == 16
    assert (found.keys[0].key, found.keys[0].is_clear) == ("ppo.lr", True)
