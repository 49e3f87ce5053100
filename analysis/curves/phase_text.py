"""A curve's phases in words, with the numbers behind them."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from analysis.curves.phase import DROPS, FALLS, JUMPS, LEVEL, RISES, Phase
from analysis.curves.phases import find_phases, find_sum_phases
from analysis.curves.smoothing import choose_window, smooth_curve
from analysis.curves.spikes import remove_spikes, select_large_spikes
from analysis.curves.thresholds import CLEAR, FEWEST_LEVEL, MOST_LAST, MOST_OF_CHANGE, SOON, TIGHT, WANDERS
from analysis.records.runs import UPDATE, Floats
from analysis.wording.endings import describe_spread
from analysis.wording.statements import Statement
from rlhf_sweeps.figures import format_number
from rlhf_sweeps.verdicts.series import Ending, measure_ending
from rlhf_sweeps.verdicts.trend import NO_TREND


def describe_curve(
    name: str, updates: Floats, values: Floats, is_sum: bool = False, unit: str = UPDATE
) -> tuple[Statement, list[Phase]]:
    """One sentence on the course of a curve, and its phases.

    Args:
        name: the subject of the sentence: `entropy`.
        updates, values: ascending and finite, (n,) each.
        is_sum: whether it is a running sum.
        unit: what the updates are, where they are something else: `episode`.
    """
    phases = find_sum_phases(updates, values) if is_sum else find_phases(updates, values)
    if not phases:
        return Statement(
            f"{name} {_describe_few_values(updates, values, unit)}", _collect_evidence(updates, values, [], unit)
        ), []
    raw, values = values, values if is_sum else remove_spikes(values)
    phases = phases if is_sum else _correct_ends(phases, updates, values)
    evidence = _collect_evidence(updates, raw, phases, unit)
    ending = None if is_sum else _find_ending(phases, updates, values)
    spread = "" if ending is None else describe_spread(ending, values_noun="updates" if unit == UPDATE else "values")
    if len(phases) == 1:
        text = _describe_single_phase(phases[0], updates, values, is_sum, unit, spread)
    else:
        extreme = _find_extreme(phases, updates, values, is_sum)
        if extreme:
            evidence |= {f"{extreme[0]} {unit}": extreme[1], f"{extreme[0]} value": extreme[2]}
        turn = _find_turn(phases, extreme, updates)
        parts = [
            _describe_part(phase, index, phases, updates, index == turn, unit) for index, phase in enumerate(phases)
        ]
        if ending is not None and phases[-1].kind == LEVEL:
            parts.pop()  # the sharp change before it has said the level
        parts[-1] += spread
        aside = _describe_extreme(extreme, unit) if extreme and turn is None else ""
        text = f"{', '.join(parts[:-1])}, then {parts[-1]}{aside}"
    if not is_sum and (most := _find_most_of_change(phases, updates, values)) is not None:
        word, update = most
        text = (
            f"{text.replace(' throughout', '')}, {100 * MOST_OF_CHANGE:.0f} % of it {word} {unit} "
            f"{format_number(update)}"
        )
        evidence[f"most of it {word} {unit}"] = update
    return Statement(f"{name} {text}{_describe_spikes(updates, raw, values, phases, unit)}", evidence), phases


def _correct_ends(phases: list[Phase], updates: Floats, values: Floats) -> list[Phase]:
    """The phases with the first value of the smoothed curve and the mean of the last recorded values.

    A line through a bend misses both.
    """
    smooth = smooth_curve(updates, values, choose_window(float(updates[-1] - updates[0]))) if len(values) else values
    corrected = list(phases)
    for index in (0, -1) if phases else ():
        phase = corrected[index]
        changed = (
            replace(phase, first=float(smooth[0])) if index == 0 else replace(phase, last=measure_ending(values).mean)
        )
        if phase.kind in (RISES, FALLS) and changed.change * phase.change > 0:
            corrected[index] = changed
    return corrected


def _find_ending(phases: Sequence[Phase], updates: Floats, values: Floats) -> Ending | None:
    """The mean of the last values, where a sentence ends with it: after a rise or fall, or a sharp change.

    It is None where the curve ends level, since a level is a median of recorded values, and where a rise or fall ends
    on the other side of its start.
    """
    last = phases[-1]
    num_last = int((updates >= last.start).sum())
    is_after_change = len(phases) > 1 and phases[-2].kind in (JUMPS, DROPS) and num_last <= MOST_LAST
    if last.kind == LEVEL and not is_after_change:
        return None
    ending = measure_ending(values, num_last if last.kind == LEVEL else None)
    return ending if np.isclose(ending.mean, last.last) else None


def describe_place(update: float, begins: tuple[float, float], updates: Floats, unit: str = UPDATE) -> str:
    """An update, as exact as it is known: `update 60`, `about update 60`, `somewhere between updates 48 and 71`."""
    step = float(np.median(np.diff(updates))) if len(updates) > 1 else 1.0
    span = float(updates[-1] - updates[0])
    width = begins[1] - begins[0]
    if width <= max(2 * step, TIGHT * span):
        return f"{unit} {format_number(round(update))}"
    if width <= CLEAR * span:
        return f"about {unit} {format_number(round(update))}"
    low, high = min(begins[0], update), max(begins[1], update)
    return f"somewhere between {unit}s {format_number(round(low))} and {format_number(round(high))}"


def _describe_few_values(updates: Floats, values: Floats, unit: str) -> str:
    if not len(values):
        return "is not recorded"
    if len(values) == 1:
        return f"has one value: {format_number(float(values[0]))} at {unit} {format_number(float(updates[0]))}"
    ends = f"{format_number(float(values[0]))} at {unit} {format_number(float(updates[0]))}"
    ends += f", {format_number(float(values[-1]))} at {unit} {format_number(float(updates[-1]))}"
    return f"has {len(values)} values, too few to distinguish a trend from noise: {ends}"


def _describe_single_phase(phase: Phase, updates: Floats, values: Floats, is_sum: bool, unit: str, spread: str) -> str:
    first, last, noise = format_number(phase.first), format_number(phase.last), format_number(phase.noise)
    if phase.kind != LEVEL:
        weak = (
            ""
            if is_sum or abs(phase.change) > phase.noise
            else f", by less than its noise (standard deviation {noise})"
        )
        return f"{phase.kind} throughout, from {first} to {last}{spread}{weak}"
    if phase.noise == 0:
        return f"is {first} throughout"
    if is_sum:
        ends = [format_number(float(values[index])) for index in (0, -1)]
        return f"goes from {ends[0]} to {ends[1]}, which may be accumulated noise"
    if phase.memory > WANDERS:
        low, high = format_number(float(values.min())), format_number(float(values.max()))
        return f"wanders between {low} and {high} without a lasting trend"
    if len(values) < FEWEST_LEVEL:
        return _describe_few_values(updates, values, unit)
    return f"has {NO_TREND} beyond its noise: around {format_number(float(values.mean()))}, standard deviation {noise}"


def _describe_part(
    phase: Phase, index: int, phases: Sequence[Phase], updates: Floats, is_extreme: bool, unit: str
) -> str:
    first, last = format_number(phase.first), format_number(phase.last)
    after = phases[index + 1] if index + 1 < len(phases) else None
    until = (
        ""
        if after is None or after.kind in (JUMPS, DROPS)
        else f" until {describe_place(phase.end, after.begins, updates, unit)}"
    )
    if phase.kind in (JUMPS, DROPS):
        return f"{phase.kind} from {first} to {last} at {describe_place(phase.end, phase.begins, updates, unit)}"
    if phase.kind == LEVEL:
        # The sentence on a jump has said the level.
        is_said = index > 0 and phases[index - 1].kind in (JUMPS, DROPS)
        return f"{'is' if index == 0 else 'stays'} level{'' if is_said else f' around {first}'}{until}"
    start = f" from {first}" if index == 0 else ""
    if is_extreme and after is not None:
        turn_noun = "a peak" if phase.kind == RISES else "a low"
        return (
            f"{phase.kind}{start} to {turn_noun} of {last} at {describe_place(phase.end, after.begins, updates, unit)}"
        )
    return f"{phase.kind}{start} to {last}{until}"


def _find_extreme(
    phases: Sequence[Phase], updates: Floats, values: Floats, is_sum: bool
) -> tuple[str, float, float] | None:
    """Name, update and value of the top between a rise and a fall, or the bottom between a fall and a rise."""
    course = [phase.kind for phase in phases if phase.kind in (RISES, FALLS)]
    if course not in ([RISES, FALLS], [FALLS, RISES]) or any(phase.kind in (JUMPS, DROPS) for phase in phases):
        return None
    smooth = values if is_sum else smooth_curve(updates, values, choose_window(float(updates[-1] - updates[0])))
    is_peak = course[0] == RISES
    index = int(np.argmax(smooth) if is_peak else np.argmin(smooth))
    return "peak" if is_peak else "trough", float(updates[index]), float(smooth[index])


def _find_turn(phases: Sequence[Phase], extreme: tuple[str, float, float] | None, updates: Floats) -> int | None:
    """The index of the phase that ends at the extreme, or near enough to it; None where none does."""
    near = TIGHT * float(updates[-1] - updates[0])
    for index, (phase, after) in enumerate(pairwise(phases)):
        is_turn = {phase.kind, after.kind} == {RISES, FALLS}
        if extreme and is_turn and after.begins[0] - near <= extreme[1] <= after.begins[1] + near:
            return index
    return None


def _describe_extreme(extreme: tuple[str, float, float], unit: str) -> str:
    name, update, value = extreme
    return f" ({'peak' if name == 'peak' else 'lowest'}: {format_number(value)} at {unit} {format_number(update)})"


def _find_most_of_change(phases: Sequence[Phase], updates: Floats, values: Floats) -> tuple[str, float] | None:
    """`by` or `after` which update most of a curve's only rise or fall is done; None where it is as even as a line."""
    if len(phases) != 1 or phases[0].kind not in (RISES, FALLS) or len(values) < 10:
        return None
    if abs(phases[0].change) <= phases[0].noise:
        return None
    smooth = smooth_curve(updates, values, choose_window(float(updates[-1] - updates[0])))
    share = (smooth - phases[0].first) / phases[0].change
    span = float(updates[-1] - updates[0])
    by = float(updates[int(np.argmax(share >= MOST_OF_CHANGE))])
    if share.max() >= MOST_OF_CHANGE and by <= updates[0] + SOON * span:
        return "by", by
    early = np.flatnonzero(share <= 1 - MOST_OF_CHANGE)
    after = float(updates[early[-1]]) if len(early) else -np.inf
    return ("after", after) if after >= updates[-1] - SOON * span else None


