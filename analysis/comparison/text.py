"""A comparison in words: tables of at most 120 columns, and the sentences that a reader should not miss."""

from collections.abc import Iterator, Sequence

from analysis.comparison.compare import ComparedGroup, GroupComparison
from analysis.comparison.frontier import Frontier
from analysis.comparison.kl_text import frontier_lines, matched_lines
from analysis.comparison.matched_kl import MatchedKl
from analysis.comparison.own_matrix import Cell, Matrix
from analysis.output.terminal import aligned, wrapped
from analysis.wording.intervals import digits_of, interval
from analysis.wording.short_labels import list_labels, short_names
from analysis.wording.statements import Statement, number
from rlhf_sweeps.verdicts.estimates import FEW_RUNS
from rlhf_sweeps.verdicts.pairs import BETTER, BY_PROMPT, BY_RUN, BY_SETTING, NOISE, UNKNOWN, WORSE, Pair

MOST_ROWS = 15  # of the values; comparison.csv has all
_MOST_BEST = 5  # groups of the other tables
_MOST_JUDGES = 5


def comparison_text(
    comparison: GroupComparison, frontiers: Sequence[Frontier] = (), matched: MatchedKl | None = None
) -> str:
    """Everything for the terminal: values, who beats whom, reward against KL, the judges."""
    lines = list(_values(comparison))
    lines += _matrix(comparison.matrix)
    places = {group.label: place for place, group in enumerate(comparison.groups)}
    lines += frontier_lines(sorted(frontiers, key=lambda line: places[line.label]))
    lines += matched_lines(matched)
    return "\n".join(line.rstrip() for line in lines)


def statements(comparison: GroupComparison) -> list[Statement]:
    """What won, by how much, whether that is more than noise, and what limits the answer."""
    found = [_answer(comparison)]
    counts = [len(group.values) for group in comparison.groups if _is_students(comparison, group)]
    if counts and min(counts) < FEW_RUNS:
        found.append(
            Statement(
                f"fewer than {FEW_RUNS} runs in a group: intervals are Student's, with the bootstrap's standard error; "
                "percentiles of the bootstrap (in comparison.csv) cover 50 % with two runs, 75 % with three",
                {"fewest runs in a group": min(counts)},
            )
        )
    return [*found, *(Statement(note) for note in comparison.notes)]


def _is_students(comparison: GroupComparison, group: ComparedGroup) -> bool:
    """Whether an end of a group's interval is Student's: not where it has none, or both are those of its prompts."""
    told, ranking = group.estimate, comparison.ranking
    if told is None or ranking is None or comparison.is_own:
        return False
    low, high = ranking.estimates[group.label].low, ranking.estimates[group.label].high
    if comparison.measure.is_rate:
        low, high = max(low, 0.0), min(high, 1.0)
    return told.low == low or told.high == high


def _answer(comparison: GroupComparison) -> Statement:
    ranked = [group for group in comparison.groups if group.estimate is not None]
    ranking = comparison.ranking
    if ranking is None or not ranked:
        return Statement("nothing to compare: no run that came to its end has a value")
    name = comparison.names[ranked[0].label]
    evidence = {f"value of {group.label}": group.estimate.value for group in ranked[:2] if group.estimate}
    if len(ranked) == 1:
        return Statement(f"only {name} has runs with a value, so there is nothing to compare it with", evidence)
    pairs = [pair for label in ranking.labels[1:] if (pair := ranking.against_best(label)) is not None]
    unknown = [pair.second for pair in pairs if pair.verdict == UNKNOWN]
    if len({group.estimate.value for group in ranked if group.estimate}) == 1:
        return Statement("all groups have the same value", evidence)
    if len(unknown) == len(pairs):
        return Statement(_unknown(comparison, name, ranked, pairs), evidence)
    beaten = [pair.second for pair in pairs if pair.verdict == BETTER]
    near = [pair.second for pair in pairs if pair.verdict == NOISE]
    worse = [pair.second for pair in pairs if pair.verdict == WORSE]
    evidence["largest adjusted p against the best"] = max(
        pair.p_value for pair in pairs if pair.p_value == pair.p_value
    )
    if comparison.winner:
        return Statement(f"{name} is better than every other group by more than noise", evidence)
    parts = [f"{name} has the best value"]
    if near:
        parts.append(f"within noise of {_named(comparison, near)}")
    if beaten:
        parts.append(f"better by more than noise than {_named(comparison, beaten)}")
    if worse:
        parts.append(f"but worse, in the settings that both have, than {_named(comparison, worse)}")
    if unknown:
        parts.append(f"nothing can be said about {_named(comparison, unknown)}")
    return Statement(": ".join([parts[0], "; ".join(parts[1:])]), evidence)


def _named(comparison: GroupComparison, labels: Sequence[str]) -> str:
    return list_labels([comparison.names[label] for label in labels])


