"""Prompts in the noise of compared groups: at the evaluations that give the compared value."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from helpers.compared_runs import at, run, source

from analysis.comparison.compare import compare_groups
from analysis.records.runs import RunRecord

SEEDS = (0.05, 0.0, -0.05)  # added to the scores of one setting, and subtracted from those of the other
ON_SOME, ON_ALL = np.array([6.0, -4.0, 5.0, -3.0]), np.ones(4)
LAST = {"objective.metrics": ["eval/score"], "objective.directions": ["maximize"], "objective.reduction": "last"}


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
