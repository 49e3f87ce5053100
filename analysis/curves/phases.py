"""The phases of a curve: where it rises, falls, stays level or jumps by more than its noise.

Measured on simulated curves of 4 to 1,000 values without any phase: phases were found in 0 to 4 % of those with normal
or heavy-tailed noise, in 1 to 7 % where the noise has an autocorrelation of 0.5, in 0 to 20 % where it grows
fivefold on the way. Noise with an autocorrelation near 1, as a random walk has, seems to have phases, and these are
named.
"""

from dataclasses import replace

import numpy as np

from analysis.curves.last_change import count_calm, find_last_change
from analysis.curves.phase import DROPS, FALLS, JUMPS, LEVEL, RISES, Classifier, Phase, find_shortest_level, tidy_phases
from analysis.curves.segmentation import Segmentation, measure_gap_gain, segment_curve
from analysis.curves.spikes import remove_spikes
from analysis.curves.thresholds import (
    JUMP_ERRORS,
    JUMP_GAIN,
    LINE_ENDS,
    MAX_RANK_POINTS,
    MIN_JUMP_SHARE,
    MIN_NOISE_POINTS,
    MIN_POINTS,
    MIN_SUM_CHANGE,
    MIN_SUM_SLOPE,
    RANDOM_WALK,
    RANK_DEVIATIONS,
    SURE_JUMP_GAIN,
)
from analysis.records.runs import Floats
from rlhf_sweeps.verdicts.student import student_quantile
from rlhf_sweeps.verdicts.trend import LEAST_CHANGE, TREND_CHANCE


def find_phases(updates: Floats, values: Floats) -> list[Phase]:
    """The phases of a curve, in order and without gaps; empty if it has fewer than `MIN_POINTS` values.

    Args:
        updates, values: ascending updates and the values there, (n,) each; what is not finite is left out.
    """
    updates, values = _select_finite(updates, values)
    if len(values) < MIN_POINTS:
        return []
    values = values if _is_constant(values) else remove_spikes(values)
    place = find_last_change(values)
    if place is None:
        return _find_lasting_phases(updates, values)
    return _add_last_change(_find_lasting_phases(updates[:place], values[:place]), updates, values, place)


def _find_lasting_phases(updates: Floats, values: Floats) -> list[Phase]:
    """The phases of a curve without spikes and without a sharp change at its end."""
    if _is_constant(values):
        return [_make_constant_phase(updates, values)]
    pieces = segment_curve(updates, values)
    noise = float(np.std(values - np.interp(updates, pieces.x, pieces.fitted)))
    classify = _make_line_classifier(pieces)
    merged = tidy_phases(_join_pieces(pieces, classify), classify, find_shortest_level(updates))
    merged = [replace(_level_phase(phase, updates, values), noise=noise) for phase in merged]
    return [_fit_between_levels(merged, index) for index in range(len(merged))]


def _add_last_change(phases: list[Phase], updates: Floats, values: Floats, place: int) -> list[Phase]:
    """The phases before a sharp change at the end, then the change and the level after it, by recorded values.

    Args:
        place: the index of the first value after the change.
    """
    first = float(values[place - count_calm(len(values) - place) : place].mean())
    last = float(values[place:].mean())
    before = phases[-1]
    if (first - before.first) * before.change > 0:
        before = replace(before, last=first)
    elif before.kind == LEVEL:
        first = before.last
    turn, start, end = float(updates[place - 1]), float(updates[place]), float(updates[-1])
    kind = JUMPS if last > first else DROPS
    change = Phase(kind, turn, start, first, last, before.noise, before.memory, (turn, start))
    level = Phase(LEVEL, start, end, last, last, before.noise, before.memory, (start, start))
    return [*phases[:-1], before, change, level]


