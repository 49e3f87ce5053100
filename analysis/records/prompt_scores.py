"""A run's held-out score on each prompt, by its record; the samples of a run are read once for all comparisons."""

from weakref import WeakKeyDictionary

from analysis.records.final_policies import summarize
from analysis.records.runs import RunRecord
from analysis.records.worth import make_objective_config
from rlhf_sweeps.config.schema import ObjectiveConfig
from rlhf_sweeps.verdicts.other_prompts import Scores
from rlhf_sweeps.verdicts.prompt_scores import has_prompt_scores, read_prompt_scores

_BEST = ObjectiveConfig(metrics=["eval/score"], directions=["maximize"], reduction="best", mean_over=1)
# Run -> reduction -> its scores.
_SCORES_BY_RUN: "WeakKeyDictionary[RunRecord, dict[str, Scores]]" = WeakKeyDictionary()


def read_scores_of_run(run: RunRecord | None) -> Scores:
    """As `read_prompt_scores`; empty without a run, or if the record does not say what its objective is."""
    objective = None if run is None else make_objective_config(run)
    if run is None or objective is None or not has_prompt_scores(objective):
        return {}
    return _read_once(run, objective)


def read_best_scores_of_run(run: RunRecord) -> Scores:
    """The scores at its best evaluation, whatever its objective is; they are cross-fitted."""
    return _read_once(run, _BEST)


def _read_once(run: RunRecord, objective: ObjectiveConfig) -> Scores:
    by_reduction = _SCORES_BY_RUN.setdefault(run, {})
    if objective.reduction not in by_reduction:
        by_reduction[objective.reduction] = read_prompt_scores(summarize(run), run.read_samples(), objective)
    return by_reduction[objective.reduction]
