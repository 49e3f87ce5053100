"""What the curves do, in sentences with the numbers behind them: of the best setting, and of each group."""

from collections.abc import Sequence

from analysis.curves.curves import choosing
from analysis.curves.sentences import describe
from analysis.ranking import Ranking
from analysis.records import RunRecord, Source
from analysis.report.parts import Block, Part
from analysis.statements import Statement

_MAX_GROUPS = 6
_MAX_RUNS = 60  # of a group: their mean is described


def phase_parts(source: Source, ranking: Ranking) -> list[Part]:
    """The best setting first, then each reward model; without a ranking the first runs."""
    told = [(title, best_phases(ranking)) for title in [_best_title(ranking)] if title]
    if not ranking.is_comparable or not told:
        told += [(name, describe(runs[:_MAX_RUNS])) for name, runs in _groups(source)]
    return [statements_block(title, found) for title, found in told[: _MAX_GROUPS + 1] if found]


def best_phases(ranking: Ranking) -> list[Statement]:
    """Of the best setting's runs together; empty without one."""
    return describe(ranking.best.runs[:_MAX_RUNS]) if ranking.best else []


def statements_block(title: str, found: Sequence[Statement]) -> Block:
    """Sentences, each with its numbers folded away below it."""
    lines = [(statement.text, list(statement.evidence.items())) for statement in found]
    return Block("statements", {"title": title, "lines": lines})


def _best_title(ranking: Ranking) -> str:
    if ranking.best is None:
        return ""
    best = ", the best," if len(ranking.ranked) > 1 else ""
    return f"What {ranking.best.title[0].lower()}{ranking.best.title[1:]}{best} did"


def _groups(source: Source) -> list[tuple[str, list[RunRecord]]]:
    """By reward model where there are several, else every run."""
    runs = choosing([run for run in source.runs if len(run.updates)])
    names = {str(run.value("reward_model")) for run in runs}
    groups: dict[str, list[RunRecord]] = {}
    for run in runs:
        is_several = len(names) > 1
        title = (
            f"What runs on reward model {run.value('reward_model')} did" if is_several else f"What run {run.name} did"
        )
        groups.setdefault(title, []).append(run)
    return list(groups.items())[:_MAX_GROUPS]
