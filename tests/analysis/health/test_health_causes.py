"""Which setting is blamed, right at the limits; an unusual setting alone is none to blame."""

from typing import Any

import numpy as np
import pytest
from helpers.health_runs import UPDATES, found, run, step

from analysis.health.causes import CAUSES
from analysis.health.findings import diagnose_run
from analysis.records.runs import DIVERGED, FAILED, RunRecord

FLAT = np.tile([0.1, -0.1], 50)
RISING = np.linspace(0, 5, 100)
BLOWN: dict[str, Any] = {"objective__kl": step(5, 70, 41), "objective__scores": RISING}
CALM: dict[str, Any] = {"objective__kl": 5.0, "objective__scores": RISING}
STILL: dict[str, Any] = {"objective__kl": 0.05, "objective__scores": FLAT, "objective__scores_std": 1.8}
SHARED: dict[str, Any] = {"ppo.value_model": "shared", "ppo.max_grad_norm": 1.0, "ppo.vf_coef": 20.0}
DROWNED: dict[str, Any] = {"policy__grad_norm": 2.1, "value__grad_norm": 2.2, "objective__scores": RISING}
WIDE: dict[str, Any] = {
    "policy__approxkl_avg": 0.0025,
    "policy__clipfrac_avg": 0.0029,
}  # 0.058 of the root, which is 0.05
TINY: dict[str, Any] = {"model.suggested_lr": 5e-4}
BONUS: dict[str, Any] = {"policy__entropy_avg": step(0.4, 0.65, 41), "loss__policy_avg": -0.01}  # 0.65 is 1.6 times 0.4
STEPS: dict[str, Any] = {"ppo.num_ppo_epochs": 2}
GAIN = np.where(UPDATES <= 50, 0.0, 0.2)  # three standard errors of 0.069
SLOW: dict[str, Any] = {"ppo.lr": 5e-4, "ppo.value_model": "shared"}
LOSS: dict[str, Any] = {"ppo.kl_estimator": "k1", "ppo.kl_coef": 0.1}
NOISY: dict[str, Any] = {"objective__scores": FLAT, "objective__scores_std": 0.5, "objective__kl": 0.5}

