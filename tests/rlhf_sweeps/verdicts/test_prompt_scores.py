"""A run's scores by prompt are those of the evaluations that its objective is taken from."""

from dataclasses import replace
from typing import Any

import pytest

from rlhf_sweeps.config.schema import ObjectiveConfig
from rlhf_sweeps.verdicts.prompt_scores import has_prompt_scores, read_prompt_scores

OBJECTIVE = ObjectiveConfig(["eval/score"], ["maximize"], "best", 1, 15.0, [])
# Update -> the score on each of two prompts, on which the base policy has 0.5 and 1.5.
SCORES = {5: (1.0, 2.0), 10: (4.0, 3.0), 15: (2.0, 5.0), 20: (9.0, 9.0)}
SAMPLES = [
    {"update": update, "prompt": prompt, "score": value, "base_score": base}
    for update, scores in SCORES.items()
    for prompt, value, base in zip("ab", scores, (0.5, 1.5), strict=True)
]
# The last evaluation is beyond the KL budget.
SUMMARY: dict[str, Any] = {
    "best": {"update": 10, "score": 3.5, "kl": 3.0},
    "last": {"update": 20, "score": 9.0, "kl": 99.0},
    "updates_within_budget": [5, 10, 15],
}


@pytest.mark.parametrize(
    ("reduction", "mean_over", "expected"),
    [
        ("best", 1, (4, 3)),
        ("last", 3, (2, 5)),
        ("mean", 2, ((4 + 2) / 2, (3 + 5) / 2)),
        ("mean", 9, ((1 + 4 + 2) / 3, (2 + 3 + 5) / 3)),
        ("frontier", 1, None),
    ],
)
def test_the_evaluations_that_give_the_objective(
    reduction: str, mean_over: int, expected: tuple[float, float] | None
) -> None:
    objective = replace(OBJECTIVE, reduction=reduction, mean_over=mean_over)
    scores = read_prompt_scores(SUMMARY, SAMPLES, objective)
    assert list(scores.values()) == pytest.approx(list(expected or ()))


def test_a_run_beyond_the_budget_is_worth_the_base_policy_on_every_prompt() -> None:
    summary = {"last": SUMMARY["last"], "best": None, "updates_within_budget": []}
    for reduction in ("best", "last", "mean"):
        scores = read_prompt_scores(summary, SAMPLES, replace(OBJECTIVE, reduction=reduction))
        assert list(scores.values()) == [0.5, 1.5]


def test_the_base_policy_has_no_part_in_the_scores_of_a_run_within_the_budget() -> None:
    """Settings may sweep the model: then each has a base policy of its own, which the objective does not know."""
    lost = [{name: value for name, value in row.items() if name != "base_score"} for row in SAMPLES]
    moved = [{**row, "base_score": 7.0 - row["score"]} for row in SAMPLES]
    for reduction in ("best", "last", "mean"):
        objective = replace(OBJECTIVE, reduction=reduction, mean_over=2)
        scores = read_prompt_scores(SUMMARY, SAMPLES, objective)
        assert read_prompt_scores(SUMMARY, lost, objective) == read_prompt_scores(SUMMARY, moved, objective) == scores


def test_the_best_evaluation_is_cross_fitted_and_gives_the_score_itself() -> None:
    """Ten prompts in five parts of two: update 1 is better by 3 on the first and the sixth prompt, else worse by 0.5.

    Over the eight prompts of four parts it is better by (2 x 3 - 6 x 0.5) / 8, and worse without these two prompts.
    """
    early, late = [4.0, *[0.5] * 4] * 2, [1.0] * 10
    samples = [
        {"update": update, "prompt": f"p{place}", "score": value, "base_score": 0.0}
        for update, scores in ((1, early), (2, late))
        for place, value in enumerate(scores)
    ]
    summary = {"best": {"update": 1, "score": 1.2, "kl": 1.0}, "updates_within_budget": [1, 2]}
    assert list(read_prompt_scores(summary, samples, OBJECTIVE).values()) == [1.0, *[0.5] * 4] * 2


def test_what_is_not_recorded_is_unknown() -> None:
    assert read_prompt_scores(SUMMARY, [], OBJECTIVE) == {}
    assert read_prompt_scores({}, SAMPLES, OBJECTIVE) == {}
    older = {key: value for key, value in SUMMARY.items() if key != "updates_within_budget"}
    assert list(read_prompt_scores(older, SAMPLES, OBJECTIVE).values()) == [4, 3]
    assert read_prompt_scores(older, SAMPLES, replace(OBJECTIVE, reduction="last")) == {}
    lost = [row for row in SAMPLES if row["update"] != 10]
    assert read_prompt_scores(SUMMARY, lost, replace(OBJECTIVE, reduction="mean", mean_over=2)) == {}


def test_only_the_held_out_score_is_a_mean_over_prompts() -> None:
    others = [{"metrics": ["eval/win_rate"]}, {"metrics": ["eval/score", "eval/kl"]}, {"directions": ["minimize"]}]
    assert has_prompt_scores(OBJECTIVE)
    assert not any(has_prompt_scores(replace(OBJECTIVE, **changed)) for changed in others)  # type: ignore[arg-type]
