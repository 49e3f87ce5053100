"""Which reward model is best, by how much: in win rates under other judges, since scores have no common scale."""

from analysis.comparison.compare import GroupComparison
from analysis.comparison.run_values import OBJECTIVE
from analysis.results.entries import Entry, find_reward_model
from analysis.results.ranking import SourceRanking
from analysis.sweep.settings import REWARD_MODEL
from analysis.views.comparison_sentences import write_comparison_answer
from analysis.views.intervals import make_estimate_cell
from analysis.wording.intervals import format_probability
from analysis.wording.statements import join_words
from rlhf_sweeps.figures import format_number, format_percent
from rlhf_sweeps.verdicts.error_rate import DECIDED, UNDECIDED
from rlhf_sweeps.verdicts.pairs import UNKNOWN


def describe_rank(ranking: SourceRanking, best: Entry) -> str:
    """What the best entry is the best of, where there is no best one over all: `reward model judged, the best`."""
    is_decided = ranking.comparison is not None and ranking.comparison.winner is not None
    return f"reward model {find_reward_model(best)}, {'the best' if is_decided else 'which leads'}"


def write_winner_sentences(comparison: GroupComparison, ranking: SourceRanking) -> list[str]:
    """The first of the comparison, and its best setting where more than the reward model was swept."""
    groups = comparison.valued_groups
    if not groups:
        return [write_comparison_answer(comparison).text]
    if comparison.measure.name == OBJECTIVE:
        return ["Unknown: no judge has scored all of them, and scores of different reward models have no common scale"]
    first = groups[0]
    value = make_estimate_cell(first.estimate, comparison.measure.is_rate).text
    standing = f" is the best ({DECIDED})" if comparison.winner else f" leads ({UNDECIDED})" if len(groups) > 1 else ""
    lines = [
        f"Reward model {first.label}{standing}: {comparison.measure.name} {value}",
        f"That is the {comparison.measure.text}",
    ]
    best = next((entry for entry in ranking.ranked if find_reward_model(entry) == first.label), None)
    others = {key: value for key, value in best.labels.items() if key != REWARD_MODEL} if best else {}
    if best is not None and others:
        lines.append(
            f"Its best setting is {best.title}: {', '.join(f'{key}={value}' for key, value in others.items())}"
        )
    return lines


def write_lead_sentences(comparison: GroupComparison) -> list[str]:
    """How far the others are behind."""
    groups = [] if comparison.measure.name == OBJECTIVE else comparison.valued_groups
    lines = []
    for group in groups[1:5]:
        pair = comparison.ranking.against_best(group.label) if comparison.ranking else None
        if pair is None:
            continue
        less = _format_difference(pair.difference, comparison.measure.is_rate)
        if pair.verdict != UNKNOWN:
            probability = format_probability(pair.probability)
            less += f"; a run of {pair.first} beats a run of {pair.second} with probability {probability}"
        lines.append(f"{group.label} has {make_estimate_cell(group.estimate, comparison.measure.is_rate).text}: {less}")
    if len(groups) > 5:
        lines.append(f"Further behind: {join_words([group.label for group in groups[5:]])}")
    return lines


def _format_difference(difference: float, is_rate: bool) -> str:
    if is_rate:
        return f"{format_percent(abs(difference))} percentage points less"
    return f"{format_number(abs(difference))} less"