# Cause -> pairs of a sick run and of runs that differ from it in one thing only, which are not blamed for it.
CASES: dict[str, tuple[tuple[dict[str, Any], dict[str, Any]], list[tuple[dict[str, Any], dict[str, Any]]]]] = {
    "value loss drowns the policy": (
        (SHARED, DROWNED),
        [
            (SHARED, DROWNED | {"policy__grad_norm": 1.9}),
            (SHARED, DROWNED | {"value__grad_norm": 2.0}),
            (SHARED | {"ppo.value_model": "policy"}, DROWNED),
        ],
    ),
    "value model's steps too large": (
        ({"ppo.lr": 1e-3, "ppo.value_lr": 0.021}, {"val__explained_variance": 0.02, **CALM}),
        [
            ({"ppo.lr": 1e-3, "ppo.value_lr": 0.019}, {"val__explained_variance": 0.02, **CALM}),
            ({"ppo.lr": 1e-3, "ppo.value_lr": 0.021}, {"val__explained_variance": 0.04, **CALM}),
            # The head of a shared trunk learns ten times as fast by default.
            (
                {"ppo.lr": 1e-3, "ppo.value_lr": 0.021, "ppo.value_model": "shared"},
                {"val__explained_variance": 0.02, **CALM},
            ),
        ],
    ),
    "clip range too wide": (
        ({"ppo.clip_range": 0.5}, {**WIDE, **CALM}),
        [
            ({"ppo.clip_range": 0.49}, {**WIDE, **CALM}),
            ({"ppo.clip_range": 0.5}, {**WIDE, **CALM, "policy__clipfrac_avg": 0.0031}),
            ({"ppo.clip_range": 0.5}, {**CALM, "policy__approxkl_avg": 0.0019, "policy__clipfrac_avg": 0.0022}),
        ],
    ),
    "too many epochs": (
        ({"ppo.num_ppo_epochs": 8}, {"policy__approxkl_avg": 0.2, **BLOWN}),
        [
            ({"ppo.num_ppo_epochs": 7}, {"policy__approxkl_avg": 0.2, **BLOWN}),
            ({"ppo.num_ppo_epochs": 8}, {"policy__approxkl_avg": 0.2, **CALM}),
        ],
    ),
    "learning rate too high": (
        (TINY | {"ppo.lr": 1.6e-3}, BLOWN),
        [
            (TINY | {"ppo.lr": 1.4e-3}, BLOWN),
            (TINY | {"ppo.lr": 1.6e-3}, CALM),
            ({"ppo.lr": 1.6e-3}, BLOWN),  # what suits the model is unknown
            (TINY | {"ppo.lr": 1.4e-2, "ppo.lora_rank": 16}, BLOWN),
        ],
    ),
    "too many minibatches": (
        (STEPS | {"ppo.num_minibatches": 16}, {"policy__approxkl_avg": 0.2, **BLOWN}),
        [
            (STEPS | {"ppo.num_minibatches": 15}, {"policy__approxkl_avg": 0.2, **BLOWN}),
            (STEPS | {"ppo.num_minibatches": 16}, {"policy__approxkl_avg": 0.2, **CALM}),
            (STEPS | {"ppo.num_minibatches": 16, "ppo.accumulation_steps": 2}, {"policy__approxkl_avg": 0.2, **BLOWN}),
        ],
    ),
    "learning rate does not fall": (
        ({"ppo.lr": 5e-4, "ppo.lr_schedule": "constant"}, {"policy__approxkl_avg": 0.06, **BLOWN}),
        [
            ({"ppo.lr": 5e-4, "ppo.lr_schedule": "constant"}, {"policy__approxkl_avg": 0.04, **BLOWN}),
            ({"ppo.lr": 5e-4, "ppo.lr_schedule": "linear"}, {"policy__approxkl_avg": 0.06, **BLOWN}),
            ({"ppo.lr": 5e-4, "ppo.lr_schedule": "constant"}, {"policy__approxkl_avg": 0.06, **CALM}),
        ],
    ),
    "entropy bonus too strong": (
        # The median entropy is 0.65: a bonus of 0.021 is more than twice the loss of 0.01.
        ({"ppo.entropy_coef": 0.032}, BONUS),
        [
            ({"ppo.entropy_coef": 0.030}, BONUS),
            ({"ppo.entropy_coef": 0.1}, BONUS | {"policy__entropy_avg": step(0.4, 0.59, 41)}),
        ],
    ),
    "temperature too high": (
        ({"ppo.temperature": 1.5}, {"policy__entropy_avg": 2.4, **BLOWN}),
        [
            ({"ppo.temperature": 1.4}, {"policy__entropy_avg": 2.4, **BLOWN}),
            ({"ppo.temperature": 1.5}, {"policy__entropy_avg": 2.4, **CALM}),
        ],
    ),
    "KL penalty too strong": (
        ({"ppo.kl_coef": 1.9}, STILL),
        [
            ({"ppo.kl_coef": 1.7}, STILL),
            ({"ppo.kl_coef": 1.9}, STILL | {"objective__scores": RISING}),
            ({"ppo.kl_coef": 1.9}, STILL | {"objective__kl": 3.1}),
            ({"ppo.kl_coef": 1.9}, STILL | {"objective__kl_coef": 0.02}),  # the controller has lowered it
        ],
    ),
    "learning rate too low": (
        (TINY | {"ppo.lr": 4.9e-5}, STILL),
        [(TINY | {"ppo.lr": 5.1e-5}, STILL), (TINY | {"ppo.lr": 4.9e-5}, STILL | {"objective__scores": RISING})],
    ),
    "steps too small or too few": (
        ({"ppo.max_grad_norm": 9e-4}, STILL | {"policy__grad_norm": 1.0}),
        [
            ({"ppo.max_grad_norm": 1.1e-3}, STILL | {"policy__grad_norm": 1.0}),
            ({"ppo.max_grad_norm": 9e-4}, STILL | {"policy__grad_norm": 1.0, "objective__scores": RISING}),
        ],
    ),
    "discount too short": (
        # To the tenth of 20 tokens: 0.79 to the tenth power is 0.095, 0.8 to it 0.107.
        ({"ppo.gamma": 0.79}, STILL | {"objective__length": 20.0}),
        [
            ({"ppo.gamma": 0.8}, STILL | {"objective__length": 20.0}),
            ({"ppo.gamma": 0.79}, CALM | {"objective__length": 20.0}),
        ],
    ),
    "GAE lambda too low": (
        # To the third of 6 tokens: 0.45 to the third power is 0.091, 0.47 to it 0.104.
        ({"ppo.gae_lambda": 0.45}, STILL | {"objective__length": 6.0}),
        [
            ({"ppo.gae_lambda": 0.47}, STILL | {"objective__length": 6.0}),
            ({"ppo.gae_lambda": 0.51}, STILL | {"objective__length": 20.0}),  # 0.001, but not far from usual
            ({"ppo.gae_lambda": 0.0}, STILL | {"objective__length": 1.0}),
            ({"ppo.gae_lambda": 0.0}, CALM | {"objective__length": 20.0, "objective__scores_std": 1.8}),
        ],
    ),
    "temperature too low": (
        ({"ppo.temperature": 0.3}, STILL | {"policy__entropy_avg": 0.1}),
        [
            ({"ppo.temperature": 0.31}, STILL | {"policy__entropy_avg": 0.1}),
            ({"ppo.temperature": 0.3}, CALM | {"policy__entropy_avg": 0.1}),
        ],
    ),
    "value model hardly trained": (
        # A head on a shared trunk learns at 5e-3 by default; a twentieth of it is 2.5e-4.
        (TINY | SLOW | {"ppo.value_lr": 2.4e-4}, {"val__explained_variance": 0.02, **CALM}),
        [
            (TINY | SLOW | {"ppo.value_lr": 2.6e-4}, {"val__explained_variance": 0.02, **CALM}),
            (TINY | SLOW | {"ppo.value_lr": 2.4e-4}, {"val__explained_variance": 0.04, **CALM}),
            (TINY | SLOW | {"ppo.value_lr": None}, {"val__explained_variance": 0.02, **CALM}),
        ],
    ),
    "KL penalty without effect": (
        (LOSS | {"ppo.kl_in": "loss"}, BLOWN),
        [
            (LOSS | {"ppo.kl_in": "loss"}, CALM),
            (LOSS | {"ppo.kl_in": "reward"}, BLOWN),
            (LOSS | {"ppo.kl_in": "loss", "ppo.kl_estimator": "k3"}, BLOWN),
            (LOSS | {"ppo.kl_in": "loss", "ppo.kl_coef": 0.0}, BLOWN),
        ],
    ),
    "KL penalty too weak": (
        # It ends at 70 nats, which cost 1.75 and 1.89: a tenth of the deviation is 1.8.
        ({"ppo.kl_coef": 0.025}, BLOWN | {"objective__scores_std": 18.0}),
        [
            ({"ppo.kl_coef": 0.027}, BLOWN | {"objective__scores_std": 18.0}),
            ({"ppo.kl_coef": 0.025}, CALM | {"objective__scores_std": 18.0}),
        ],
    ),
    "batch too small": (
        # A noise of 0.218 (see test_health_learning.py) is 0.44 of 0.5, and 0.29 of 0.75.
        ({"ppo.batch_size": 8}, NOISY),
        [
            ({"ppo.batch_size": 9}, NOISY),
            ({"ppo.batch_size": 8}, NOISY | {"objective__scores_std": 0.75}),
            # Answers are cut, which is no matter of the batch.
            ({"ppo.batch_size": 8}, NOISY | {"objective__scores": FLAT + GAIN, "objective__truncated_rate": 0.5}),
            ({"ppo.batch_size": 4}, NOISY | {"objective__scores": FLAT + RISING}),
        ],
    ),
}


