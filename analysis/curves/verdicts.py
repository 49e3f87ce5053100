"""Clauses on two of the curves: whether the KL is under control, and whether the entropy collapses.

Each run gets the words of `rlhf_sweeps.verdicts.policy`, as it does in health.
"""

from collections.abc import Sequence

import numpy as np

from analysis.curves.phase import RISES, Phase
from analysis.curves.smoothing import choose_window, smooth_curve
from analysis.curves.thresholds import ENTROPY_GROWN, ENTROPY_LOW, LATE_RISE, MAX_NAMED_RUNS
from analysis.health.policy import find_collapse, read_divergence
from analysis.records.runs import UPDATE, Floats, RunRecord
from analysis.wording.endings import format_ending
from analysis.wording.statements import Statement
from rlhf_sweeps.figures import format_number, format_share
from rlhf_sweeps.verdicts.policy import (
    BLOW_UP,
    CLOSE,
    COLLAPSE,
    LOWEST_KL,
    NEAR_BUDGET,
    NEGATIVE,
    OVER_BUDGET,
    UNDER_CONTROL,
    Divergence,
    Onset,
)


def describe_kl(
    updates: Floats, values: Floats, phases: Sequence[Phase], runs: Sequence[RunRecord], unit: str = UPDATE
) -> Statement:
    """A clause on whether the KL of whole responses stays within the budget, with its numbers.

    Args:
        updates, values: of the runs' mean, at least one, finite, (n,) each.
        phases: of these.
        runs: those behind the mean, each with its own word; of several budgets the lowest is named.
        unit: what the updates are, where they are something else: `episode`.
    """
    highest, smooth = float(values.max()), smooth_curve(updates, values, choose_window(float(updates[-1] - updates[0])))
    evidence = {
        "KL highest": highest,
        f"KL highest {unit}": float(updates[int(np.argmax(values))]),
        "KL at the end": float(smooth[-1]),
    }
    kls_of_runs = {run.name: kl for run in runs if len((kl := read_divergence(run)).kl)}
    budgets = [kl.measure for kl in kls_of_runs.values() if kl.measure is not None]
    if budgets:
        evidence["KL budget"] = min(budgets)
        over = smooth > min(budgets)
        if over.any():
            evidence[f"first {unit} over budget"] = float(updates[int(np.argmax(over))])
            evidence[f"share of {unit}s over budget"] = float(over.mean())
    words = {name: kl.word for name, kl in kls_of_runs.items()}
    if len(set(words.values())) > 1:
        return Statement(_count_words(words), evidence)
    word, (first, *others) = next(iter(words.values())), kls_of_runs.values()
    if word in (BLOW_UP, NEGATIVE, OVER_BUDGET):
        text = (
            f"{_explain_word(word)} in all {len(kls_of_runs)} runs" if others else _describe_grave_kl(first, word, unit)
        )
        return Statement(text, evidence)
    if not budgets:
        return Statement(f"no budget is set; at most {format_number(highest)}", evidence)
    given = f"the budget of {format_number(min(budgets))} nats"
    if all(
        kl.is_budget_unknown for kl in kls_of_runs.values()
    ):  # nothing says, either, whether the KL is of a response
        given = f"the usual budget of {format_number(min(budgets))} nats a response (if it is summed over the tokens)"
    return Statement(_describe_calm_kl(word, given, min(budgets), smooth, highest, phases), evidence)


def _describe_grave_kl(kl: Divergence, word: str, unit: str) -> str:
    """What is wrong with the KL of one run."""
    highest = format_number(float(kl.kl.values.max()))
    if word == BLOW_UP and (onset := kl.blow_up):
        begins = f"{BLOW_UP} from {unit} {format_number(onset.update)} on"
        if "KL before" in onset.evidence:
            ends = (
                f"from {format_number(onset.evidence['KL before'])} to {format_number(onset.evidence['KL at the end'])}"
            )
            return f"{begins}: {ends}, and the score does not rise"
        return f"{begins}: over {format_number(onset.limit)} nats ({onset.why}), up to {highest}"
    if word == NEGATIVE and (onset := kl.negative):
        level = format_number(onset.evidence["mean KL at the end"])
        return (
            f"{_explain_word(NEGATIVE)}: {level} at the end, so the estimate is biased, as it is with "
            "truncated sampling"
        )
    if onset := kl.over_budget:
        back = kl.kl.end <= onset.limit
        end = f"on, back below it at the end: {format_ending(kl.kl.ending)}" if back else "on"
        return f"{OVER_BUDGET} of {format_number(onset.limit)} nats from {unit} {format_number(onset.update)} {end}"
    lost: Onset | None = kl.lost_evaluations
    assert lost is not None, "a KL over the budget is so in training or in evaluations"
    since = "" if LOWEST_KL in lost.evidence else f" from {unit} {format_number(lost.update)} on"
    return f"{OVER_BUDGET} of {format_number(lost.limit)} nats in every evaluation{since}"


