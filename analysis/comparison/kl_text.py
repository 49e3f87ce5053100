"""Reward against KL in words: the fitted law of each group, and the rankings at the same KL."""

from collections.abc import Iterator, Sequence

from analysis.comparison.frontier import OWN, SEVERAL_SCALES, Frontier
from analysis.comparison.matched_kl import MatchedKl
from analysis.output.terminal import aligned, digits_of, interval, listed, shortened, wrapped
from analysis.wording.statements import number
from rlhf_sweeps.verdicts.pairs import verdict_text

_MOST_BEST = 5  # groups of a table


def frontier_lines(frontiers: Sequence[Frontier]) -> Iterator[str]:
    """The law of each group in the order given, and what limits it; nothing without frontiers."""
    if not frontiers:
        return
    yield ""
    judge = "under each run's own reward model" if frontiers[0].judge == OWN else f"under {frontiers[0].judge}"
    yield from wrapped(
        f"gain in score at a distance d = sqrt(KL), {judge}, fitted by d (alpha - beta log d) [95 % interval over runs]"
    )
    rows = [["", "alpha", "", "beta", "", "best KL by the fit", "points"]]
    names = shortened(line.label for line in frontiers)
    for line in frontiers[:_MOST_BEST]:
        rows.append([names[line.label], *_fit_cells(line), f"{len(line.gains)} of {_runs(len(line.runs))}"])
    yield from aligned(rows)
    if len(frontiers) > _MOST_BEST:
        yield "  the rest is in comparison.json"
    if any(line.fit and line.fit.num_runs == 1 for line in frontiers):
        yield "  intervals of one run are over its points as if they were independent; they do not know how runs differ"
    if any(line.is_training for line in frontiers):
        yield "  points are training batches, since there are no evaluations"
    if any(line.note == SEVERAL_SCALES for line in frontiers):
        yield f"  no fit for {SEVERAL_SCALES}"
    if negative := sum(line.num_negative for line in frontiers):
        yield f"  {negative} KL estimates below 0 were taken as 0"


def _fit_cells(line: Frontier) -> list[str]:
    law = line.fit
    if law is None:
        return ["-", "", "-", "", "no fit"]
    peak = "no peak within the data"
    if law.has_peak:
        peak = f"{number(law.peak_kl)} {interval(law.peak_low, law.peak_high)}"
        if not law.is_peak_within_data:
            peak = f"beyond the data (KL {number(law.largest_kl, 2)})"
    alpha, beta = interval(law.alpha_low, law.alpha_high), interval(law.beta_low, law.beta_high)
    return [number(law.alpha), alpha, number(law.beta), beta, peak]


def _runs(count: int) -> str:
    return f"{count} run" if count == 1 else f"{count} runs"


def matched_lines(matched: MatchedKl | None) -> Iterator[str]:
    """The best groups at each KL; nothing where no KL was reached."""
    if matched is None or not matched.levels:
        return
    yield ""
    yield from wrapped(f"at the same KL, where a run first reaches it: {matched.text} [95 % interval]")
    rows = [["KL", "", "", "value", "", "reached", "against the best"]]
    names = shortened(label for level in matched.levels for label in level.num_runs)
    for level in matched.levels:
        for place, label in enumerate(level.ranking.labels[:_MOST_BEST], start=1):
            found = level.ranking.estimates[label]
            pair = level.ranking.against_best(label)
            noise = "" if pair is None else verdict_text(pair)
            share = f"{level.num_reached[label]} of {level.num_runs[label]}"
            digits = digits_of(found.value, found.low, found.high)
            value = [number(found.value, digits), interval(found.low, found.high, digits)]
            rows.append([number(level.kl) if place == 1 else "", f"{place}.", names[label], *value, share, noise])
    yield from aligned(rows)
    if any(len(level.ranking.labels) > _MOST_BEST for level in matched.levels):
        yield f"  the best {_MOST_BEST} each; the rest is in comparison.json"
    if matched.note:
        yield from wrapped(f"  {matched.note}")
    for level in matched.levels:
        if missing := [label for label, count in level.num_reached.items() if not count]:
            yield from wrapped(f"  KL {number(level.kl)} is never reached by {listed(missing)}")