def test_a_high_rate_without_clipped_gradients_names_both() -> None:
    config = TINY | {"ppo.lr": 1.6e-3, "ppo.max_grad_norm": None}
    (first, *_) = diagnose_run(run(config, **BLOWN))
    assert (first.kind, first.advice) == (
        "learning rate too high",
        "lower ppo.lr to 0.0005, and set ppo.max_grad_norm=1 again",
    )
    assert "clipped" not in diagnose_run(run(config | {"ppo.max_grad_norm": 1.0}, **BLOWN))[0].text


def test_a_low_lambda_is_blamed_for_a_policy_that_moves_too_far_although_its_score_rises() -> None:
    blown = BLOWN | {"objective__length": 20.0, "objective__scores_std": 1.8}
    assert diagnose_run(run({"ppo.gae_lambda": 0.0}, **blown))[0].kind == "GAE lambda too low"


def test_every_cause_has_a_case() -> None:
    assert set(CASES) == set(CAUSES)


@pytest.mark.parametrize("cause", CASES)
def test_a_setting_is_blamed_first_and_with_its_key(cause: str) -> None:
    config, metrics = CASES[cause][0]
    (first, *others) = diagnose_run(run(config, **metrics))
    assert first.kind == cause
    assert not {finding.kind for finding in others} & set(CAUSES)
    key = "ppo.vf_coef" if "ppo.vf_coef" in config else list(config)[-1]
    assert key in f"{first.text} {first.advice}"
    assert all(np.isfinite(number) for number in first.evidence.values())


