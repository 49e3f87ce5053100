"""A comparison in sentences: which group is best, whether its lead is more than noise, and what limits the answer."""

from collections.abc import Sequence

from analysis.comparison.compare import ComparedGroup, GroupComparison
from analysis.wording.short_labels import list_first, list_labels, make_short_names
from analysis.wording.statements import Statement
from rlhf_sweeps.verdicts.estimates import FEW_RUNS
from rlhf_sweeps.verdicts.pairs import BETTER, BY_PROMPT, BY_RUN, BY_SETTING, NOISE, UNKNOWN, WORSE, GroupPair


def write_comparison_statements(comparison: GroupComparison) -> list[Statement]:
    """The answer, whether there are too few runs for the bootstrap's percentiles, and the comparison's notes."""
    few = [Statement(_FEW, {"fewest runs in a group": fewest})] if (fewest := _count_fewest_runs(comparison)) else []
    return [write_comparison_answer(comparison), *few, *(Statement(note) for note in comparison.notes)]


_FEW = (
    f"with fewer than {FEW_RUNS} runs in a group, intervals are Student's, with the bootstrap's standard error; do not "
    "use the percentiles of the bootstrap in comparison.csv for such a group: they contain the true value in only 52 % "
    "of cases with two runs, 74 % with three"
)


def _count_fewest_runs(comparison: GroupComparison) -> int:
    """The size of the smallest group whose interval is Student's, if that is below FEW_RUNS; else 0."""
    counts = [len(group.values) for group in comparison.groups if _has_student_interval(comparison, group)]
    return min(counts) if counts and min(counts) < FEW_RUNS else 0


def _has_student_interval(comparison: GroupComparison, group: ComparedGroup) -> bool:
    """Whether an end of the interval is Student's: it may be missing, or both ends may be those of the prompts."""
    estimate, ranking = group.estimate, comparison.ranking
    if estimate is None or ranking is None or comparison.is_own:
        return False
    low, high = ranking.estimates[group.label].low, ranking.estimates[group.label].high
    if comparison.measure.is_rate:
        low, high = max(low, 0.0), min(high, 1.0)
    return estimate.low == low or estimate.high == high


def write_comparison_answer(comparison: GroupComparison) -> Statement:
    """Which group is best, and against which others its lead is more than noise."""
    groups, ranking = comparison.valued_groups, comparison.ranking
    if ranking is None or not groups:
        return Statement("nothing to compare: no run that came to its end has a value")
    name = comparison.names[groups[0].label]
    evidence = {f"value of {group.label}": group.estimate.value for group in groups[:2] if group.estimate}
    if len(groups) == 1:
        return Statement(f"only {name} has runs with a value, so there is nothing to compare it with", evidence)
    if len({group.estimate.value for group in groups if group.estimate}) == 1:
        return Statement("all groups have the same value", evidence)
    pairs = [pair for label in ranking.labels[1:] if (pair := ranking.against_best(label)) is not None]
    if all(pair.verdict == UNKNOWN for pair in pairs):
        return Statement(f"{_explain_unknown(comparison, name, groups, pairs)}", evidence)
    p_values = [pair.p_value for pair in pairs if pair.verdict != UNKNOWN]
    evidence["largest p against the best"] = max(p_values)
    if comparison.winner and all(pair.verdict == BETTER for pair in pairs):
        return Statement(f"{name} is better than every other group by more than noise", evidence)
    return Statement(f"{name} has the best value. {_write_verdicts(comparison, pairs)}", evidence)


def _write_verdicts(comparison: GroupComparison, pairs: Sequence[GroupPair]) -> str:
    """How the best group stands against the others, verdict by verdict."""
    templates = {
        BETTER: "better than {} by more than noise",
        NOISE: "within noise of {}",
        WORSE: "worse than {} in the settings that both have",
    }
    names = {
        verdict: list_labels([comparison.names[pair.second] for pair in pairs if pair.verdict == verdict])
        for verdict in (*templates, UNKNOWN)
        if any(pair.verdict == verdict for pair in pairs)
    }
    verdicts = [template.format(names[verdict]) for verdict, template in templates.items() if verdict in names]
    lines = [f"It is {', and '.join(verdicts)}"] if verdicts else []
    if UNKNOWN in names:
        lines.append(f"There are too few runs to compare it with {names[UNKNOWN]}")
    return ". ".join(lines)


def _explain_unknown(
    comparison: GroupComparison, name: str, groups: Sequence[ComparedGroup], pairs: Sequence[GroupPair]
) -> str:
    """Why the noise is unknown in every pair: groups of one run, or runs that are all alike; and what would help."""
    is_single = [len(group.values) == 1 for group in groups]
    if all(is_single):
        is_sweep = any(run.trial is not None for group in comparison.grouping.groups for run in group.runs)
        more = "sweep.seeds=3 measures it" if is_sweep else "more seeds measure it"
        return f"each group has one run, so the noise, and which group is better, are unknown; {more}"
    if is_single[0]:
        why = "it has one run only, so the noise is unknown; more seeds measure it"
    elif all(is_single[1:]):
        why = "the others have one run only, so the noise is unknown; more seeds measure it"
    elif any(is_single):
        why = "the others have one run only, or runs that are all alike, so the noise is unknown"
    elif all(pair.design == BY_SETTING for pair in pairs):
        why = "its lead is the same in every setting, which does not show how much other settings would differ"
    else:
        why = "runs of a group are all alike, which does not show how much other runs would differ"
    return f"{name} has the best value, but {why}"


def write_design_sentences(pairs: Sequence[GroupPair]) -> list[str]:
    """Which runs were compared with which, if not all runs of both groups, and whether prompts are in the noise."""
    return [*_write_pairing_sentences(pairs), *_write_prompt_sentences(pairs)]


def _write_prompt_sentences(pairs: Sequence[GroupPair]) -> list[str]:
    """Whether the verdicts hold for other prompts; a comparison prompt by prompt says it itself."""
    judged = [pair for pair in pairs if pair.verdict != UNKNOWN and pair.design != BY_PROMPT]
    counted = [pair for pair in judged if pair.prompt_share is not None]
    others = [pair for pair in judged if pair.prompt_share is None]
    if not counted:
        return []
    start = "the noise of the held-out prompts counts"
    if len(others) <= len(counted):
        rest = f", but those on {_list_pairs(others)}, whose runs share too few scores by prompt" if others else ""
        return [f"{start}, so that the verdicts hold for other prompts, too{rest}"]
    return [f"{start} in the verdicts on {_list_pairs(counted)}, so that these hold for other prompts, too"]


def _list_pairs(pairs: Sequence[GroupPair]) -> str:
    """`a against b, a against c`, with short names."""
    names = make_short_names(label for pair in pairs for label in (pair.first, pair.second))
    return list_first([f"{names[pair.first]} against {names[pair.second]}" for pair in pairs])


def _write_pairing_sentences(pairs: Sequence[GroupPair]) -> list[str]:
    designs = {pair.design for pair in pairs if pair.verdict != UNKNOWN}
    if designs == {BY_PROMPT}:
        return [
            "groups were compared prompt by prompt, as at the sweep's end; intervals cover the variation over seeds "
            "and prompts"
        ]
    if designs == {BY_SETTING}:
        return ["groups were compared setting by setting, since each setting has one run"]
    if BY_RUN in designs and len(designs) > 1:
        return [
            "some groups share settings and were compared within these, others were compared over all of their runs"
        ]
    return []
