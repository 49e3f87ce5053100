"""Which evaluations made a setting worth what it is, at what KL, in words and numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from analysis.records.runs import UPDATE, RunRecord, as_number
from analysis.records.worth import counted_rows, is_worth_the_base, kl_of
from analysis.results.entries import Entry
from analysis.wording.statements import number

SCORE = "eval/score"


@dataclass(frozen=True)
class Counted:
    """The evaluations that counted in one or several runs.

    Attributes:
        first, last: their updates.
        kl: their mean sequence KL to the base policy, in nats; None where that is not recorded.
        num: how many there are in a run: one, or those whose mean counts.
    """

    first: float
    last: float
    kl: float | None
    num: int


def counted_in(entry: Entry) -> Counted | None:
    """The evaluations that gave an entry its objectives; None where the record does not tell."""
    by_run = [found for run in entry.runs if (found := _of_run(run, entry.metrics))]
    if not by_run or len(by_run) < len(entry.runs):
        return None
    updates = [update for found in by_run for update, _ in found]
    kls = [kl for found in by_run for _, kl in found if kl is not None]
    kl = fmean(kls) if len(kls) == len(updates) else None
    return Counted(min(updates), max(updates), kl, max(map(len, by_run)))


def counted_sentences(entry: Entry) -> list[str]:
    """`That is after update 15, at a KL of 4.2 nats to the base policy`."""
    bases = [run for run in entry.runs if is_worth_the_base(run)]
    if bases:
        budget = number(bases[0].kl_budget)
        which = "It" if len(entry.runs) == 1 else f"In {len(bases)} of its {len(entry.runs)} runs it"
        return [f"{which} never stayed within the KL budget of {budget} nats, and is worth what the base policy is"]
    found = counted_in(entry)
    if found is None:
        return []
    updates = f"{number(found.first)} to {number(found.last)}"
    if found.first == found.last:
        text = f"That is after update {number(found.first)}"
    elif found.num > 1:
        text = f"That is the mean of {found.num} evaluations in updates {updates}"
    else:
        text = f"That is after updates {updates}, depending on the seed"
    return [text + (f", at a KL of {number(found.kl)} nats to the base policy" if found.kl is not None else "")]


def _of_run(run: RunRecord, metrics: Sequence[str]) -> list[tuple[float, float | None]]:
    """(update, KL) of each; where the record does not tell, of the best evaluation as the run's summary has it."""
    rows = counted_rows(run)
    if rows:
        return [(row[UPDATE], kl_of(row)) for row in rows]
    best = run.summary.get("best") if list(metrics) == [SCORE] else None
    if not isinstance(best, dict) or [as_number(best.get("score"))] != run.objectives:
        return []
    update = as_number(best.get(UPDATE))
    return [] if update is None else [(update, as_number(best.get("kl")))]
