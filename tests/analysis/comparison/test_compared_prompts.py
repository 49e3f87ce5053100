"""Prompts in the noise of compared groups: at the evaluations that give the compared value."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from helpers.compared_runs import at, run, source

from analysis.comparison.compare import compare_groups
from analysis.records.runs import RunRecord
from analysis.views.comparison_sentences import write_design_sentences

SEEDS = (0.05, 0.0, -0.05)  # added to the scores of one setting, and subtracted from those of the other
ON_SOME, ON_ALL = np.array([6.0, -4.0, 5.0, -3.0]), np.ones(4)
LAST = {"objective.metrics": ["eval/score"], "objective.directions": ["maximize"], "objective.reduction": "last"}

UNDERSCORED = {key.replace(".", "__"): value for key, value in LAST.items()}


def make_run(key: int, seed: int, config: Mapping[str, Any]) -> RunRecord:
    """On four prompts: at the best evaluation the second setting is better on two of them, at the last one on all."""
    tables = {
        update: (gain if key == 2 else 0 * gain) + (SEEDS[seed] if key == 2 else -SEEDS[seed])
        for update, gain in ((5, 10 + ON_SOME), (10, ON_ALL))
    }
    means = {update: float(scores.mean()) for update, scores in tables.items()}
    made = run(
        f"{key}/{seed}",
        means[10],
        metrics={"eval/score": np.nan_to_num(at(5, means[5])) + np.nan_to_num(at(10, means[10]))},
        summary={
            "best": {"update": 5, "score": means[5], "kl": 1.0},
            "last": {"update": 10, "score": means[10], "kl": 1.0},
            "updates_within_budget": [5, 10],
            "objectives": [means[10]],
        },
        key=key,
        seed=seed,
    )
    samples = [
        {"update": update, "prompt": str(prompt), "score": score, "base_score": 0.0}
        for update, scores in tables.items()
        for prompt, score in enumerate(scores.tolist())
    ]
    return replace(made, config={**made.config, **config}, read_samples=lambda: samples)


@pytest.mark.parametrize("config", [LAST, {**LAST, "objective.metrics": ["eval/win_rate"]}, {}])
def test_the_metric_of_the_best_evaluation_has_the_prompts_of_this_evaluation(config: dict[str, Any]) -> None:
    """By hand: the prompts have a variance of 82 / 3, by four of them; the seeds have 0.01 / 3."""
    runs = [make_run(key, seed, config) for key in (1, 2) for seed in range(3)]
    (pair,) = compare_groups(source(runs), "key", "eval/score").pairs
    assert pair.difference == pytest.approx(11.0)
    assert pair.prompt_share == pytest.approx((82 / 3 / 4) / (82 / 3 / 4 + 0.01 / 3))


def test_the_objective_has_the_prompts_of_its_own_evaluation() -> None:
    """At the last evaluation the setting is better by as much on every prompt."""
    runs = [make_run(key, seed, LAST) for key in (1, 2) for seed in range(3)]
    (pair,) = compare_groups(source(runs), "key").pairs
    assert (pair.difference, pair.prompt_share) == (pytest.approx(1.0), pytest.approx(0.0))


@pytest.mark.parametrize(
    ("scored", "sentence"),
    [
        ([1, 2, 3, 4], "so that the verdicts hold for other prompts, too"),
        (
            [1, 2, 3],
            "so that the verdicts hold for other prompts, too, but those on 2 against 4, 1 against 4, 3 against 4, "
            "whose runs share too few scores by prompt",
        ),
        ([2, 3], "in the verdicts on 2 against 3, so that these hold for other prompts, too"),
    ],
)
def test_the_verdicts_that_hold_for_other_prompts_are_named(scored: list[int], sentence: str) -> None:
    """Setting 2 is the best; the other settings are alike, so that they keep their order."""
    runs = [make_run(key, seed, LAST) for key in (1, 2, 3, 4) for seed in range(3)]
    runs = [each if each.config["key"] in scored else replace(each, read_samples=list) for each in runs]
    (line,) = write_design_sentences(compare_groups(source(runs), "key").pairs)
    assert line.removeprefix("the noise of the held-out prompts counts").lstrip(", ") == sentence


def test_the_samples_of_the_compared_groups_alone_are_read() -> None:
    """Of 32 groups of two runs, the best 30 are compared; the worst two have the keys 1 and 2."""
    read: set[str] = set()

    def note(name: str) -> list[dict[str, Any]]:
        read.add(name)
        return []

    runs = [
        replace(
            run(f"{key}/{seed}", key + 0.1 * seed, key=key, seed=seed, **UNDERSCORED),
            read_samples=partial(note, f"{key}/{seed}"),
        )
        for key in range(1, 33)
        for seed in (0, 1)
    ]
    compare_groups(source(runs), "key")
    assert read == {f"{key}/{seed}" for key in range(3, 33) for seed in (0, 1)}