def find_sum_phases(updates: Floats, sums: Floats) -> list[Phase]:
    """The phases of a running sum. They are looked for in its steps, since the sum itself adds up the noise.

    A step across a gap is divided by its length in usual steps, since a sum grows there by more than one of them.
    A sum rises where its steps are above 0 on average, by more than noise, and is level where they are not. The noise
    of its phases is that of a step.

    Args:
        updates, sums: as for `find_phases`.
    """
    updates, sums = _select_finite(updates, sums)
    if len(sums) <= MIN_POINTS:
        return []
    lengths = np.diff(updates) / np.median(np.diff(updates))
    steps = np.diff(sums) / lengths
    if _is_constant(steps):
        phase = _make_constant_phase(updates, sums)
        kind = LEVEL if _is_constant(sums) else RISES if steps[0] > 0 else FALLS
        return [replace(phase, kind=kind, first=float(sums[0]), last=float(sums[-1]))]
    # A step stands where it starts. Autocorrelation is measured around lines; around constants a drift would count.
    steps = remove_spikes(steps)
    autocorrelation = segment_curve(updates[:-1], steps).autocorrelation
    pieces = segment_curve(updates[:-1], steps, degree=0, max_autocorrelation=autocorrelation)
    classify = _make_sum_classifier(pieces, updates, lengths, float(np.ptp(sums)))
    starts = [updates[0], *pieces.x[list(pieces.cuts[1:-1])], updates[-1]]
    begins_between = [(updates[0], updates[0]), *pieces.cut_intervals]
    phases = []
    for start, end, begins in zip(starts[:-1], starts[1:], begins_between, strict=True):
        first, last = np.interp([start, end], updates, sums)
        bare = Phase(LEVEL, start, end, float(first), float(last), pieces.noise, pieces.autocorrelation, begins)
        phases.append(replace(bare, kind=classify(bare)))
    return [_level_phase(phase, updates, sums) for phase in tidy_phases(phases, classify, find_shortest_level(updates))]


def _level_phase(phase: Phase, updates: Floats, values: Floats) -> Phase:
    """A level phase with the median of the values that it covers as its only value; any other phase as it is."""
    if phase.kind != LEVEL:
        return phase
    within = values[(updates >= phase.start) & (updates <= phase.end)]
    middle = float(np.median(within)) if len(within) else (phase.first + phase.last) / 2
    return replace(phase, first=middle, last=middle)


def _fit_between_levels(phases: list[Phase], index: int) -> Phase:
    """A jump with the values of the level phases beside it, which are more exact than the end of a line."""
    phase = phases[index]
    if phase.kind not in (JUMPS, DROPS):
        return phase
    before, after = phases[index - 1], phases[index + 1]
    first = before.last if before.kind == LEVEL else phase.first
    last = after.first if after.kind == LEVEL else phase.last
    is_same = (last - first) * phase.change > 0
    return replace(phase, first=first, last=last) if is_same else phase


def _select_finite(updates: Floats, values: Floats) -> tuple[Floats, Floats]:
    is_there = np.isfinite(updates) & np.isfinite(values)
    return np.asarray(updates, np.float64)[is_there], np.asarray(values, np.float64)[is_there]


def _is_constant(values: Floats) -> bool:
    return bool(np.ptp(values) <= 1e-9 * np.abs(values).max())


def _make_constant_phase(updates: Floats, values: Floats) -> Phase:
    start, end, value = float(updates[0]), float(updates[-1]), float(values.mean())
    return Phase(LEVEL, start, end, value, value, 0.0, 0.0, (start, start))


def _make_line_classifier(pieces: Segmentation) -> Classifier:
    """Classifies lines: level if the change is small, or no larger than noise makes the change of a level line."""
    limit = student_quantile(max(len(pieces.x) - 2 * (len(pieces.cuts) - 1), 1), 1 - TREND_CHANCE)
    smallest = LEAST_CHANGE * float(np.ptp(pieces.fitted))
    is_short = len(pieces.y) <= MAX_RANK_POINTS and len(pieces.cuts) == 2

    def classify(phase: Phase) -> str:
        count, noise = _measure_noise(pieces, phase)
        variance = noise**2 * min(
            LINE_ENDS / count * (1 + pieces.autocorrelation) / (1 - pieces.autocorrelation),
            RANDOM_WALK * count * (1 - pieces.autocorrelation**2),  # the first overrates a random walk
        )
        kind = _choose_kind(phase.change, max(limit * float(np.sqrt(variance)), smallest))
        return _choose_kind_by_ranks(pieces.y, pieces.autocorrelation) if kind == LEVEL and is_short else kind

    return classify


def _make_sum_classifier(pieces: Segmentation, updates: Floats, lengths: Floats, size: float) -> Classifier:
    """Classifies parts of a sum: level if the mean step is within noise of 0, or adds little to the sum's range."""
    limit = student_quantile(max(len(pieces.x) - (len(pieces.cuts) - 1), 1), 1 - TREND_CHANCE)
    thinned = len(lengths) / len(pieces.x)  # a point of the segmentation is the mean of as many steps
    span = float(updates[-1] - updates[0])

    def classify(phase: Phase) -> str:
        count, noise = _measure_noise(pieces, phase)
        within = lengths[(updates[:-1] >= phase.start) & (updates[:-1] < phase.end)]
        # One value stands for all of a gap, so that its noise adds up to more.
        uneven = float(np.sqrt(np.mean(within**2))) if len(within) else 1.0
        deviation = (
            noise * uneven * np.sqrt(count * (1 + pieces.autocorrelation) / (1 - pieces.autocorrelation)) * thinned
        )
        smallest = min(MIN_SUM_CHANGE, MIN_SUM_SLOPE * (phase.end - phase.start) / span) * size
        return _choose_kind(phase.change, max(limit * float(deviation), smallest))

    return classify