def _explain_word(word: str) -> str:
    return f"{NEGATIVE}, although a KL is never negative" if word == NEGATIVE else word


def _describe_calm_kl(
    word: str | None, given: str, budget: float, smooth: Floats, highest: float, phases: Sequence[Phase]
) -> str:
    """The course of the mean KL of runs that are close to the budget or under control."""
    # A line may rise through a curve that has long been level.
    late = float(smooth[-1] - smooth[2 * len(smooth) // 3])
    rising = bool(phases) and phases[-1].kind == RISES and late > LATE_RISE * float(np.ptp(smooth))
    if word == CLOSE:
        return f"close to {given}{' and still rising' if rising else ''}"
    most = f"at most {format_number(highest)}, below {given}"
    if highest > budget:
        most = f"over {given} only briefly, at most {format_number(highest)}"
    still = ", though it still rises at the end" if rising and smooth[-1] > NEAR_BUDGET / 2 * budget else ""
    return f"{UNDER_CONTROL}: {most}{still}"


def _count_words(words: dict[str, str | None]) -> str:
    """`blow-up in 1 of 3 runs (2), under control in 2`, the gravest first."""
    parts: list[str] = []
    for word in (BLOW_UP, NEGATIVE, OVER_BUDGET, CLOSE, UNDER_CONTROL, None):
        names = [name for name, own in words.items() if own == word]
        if names:
            of_all = "" if parts else f" of {len(words)} runs"
            named = f" ({', '.join(names)})" if len(names) <= MAX_NAMED_RUNS and word in (BLOW_UP, NEGATIVE) else ""
            parts.append(f"{word or 'under no budget'} in {len(names)}{of_all}{named}")
    return ", ".join(parts)


def describe_entropy(
    updates: Floats, values: Floats, runs: Sequence[RunRecord], unit: str = UPDATE
) -> Statement | None:
    """Whether the entropy collapses, or is much less or more than at its start, as a clause; None where it is not.

    Args:
        updates, values: of the runs' mean, finite, (n,) each.
        runs: those behind the mean; a collapse is looked for in each, in the entropy of a token where it is known.
    """
    if len(values) < 2:
        return None
    smooth = smooth_curve(updates, values, choose_window(float(updates[-1] - updates[0])))
    start, end, lowest = float(smooth[0]), float(smooth[-1]), float(smooth.min())
    evidence = {
        "entropy at the start": start,
        "entropy at the end": end,
        "entropy lowest": lowest,
        f"lowest {unit}": float(updates[int(np.argmin(smooth))]),
    }
    collapses = {run.name: onset for run in runs if (onset := find_collapse(run)) is not None}
    if collapses:
        return Statement(_describe_collapse(collapses, len(runs), unit), evidence)
    if start <= 0:
        return None
    if end < ENTROPY_LOW * start:
        return Statement(f"only {_format_percent(end / start)} of its start is left", evidence)
    if end > ENTROPY_GROWN * start:
        return Statement(f"it ends at {format_number(end / start)} times its start", evidence)
    return None


def _describe_collapse(collapses: dict[str, Onset], num_runs: int, unit: str) -> str:
    if num_runs == 1:
        (only,) = collapses.values()
        end = only.evidence["at the end"]
        left = f"{_format_percent(end / only.evidence['at the start'])} of its start"
        if end >= only.limit:
            return f"{COLLAPSE} at {unit} {format_number(only.update)}, from which it recovers: {left} at the end"
        return f"{COLLAPSE} from {unit} {format_number(only.update)} on: {left} is left at the end"
    named = f" ({', '.join(collapses)})" if len(collapses) <= MAX_NAMED_RUNS else ""
    return f"{COLLAPSE} in {len(collapses)} of {num_runs} runs{named}"


def _format_percent(share: float) -> str:
    return "less than 0.1 %" if share < 0.001 else format_share(share)
