"""What the curves do, in sentences with the numbers behind them: of the best setting, and of each group."""

from collections.abc import Sequence

from analysis.curves.curves import choosing
from analysis.curves.sentences import describe
from analysis.output.parts import Part, Sentences
from analysis.records.runs import RunRecord, Source
from analysis.results.entries import Entry
from analysis.results.ranking import Ranking
from analysis.wording.statements import Statement

_MAX_GROUPS = 6
_MAX_RUNS = 60  # of a group: their mean is described


def phase_parts(source: Source, ranking: Ranking) -> list[Part]:
    """The best setting first, then each reward model; without a ranking the first runs."""
    told: list[tuple[str, Sequence[RunRecord]]] = []
    if ranking.best is not None:
        told.append((_best_title(ranking.best, ranking), ranking.best.runs))
    if not ranking.is_comparable or not told:
        told += _groups(source)
    said: dict[tuple[str, ...], list[Statement]] = {}  # the best runs may be all of a group
    parts: list[Part] = []
    for title, runs in told[: _MAX_GROUPS + 1]:
        names = tuple(run.name for run in runs[:_MAX_RUNS])
        if names not in said:
            said[names] = describe(runs[:_MAX_RUNS])
        if said[names]:
            parts.append(Sentences(said[names], title))
    return parts


def _best_title(best: Entry, ranking: Ranking) -> str:
    which = ", the best," if len(ranking.ranked) > 1 else ""
    return f"What {best.title[0].lower()}{best.title[1:]}{which} did"


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
