"""The evaluations that gave a setting its objectives: their updates and their KL, as numbers and in a sentence."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from analysis.records.runs import UPDATE, RunRecord, convert_number
from analysis.records.worth import find_kl, is_worth_the_base, select_counted_rows
from analysis.results.entries import Entry
from rlhf_sweeps.figures import format_number

SCORE = "eval/score"


@dataclass(frozen=True)
class CountedEvaluations:
    """The evaluations that counted in one or several runs.

    Attributes:
        first, last: their updates.
        kl: their mean sequence KL to the base policy, in nats; None where that is not recorded.
        num: their number in a run: one, or as many as the mean is over.
    """

    first: float
    last: float
    kl: float | None
    num: int


def find_counted(entry: Entry) -> CountedEvaluations | None:
    """The evaluations that gave an entry its objectives; None where a run's are not recorded."""
    by_run = [evaluations for run in entry.runs if (evaluations := _list_evaluations(run, entry.metrics))]
    if not by_run or len(by_run) < len(entry.runs):
        return None
    updates = [update for evaluations in by_run for update, _ in evaluations]
    kls = [kl for evaluations in by_run for _, kl in evaluations if kl is not None]
    kl = fmean(kls) if len(kls) == len(updates) else None
    return CountedEvaluations(min(updates), max(updates), kl, max(map(len, by_run)))


def write_counted_sentences(entry: Entry) -> list[str]:
    """Such as `this was measured after update 15, at a KL of 4.2 nats to the base policy`."""
    bases = [run for run in entry.runs if is_worth_the_base(run)]
    if bases:
        budget = format_number(bases[0].kl_budget)
        if len(entry.runs) == 1:
            return [f"it had no evaluation within the KL budget of {budget} nats, and counts as the base policy"]
        end = "this run counts" if len(bases) == 1 else "these runs count"
        where = f"in {len(bases)} of its {len(entry.runs)} runs"
        return [f"{where} no evaluation was within the KL budget of {budget} nats; {end} as the base policy"]
    evaluations = find_counted(entry)
    if evaluations is None:
        return []
    updates = f"{format_number(evaluations.first)} to {format_number(evaluations.last)}"
    if evaluations.first == evaluations.last:
        text = f"this was measured after update {format_number(evaluations.first)}"
    elif evaluations.num > 1:
        text = f"this is the mean of {evaluations.num} evaluations after updates {updates}"
    else:
        text = f"this was measured after updates {updates}, depending on the seed"
    kl = "" if evaluations.kl is None else f", at a KL of {format_number(evaluations.kl)} nats to the base policy"
    return [text + kl]


def _list_evaluations(run: RunRecord, metrics: Sequence[str]) -> list[tuple[float, float | None]]:
    """(update, KL) of each; without such rows in the record, of the best evaluation in the run's summary."""
    rows = select_counted_rows(run)
    if rows:
        return [(row[UPDATE], find_kl(row)) for row in rows]
    best = run.summary.get("best") if list(metrics) == [SCORE] else None
    if not isinstance(best, dict) or [convert_number(best.get("score"))] != run.objectives:
        return []
    update = convert_number(best.get(UPDATE))
    return [] if update is None else [(update, convert_number(best.get("kl")))]
