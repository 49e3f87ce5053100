"""The names of the two values of a run that are easily confused, for all that people read.

The objective is what a run is worth: by default the held-out score of its best evaluation so far within the KL budget.
The score now is the held-out score of its newest evaluation, and the KL now the KL of it, within the budget or not.
"""

from collections.abc import Sequence

OBJECTIVE, SCORE_NOW, KL_NOW = "objective", "score now", "KL now"
BEST_SCORE = "best held-out score within the KL budget"  # which the objective is by default
OBJECTIVE_HINT = f"what a run is worth, on the seeds that choose: by default its {BEST_SCORE}"


def name_objectives(metrics: Sequence[str]) -> list[str]:
    """The names of the objectives: "objective" for a single one, else their metrics."""
    return [OBJECTIVE] if len(metrics) == 1 else list(metrics)
