"""The held-out scores by prompt of the runs of groups, where groups are compared by them."""

from collections.abc import Hashable, Mapping, Sequence

from analysis.comparison.groups import Grouping
from analysis.comparison.run_values import EVAL_SCORE, OBJECTIVE
from analysis.records.prompt_scores import read_best_scores_of_run, read_scores_of_run
from analysis.records.runs import RunRecord
from rlhf_sweeps.verdicts.estimates import Strata
from rlhf_sweeps.verdicts.other_prompts import Scores


def are_by_prompt(name: str, strata: Mapping[str, Strata]) -> bool:
    """Whether prompts are in the noise of a measure, and two groups at least have the runs that show noise at all."""
    num_runs = [sum(len(values) for values in of_group.values()) for of_group in strata.values()]
    return name in (OBJECTIVE, EVAL_SCORE) and sum(number > 1 for number in num_runs) > 1


def stratify_scores(
    grouped: Grouping, runs: Sequence[RunRecord], values: Mapping[str, float], name: str
) -> dict[Hashable, list[Scores]]:
    """Other settings -> the scores of a group's runs that have a value, in the order of `groups.stratify`.

    Args:
        name: of the measure. The objective says which evaluations give its value; the metric `eval/score` is taken at
            each run's best evaluation.
    """
    read = read_best_scores_of_run if name == EVAL_SCORE else read_scores_of_run
    by_setting: dict[Hashable, list[Scores]] = {}
    for run in runs:
        if run.name in values:
            by_setting.setdefault(grouped.make_setting_key(run), []).append(read(run))
    return by_setting