def _unknown(comparison: GroupComparison, name: str, ranked: Sequence[ComparedGroup], pairs: Sequence[Pair]) -> str:
    """Why nothing is known of noise: pairs with a group of one run, or all runs alike; and whether seeds would help."""
    is_single = [len(group.values) == 1 for group in ranked]
    if all(is_single):
        is_sweep = any(run.trial is not None for group in comparison.grouping.groups for run in group.runs)
        return "one run in each group: these alone do not show how much seeds differ, and so not which is better; " + (
            "sweep.seeds=3 shows it" if is_sweep else "more seeds show it"
        )
    are_steady = all(pair.design == BY_SETTING for pair in pairs)
    if is_single[0]:
        why = "it has one run only, so that nothing can be said about noise; more seeds show it"
    elif all(is_single[1:]):
        why = "the others have one run only, so that nothing can be said about noise; more seeds show it"
    elif any(is_single):
        why = "the others have one run only, or runs that are all alike, so that nothing can be said about noise"
    elif are_steady:
        why = "by the same in every setting, which does not show how much other settings would differ"
    else:
        why = "runs of a group are all alike, which does not show how much others would differ"
    return f"{name} has the best value, but {why}"


def _values(comparison: GroupComparison) -> Iterator[str]:
    yield from wrapped(f"by {comparison.by}: {comparison.measure.text}")
    ranking = comparison.ranking
    if ranking is not None:
        beats = "P: probability that a run of the best group beats one of this group"
        yield f"{ranking.statistic} [95 % interval]; {beats}"
        rows = [["", "", "value", "", "runs", "P", "", "against the best", "not counted"]]
        shown = comparison.groups[:MOST_ROWS]
        for group in shown:
            pair = ranking.against_best(group.label) if group.place else None
            rows.append([*_group_cells(group, comparison.names[group.label]), *_pair_cells(pair), _counts(group)])
        yield from aligned(rows)
        if len(comparison.groups) > len(shown):
            yield f"  and {len(comparison.groups) - len(shown)} more groups, in comparison.csv"
        yield from _design(comparison.pairs)
    for statement in statements(comparison):
        yield from wrapped(statement.text)


def _group_cells(group: ComparedGroup, name: str) -> list[str]:
    place = f"{group.place}." if group.place else "-"
    found = group.estimate
    if found is None:
        return [place, name, "-", "", "0"]
    digits = digits_of(found.value, found.low, found.high)
    value, bounds = number(found.value, digits), interval(found.low, found.high, digits)
    return [place, name, value, bounds, str(found.num_runs)]


def _pair_cells(pair: Pair | None) -> list[str]:
    if pair is None:
        return ["", "", ""]
    if pair.verdict == UNKNOWN:
        return ["-", "", "cannot tell"]
    chance = pair.probability
    verdict = {BETTER: f"beaten (p {_p(pair.p_value)})", NOISE: f"within noise (p {_p(pair.p_value)})"}
    return [f"{chance.value:.2f}", interval(chance.low, chance.high, 2), verdict.get(pair.verdict, pair.verdict)]


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def _counts(group: ComparedGroup) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in group.excluded.items())


def _design(pairs: Sequence[Pair]) -> Iterator[str]:
    designs = {pair.design for pair in pairs if pair.verdict != UNKNOWN}
    if designs == {BY_PROMPT}:
        yield "groups were compared prompt by prompt, as at the sweep's end, and for other seeds and prompts"
    elif designs == {BY_SETTING}:
        yield "groups were compared setting by setting, since each setting has one run"
    elif BY_RUN in designs and len(designs) > 1:
        yield "some groups share settings and were compared within these, others were compared as they are"


def _matrix(matrix: Matrix | None) -> Iterator[str]:
    if matrix is None or not matrix.labels:
        return
    yield ""
    yield from wrapped(
        f"win rate against the base policy in % [95 %]; *: own judge, which chose the evaluation; {matrix.text}"
    )
    judges = matrix.judges[:_MOST_JUDGES]
    names = short_names(matrix.labels)
    rows = [["runs of", *short_names(judges, 18).values()]]
    for label in matrix.labels[:_MOST_BEST]:
        rows.append([names[label], *(cell_text(matrix.cells.get((label, judge))) for judge in judges)])
    yield from aligned(rows)
    if len(matrix.judges) > len(judges) or len(matrix.labels) > _MOST_BEST:
        yield "  the rest is in comparison.json"


def cell_text(cell: Cell | None) -> str:
    """A win rate in % with its interval, own judges marked."""
    if cell is None:
        return "-"
    bounds = "" if cell.low != cell.low else f" [{100 * cell.low:.0f}, {100 * cell.high:.0f}]"
    return f"{100 * cell.win_rate:.0f}{bounds}{'*' if cell.is_own else ''}"
