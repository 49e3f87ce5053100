"""A run's held-out score on each prompt, at the evaluations that its objective is taken from: one place reads it.

It is the score minus the base policy's score, which is the same for all settings and cancels in their differences. A
run without an evaluation within the KL budget is worth the base policy: 0 on every prompt.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from rlhf_sweeps.config.schema import ObjectiveConfig
from rlhf_sweeps.verdicts.against_base import read_differences
from rlhf_sweeps.verdicts.final_policies import find_final_policy, list_choice


def has_prompt_scores(objective: ObjectiveConfig) -> bool:
    """Whether an objective is the held-out score, which is a mean over prompts; others have no value for a prompt."""
    is_score = objective.metrics == ["eval/score"] and objective.directions == ["maximize"]
    return is_score and objective.reduction in ("best", "last", "mean")


def read_prompt_scores(
    summary: Mapping[str, Any], samples: Sequence[Mapping[str, Any]], objective: ObjectiveConfig
) -> dict[str, float]:
    """Prompt -> score minus the base policy's score; empty without samples, or if the objective is another one.

    Args:
        summary: as in `find_final_policy`.
        samples: the rows of samples.jsonl.
        objective: of the run. If the best evaluation gives it, the scores are cross-fitted.
    """
    if not has_prompt_scores(objective) or not samples:
        return {}
    policy = find_final_policy(summary, samples)
    if policy is None:
        return {}
    if not policy.is_within:
        return dict.fromkeys(policy.differences, 0.0)
    if objective.reduction == "best":
        return dict(policy.differences)
    updates = list(list_choice(summary))[-objective.mean_over if objective.reduction == "mean" else -1 :]
    rows = [[row for row in samples if row.get("update") == update] for update in updates]
    evaluations = [read_differences(rows_of_update) for rows_of_update in rows]
    shared = [
        prompt
        for prompt in (evaluations[0] if evaluations else {})
        if all(prompt in differences for differences in evaluations)
    ]
    return {prompt: fmean(differences[prompt] for differences in evaluations) for prompt in shared}
