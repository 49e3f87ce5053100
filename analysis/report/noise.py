"""Whether the lead of the best setting is more than what seeds alone make of it."""

import math
from collections.abc import Sequence

import numpy as np

from analysis.comparison.pairs import BETTER, NOISE, WORSE
from analysis.comparison.pairs import Ranking as Places
from analysis.comparison.pairs import rank as rank_groups
from analysis.comparison.statistics import Strata, student_quantile
from analysis.records import Source
from analysis.report.parts import counted, listed
from analysis.report.ranking import Entry, Ranking
from analysis.statements import number

_MAX_SETTINGS = 30


def noise_sentences(source: Source, ranking: Ranking) -> list[str]:
    """An answer that begins with yes, no or unknown; nothing where there is no lead."""
    if len(ranking.ranked) < 2:
        return []
    if not ranking.is_comparable:
        return _of_reward_models(source)
    top = ranking.ranked[:_MAX_SETTINGS]
    values = {entry.title: _values(entry) for entry in top}
    if all(len(found) > 1 for found in values.values()):
        groups: dict[str, Strata] = {title: {(): np.array(found)} for title, found in values.items()}
        return _of_seeds(rank_groups(groups, not ranking.is_maximized))
    return _of_repeats(ranking)


def _of_reward_models(source: Source) -> list[str]:
    from analysis.comparison.compare import compare
    from analysis.comparison.text import statements

    comparison = compare(source, "reward_model")
    verdicts = {pair.verdict for pair in comparison.pairs if pair.first == comparison.groups[0].label}
    answer = "Yes" if comparison.winner else "No" if verdicts & {NOISE, WORSE} else "Unknown"
    return [f"{answer}: {statements(comparison)[0].text}"]


def _values(entry: Entry) -> list[float]:
    return [run.objectives[0] for run in entry.runs if run.objectives]


def _of_seeds(places: Places) -> list[str]:
    """Every setting ran on several seeds, so that every two can be compared."""
    best = places.labels[0]
    pairs = {label: pair for label in places.labels[1:] if (pair := places.against_best(label)) is not None}
    beaten = [label for label, pair in pairs.items() if pair.verdict == BETTER]
    near = [label for label, pair in pairs.items() if pair.verdict == NOISE]
    second = pairs[places.labels[1]]
    chance = f"a run of it beats one of the second with probability {number(second.probability.value, 2)}"
    if len(beaten) == len(pairs):
        return [
            f"Yes: {best} is better than every other by more than seeds differ, with p = {number(second.p_value, 2)} "
            f"against the second; {chance}"
        ]
    if not near and not beaten:
        return ["Unknown: the seeds of a setting are all alike"]
    lines = [f"Not against all: {listed(near)} {'is' if len(near) == 1 else 'are'} within noise of it; {chance}"]
    return [*lines, *([f"It beats {listed(beaten)} by more than noise"] if beaten else [])]


def _of_repeats(ranking: Ranking) -> list[str]:
    """Few settings, or only the best ones on test seeds, ran more than once: their noise stands for all."""
    deviation, freedom = pooled(ranking.ranked)
    best, second = ranking.ranked[:2]
    if not freedom:
        return [
            "Unknown: every setting ran on one seed, so nothing tells how much seeds differ; "
            "sweep.seeds=3 or sweep.test_seeds=3 shows it"
        ]
    limit = student_quantile(freedom) * deviation * math.sqrt(1 / max(1, len(best.runs)) + 1 / max(1, len(second.runs)))
    basis = (
        f"equal settings differ by {number(deviation)} from seed to seed (standard deviation, "
        f"{counted(freedom, 'degree', 'degrees')} of freedom), so a lead of {number(limit)} takes more than noise"
    )
    gap = ranking.gain(best.worth, second.worth)
    if gap > limit:
        return [f"Yes, as far as {counted(freedom + 1, 'repeat')} can tell: {basis}, and it leads by {number(gap)}"]
    within = [entry for entry in ranking.ranked[1:] if ranking.gain(best.worth, entry.worth) <= limit]
    are = "setting is" if len(within) == 1 else "settings are"
    return [
        f"No: {basis}, and {len(within)} other {are} closer than that; {second.title[0].lower()}{second.title[1:]} "
        f"could as well be the best"
    ]


def pooled(entries: Sequence[Entry]) -> tuple[float, int]:
    """How much equal settings differ from seed to seed, over all settings with several runs: deviation, freedom."""
    squares, freedom = 0.0, 0
    for entry in entries:
        tests = [run.objectives[0] for run in entry.tests if run.objectives]
        for values in (_values(entry), tests):
            if len(values) > 1:
                squares += float(np.var(values) * len(values))
                freedom += len(values) - 1
    return (math.sqrt(squares / freedom), freedom) if freedom else (math.nan, 0)