def _measure_noise(pieces: Segmentation, phase: Phase) -> tuple[int, float]:
    """The points of a phase, and their own noise; if they are few, the whole curve's where that is larger."""
    residual = (pieces.y - pieces.fitted)[(pieces.x >= phase.start) & (pieces.x <= phase.end)]
    own = float(np.sqrt(residual @ residual / max(len(residual) - 2, 1)))
    return max(len(residual), 1), own if len(residual) >= MIN_NOISE_POINTS else max(own, pieces.noise)


def _choose_kind(change: float, limit: float) -> str:
    return LEVEL if abs(change) <= limit else RISES if change > 0 else FALLS


def _choose_kind_by_ranks(y: Floats, autocorrelation: float) -> str:
    """By Mann's test for a trend (Econometrica 1945), which a bent rise passes that is no line."""
    count = len(y)
    concordance = float(np.sign(y[None, :] - y[:, None])[np.triu_indices(count, 1)].sum())
    autocorrelation *= count / (
        2 * MAX_RANK_POINTS
    )  # a bend looks like autocorrelation, the more so the fewer the points
    deviation = np.sqrt(count * (count - 1) * (2 * count + 5) / 18 * (1 + autocorrelation) / (1 - autocorrelation))
    return _choose_kind(concordance, 1 + RANK_DEVIATIONS * float(deviation))  # with the correction for steps of 2


def _join_pieces(pieces: Segmentation, classify: Classifier) -> list[Phase]:
    """The pieces as phases, each from where the last one ended, with a phase of its own for a jump between two."""
    phases: list[Phase] = []
    for index, (start, end) in enumerate(zip(pieces.cuts[:-1], pieces.cuts[1:], strict=True)):
        ends = float(pieces.x[start]), float(pieces.x[end - 1])
        begins = pieces.cut_intervals[index - 1] if index else (ends[0], ends[0])
        first, last = float(pieces.fitted[start]), float(pieces.fitted[end - 1])
        bare = Phase(LEVEL, *ends, first, last, pieces.noise, pieces.autocorrelation, begins)
        phase = replace(bare, kind=classify(bare))
        if phases:
            before = phases.pop()
            phases += (
                [before, _make_jump(before, phase)]
                if _is_jump(before, phase, pieces, index)
                else [_end_at_crossing(before, phase)]
            )
            phase = replace(phase, start=phases[-1].end, first=phases[-1].last)
        phases.append(phase)
    return phases


def _is_jump(before: Phase, after: Phase, pieces: Segmentation, index: int) -> bool:
    """Whether the curve leaps between two pieces, by more than their slopes, their noise and a share of its range."""
    step = after.start - before.end
    gap = abs(after.first - before.last - step * (before.slope + after.slope) / 2)
    autocorrelation = (1 + pieces.autocorrelation) / (1 - pieces.autocorrelation)
    variances = [4 * noise**2 / count for count, noise in (_measure_noise(pieces, phase) for phase in (before, after))]
    chance = JUMP_ERRORS * np.sqrt(autocorrelation * sum(variances))
    if gap <= MIN_JUMP_SHARE * np.ptp(pieces.fitted):
        return False
    gain = measure_gap_gain(pieces, index)
    # A value halfway down makes the noise of a short piece look large; then the gain tells alone.
    return gain > JUMP_GAIN and (bool(gap > chance) or gain > SURE_JUMP_GAIN)


def _make_jump(before: Phase, after: Phase) -> Phase:
    kind = JUMPS if after.first > before.last else DROPS
    return replace(after, kind=kind, start=before.end, end=after.start, first=before.last, last=after.first)


def _end_at_crossing(before: Phase, after: Phase) -> Phase:
    """The earlier of two pieces, ended where the two lines cross, if that is where the cut may be."""
    turn = before.slope - after.slope
    crossing = (after.first - before.first + before.slope * before.start - after.slope * after.start) / (turn or np.inf)
    if after.begins[0] <= crossing <= after.begins[1] and before.start < crossing < after.end:
        return replace(before, end=crossing, last=before.first + before.slope * (crossing - before.start))
    return replace(before, end=after.start, last=(before.last + after.first) / 2)
