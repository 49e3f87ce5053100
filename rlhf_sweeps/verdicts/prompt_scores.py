"""A run's held-out score on each prompt, at the evaluations that its objective is taken from: one place reads it.

It is the score itself, as in the objective. The base policy's score is not subtracted: its answers differ between
settings that sweep the model or how answers are drawn, and between seeds. A run without an evaluation within the KL
budget is worth the base policy: it has the base policy's score on every prompt.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from rlhf_sweeps.config.schema import ObjectiveConfig
from rlhf_sweeps.verdicts.against_base import read_scores
from rlhf_sweeps.verdicts.final_policies import find_final_policy, list_choice


def has_prompt_scores(objective: ObjectiveConfig) -> bool:
    """Whether an objective is the held-out score, which is a mean over prompts; others have no value for a prompt."""
    is_score = objective.metrics == ["eval/score"] and objective.directions == ["maximize"]
    return is_score and objective.reduction in ("best", "last", "mean")


def read_prompt_scores(
    summary: Mapping[str, Any], samples: Sequence[Mapping[str, Any]], objective: ObjectiveConfig
) -> dict[str, float]:
    """Prompt -> score; empty without samples, or if the objective is another one.

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
        return read_scores(_select_rows(samples, policy.update), "base_score")
    if objective.reduction == "best":
        return dict(policy.scores)
    updates = list(list_choice(summary))[-objective.mean_over if objective.reduction == "mean" else -1 :]
    evaluations = [read_scores(_select_rows(samples, update), "score") for update in updates]
    shared = [
        prompt for prompt in (evaluations[0] if evaluations else {}) if all(prompt in scores for scores in evaluations)
    ]
    return {prompt: fmean(scores[prompt] for scores in evaluations) for prompt in shared}


def _select_rows(samples: Sequence[Mapping[str, Any]], update: float) -> list[Mapping[str, Any]]:
    """Of the evaluation after an update."""
    return [row for row in samples if row.get("update") == update]
