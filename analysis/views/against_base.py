"""Whether the best setting is better than the base policy: the sentence that a sweep and a run end with."""

from analysis.records.final_policies import find_policy_of_run
from analysis.results.entries import Entry
from analysis.results.ranking import SourceRanking
from analysis.views.counted import SCORE
from analysis.wording.statements import capitalize
from rlhf_sweeps.figures import format_number
from rlhf_sweeps.verdicts.final_policies import measure_policies
from rlhf_sweeps.verdicts.policy_sentences import write_judgement, write_verdict


def write_base_sentences(ranking: SourceRanking, best: Entry) -> list[str]:
    """That sentence, and what the judges say.

    None where scores of several reward models would be compared, or nothing is recorded.

    Without samples, which show how prompts differ, only the difference of the means is known.
    """
    if not ranking.is_comparable:
        return []
    policies = [find_policy_of_run(run) for run in best.tested_runs or best.runs]
    if measure_policies(policies) is not None or any(policy and not policy.is_within for policy in policies):
        is_plural, budget = len(best.names) > 1, best.runs[0].kl_budget
        subject = (best.inline_title, is_plural, ranking.num_candidates)
        judgement = write_judgement(policies, *subject)
        return [write_verdict(policies, budget, *subject), *([capitalize(judgement)] if judgement else [])]
    base = best.average_summary("base_score")
    if base is None or ranking.metric != SCORE or not best.objectives:
        return []
    gain = ranking.compute_difference(ranking.choose_value(best), base)
    size = f"{format_number(abs(gain))} {'worse' if gain < 0 else 'better'} than the base policy"
    return [f"{size}; without samples it is unknown whether that is more than noise"]
