"""Which reward model won, by how much: in win rates under other judges, since scores have no common scale."""

import math

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
from rlhf_sweeps.verdicts.pairs import NOISE, UNKNOWN

_MAX_SEEDS = 30  # that are proposed to show a difference; more would cost too much; chosen


def describe_rank(ranking: SourceRanking, best: Entry) -> str:
    """What the best entry is the best of, where there is no best one over all: `reward model judged, the winner`."""
    has_won = ranking.comparison is not None and ranking.comparison.winner is not None
    return f"reward model {find_reward_model(best)}, {'the winner' if has_won else 'ranked first'}"


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


def write_next_sentences(comparison: GroupComparison) -> list[str]:
    """What to do with the answer: search with the winner, or run more seeds where noise hides it."""
    groups = comparison.valued_groups
    if len(groups) < 2 or comparison.ranking is None:
        return []
    if comparison.measure.name == OBJECTIVE:
        return ["Let them judge each other (eval.judge_each_other=true), or name a common judge (eval.judges)"]
    first, second = groups[:2]
    if comparison.winner:
        command = f"python -m rlhf_sweeps -m reward_model={first.label} search=lr_kl_clip"
        return [f"Search for settings with the winner: {command}"]
    pair = comparison.ranking.against_best(second.label)
    fewest = min(len(first.values), len(second.values))
    if pair is None or pair.verdict == UNKNOWN or not pair.difference or fewest < 2:
        return ["Run every reward model on several seeds, sweep.seeds=5, to show whether the difference is noise"]
    # The interval's half width shrinks with the root of the runs.
    seeds = math.ceil(fewest * ((pair.high - pair.low) / 2 / pair.difference) ** 2)
    if pair.verdict == NOISE and seeds > _MAX_SEEDS:
        return [
            f"{first.label} and {second.label} are so close that more than {_MAX_SEEDS} seeds of each would be needed "
            "to distinguish them: take the cheaper one"
        ]
    needed = max(seeds, 3)
    return [f"About {needed} seeds of each distinguish {first.label} from {second.label}: sweep.seeds={needed}"]