def _describe_spikes(updates: Floats, values: Floats, clean: Floats, phases: Sequence[Phase], unit: str) -> str:
    """A clause on the spikes, which the phases leave out; empty where none is large."""
    far = select_large_spikes(values, clean, phases[0].noise)
    if not len(far):
        return ""
    furthest = f"{format_number(float(values[far[0]]))} at {unit} {format_number(float(updates[far[0]]))}"
    return f"; {furthest} is an outlier" if len(far) == 1 else f"; {len(far)} values are outliers, such as {furthest}"


def _collect_evidence(updates: Floats, values: Floats, phases: Sequence[Phase], unit: str) -> dict[str, float]:
    if not len(values):
        return {}
    evidence = {
        f"first {unit}": float(updates[0]),
        f"last {unit}": float(updates[-1]),
        "first value": float(values[0]),
        "last value": float(values[-1]),
        "highest value": float(values.max()),
        f"highest value {unit}": float(updates[int(np.argmax(values))]),
        "lowest value": float(values.min()),
        f"lowest value {unit}": float(updates[int(np.argmin(values))]),
        "values": float(len(values)),
    }
    if phases:
        evidence["noise"] = phases[0].noise
        evidence["memory of the noise"] = phases[0].memory
    for index, phase in enumerate(phases, 1):
        name = f"phase {index}"
        evidence |= {f"{name} start": phase.start, f"{name} end": phase.end}
        evidence |= {f"{name} from": phase.first, f"{name} to": phase.last, f"{name} slope": phase.slope}
        if index > 1:
            evidence |= {
                f"{name} starts at the earliest": phase.begins[0],
                f"{name} starts at the latest": phase.begins[1],
            }
    return evidence