@pytest.mark.parametrize("cause", CASES)
def test_a_setting_is_not_blamed_without_evidence(cause: str) -> None:
    for config, metrics in CASES[cause][1]:
        assert cause not in found(run(config, **metrics)), (config, metrics)


def test_updates_that_end_early_and_an_epsilon_that_swallows_gradients() -> None:
    ended = run({"ppo.target_kl": 1e-6, "ppo.num_ppo_epochs": 4}, **STILL, policy__epochs=1.9)
    assert "ppo.target_kl=1e-06 ends updates after 1.9 of 4 passes" in found(ended)["steps too small or too few"].text
    late = run({"ppo.target_kl": 1e-6, "ppo.num_ppo_epochs": 4}, **STILL, policy__epochs=2.1)
    assert "steps too small or too few" not in found(late)
    assert "ppo.adam_eps" in found(run({"ppo.adam_eps": 1e-2}, **STILL))["steps too small or too few"].text


@pytest.mark.parametrize(("size", "expected"), [(4, ["batch too small"]), (5, [])])
def test_very_few_answers_are_blamed_for_an_uncertain_gain(size: int, expected: list[str]) -> None:
    """The score rises, and nothing else is wrong."""
    assert list(found(run({"ppo.batch_size": size}, **NOISY | {"objective__scores": FLAT + GAIN}))) == expected


def test_a_value_model_without_a_weight_is_blamed_where_its_values_foresee_nothing() -> None:
    untrained = found(run({"ppo.vf_coef": 0.0}, **CALM, val__explained_variance=-0.1))
    assert list(untrained) == ["value model hardly trained"]
    share = "the values explain 0 % of the returns' variance in the median update"
    assert (
        untrained["value model hardly trained"].text == f"ppo.vf_coef=0 leaves the value model untrained, and {share}"
    )
    assert not found(run({"ppo.vf_coef": 0.0}, **CALM, val__explained_variance=0.04))
    (worse,) = diagnose_run(run({"ppo.vf_coef": 0.0}, **CALM, val__explained_variance=-0.71))
    assert worse.text.endswith(
        "in the median update a constant foresees the returns better (explained variance: -0.71)"
    )


def test_a_temperature_that_makes_noise_is_blamed_in_any_run() -> None:
    hot = run({"ppo.temperature": 1.5}, **CALM, policy__entropy_avg=2.6)
    assert list(found(hot)) == ["temperature too high"]


