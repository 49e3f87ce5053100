"""A run's held-out score on each prompt, by its record; the samples of a run are read once for all comparisons."""

from weakref import WeakKeyDictionary

from analysis.records.final_policies import summarize
from analysis.records.runs import RunRecord
from analysis.records.worth import make_objective_config
from rlhf_sweeps.verdicts.other_prompts import Scores
from rlhf_sweeps.verdicts.prompt_scores import has_prompt_scores, read_prompt_scores

_SCORES_BY_RUN: "WeakKeyDictionary[RunRecord, Scores]" = WeakKeyDictionary()


def read_scores_of_run(run: RunRecord | None) -> Scores:
    """As `read_prompt_scores`; empty without a run, or if the record does not say what its objective is."""
    objective = None if run is None else make_objective_config(run)
    if run is None or objective is None or not has_prompt_scores(objective):
        return {}
    if run not in _SCORES_BY_RUN:
        _SCORES_BY_RUN[run] = read_prompt_scores(summarize(run), run.read_samples(), objective)
    return _SCORES_BY_RUN[run]