def test_the_scale_of_scores_is_blamed_where_it_is_wide() -> None:
    config = {**SHARED, "ppo.vf_coef": 0.02}
    wide = found(run(config, **DROWNED, objective__scores_std=1000.0))["value loss drowns the policy"]
    assert wide.advice.startswith("bring scores to a common scale (ppo.score_scaling=scale")
    assert "the scores deviate by 1,000" in wide.text or "the scores deviate by 1000" in wide.text


def test_a_failed_run_says_first_how_it_ended_and_a_diverged_one_why() -> None:
    config = {**TINY, "ppo.lr": 0.05}
    metrics = run(config, **BLOWN).metrics
    assert [one.kind for one in diagnose_run(RunRecord("0", metrics, config, FAILED, {"cause": "error"}))][:2] == [
        "failed: error",
        "learning rate too high",
    ]
    diverged = diagnose_run(RunRecord("0", metrics, config, DIVERGED, {"update": 7}))
    assert [one.kind for one in diverged][:2] == ["learning rate too high", "diverged"]


@pytest.mark.parametrize(
    ("kl", "length", "expected"),
    [(0.051, None, True), (-0.051, None, True), (0.049, None, False), (0.11, 50.0, True), (0.09, 50.0, False)],
)
def test_a_policy_is_its_reference_before_the_first_step(kl: float, length: float | None, expected: bool) -> None:
    """0.002 nats a token are 0.1 of an answer of 50."""
    metrics = {"update": UPDATES, "objective/kl": np.where(UPDATES == 1, kl, 1.0)}
    metrics |= {} if length is None else {"objective/length": np.full(100, length)}
    told = found(RunRecord("0", metrics))
    assert ("KL before training" in told) is expected
    if expected:
        assert told["KL before training"].update == 1


def test_a_first_kl_that_is_of_a_later_update_says_nothing() -> None:
    later = RunRecord("0", {"update": np.arange(10.0, 210, 10), "objective/kl": np.full(20, 0.5)})
    every_tenth = RunRecord("0", {"update": np.arange(1.0, 201, 10), "objective/kl": np.full(20, 0.5)})
    assert not diagnose_run(later)
    assert not diagnose_run(every_tenth)
    evaluated = {"update": np.arange(0.0, 200, 10), "eval/kl": np.full(20, 0.5)}
    assert "KL before training" in found(RunRecord("0", evaluated))


def test_a_low_learning_rate_is_blamed_for_a_gain_that_may_be_noise() -> None:
    """At a fiftieth of the rate: the gain of 0.2 is an eighth of the deviation, and three errors of 0.069."""
    scores = np.where(UPDATES <= 50, 0.0, 0.2) + FLAT
    kl: dict[str, Any] = {"objective__kl": 0.02, "objective__scores_std": 1.6}
    assert list(found(run(TINY | {"ppo.lr": 1e-5}, **kl, objective__scores=scores))) == ["learning rate too low"]
    assert not found(run(TINY | {"ppo.lr": 5e-4}, **kl, objective__scores=scores))


@pytest.mark.parametrize(("num", "is_blamed"), [(9, False), (10, True)])
def test_what_a_gain_has_to_show_takes_ten_updates(num: int, is_blamed: bool) -> None:
    """Each of these settings keeps the score where it was; fewer updates cannot show that."""
    columns = {"objective/kl": 0.02, "objective/scores_std": 0.5, "objective/length": 20.0, "policy/entropy_avg": 0.4}
    wobble = {"objective/scores": np.tile([0.5, -0.5], 5)[:num]}
    metrics = {"update": UPDATES[:num]} | {name: np.full(num, value) for name, value in columns.items()} | wobble
    metrics["objective/kl"][0] = 0.0
    for config in (
        {"ppo.kl_coef": 2.0},
        TINY | {"ppo.lr": 1e-5},
        {"ppo.gamma": 0.5},
        {"ppo.temperature": 0.1},
        {"ppo.batch_size": 4},
    ):
        kinds = [finding.kind for finding in diagnose_run(RunRecord("0", metrics, config))]
        assert bool(kinds) is is_blamed, (config, kinds)
