"""A curve's phases in words, with the numbers behind them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analysis.curves.phase import DROPS, FALLS, JUMPS, LEVEL, RISES, Phase
from analysis.curves.phases import find_phases, find_sum_phases
from analysis.curves.smoothing import smoothed, window_of
from analysis.records import Floats
from analysis.statements import Statement, number

_TIGHT, _CLEAR = 0.03, 0.2  # shares of the updates: a turn known so well is "at", so well "about", else "between"
_MOST = 0.8
_WANDERS = 0.6  # memory of the noise from which a level curve is said to wander


def tell(name: str, updates: Floats, values: Floats, is_sum: bool = False) -> tuple[Statement, list[Phase]]:
    """What a curve does, in one sentence, and the phases that it says it of.

    Args:
        name: what the sentence is about: `entropy`.
        updates, values: ascending and finite, (n,) each.
        is_sum: whether it is a running sum.
    """
    phases = find_sum_phases(updates, values) if is_sum else find_phases(updates, values)
    phases = phases if is_sum else _with_ends(phases, updates, values)
    evidence = _evidence(updates, values, phases)
    if not phases:
        return Statement(f"{name} {_too_short(updates, values)}", evidence), []
    if len(phases) == 1:
        text = _single(phases[0], updates, values, is_sum)
    else:
        parts = [_part(phase, index, phases, updates) for index, phase in enumerate(phases)]
        text = f"{', '.join(parts[:-1])}, then {parts[-1]}{_extremes(phases, updates, values, is_sum, evidence)}"
    if not is_sum and (early := _early(phases, updates, values)) is not None:
        text = f"{text.replace(' throughout', '')}, {100 * _MOST:.0f} % of it by update {number(early)}"
        evidence["most of it by update"] = early
    return Statement(f"{name} {text}", evidence), phases


def _with_ends(phases: list[Phase], updates: Floats, values: Floats) -> list[Phase]:
    """The first and the last value as the smoothed curve has them, which a line through a bent course misses."""
    smooth = smoothed(updates, values, window_of(float(updates[-1] - updates[0]))) if len(values) else values
    found = list(phases)
    for index in (0, -1) if phases else ():
        phase = found[index]
        changed = replace(phase, first=float(smooth[0])) if index == 0 else replace(phase, last=float(smooth[-1]))
        if phase.kind in (RISES, FALLS) and changed.change * phase.change > 0:
            found[index] = changed
    return found


def place(update: float, begins: tuple[float, float], updates: Floats) -> str:
    """An update as exactly as it is known: `update 60`, `about update 60`, `somewhere between updates 48 and 71`."""
    step = float(np.median(np.diff(updates))) if len(updates) > 1 else 1.0
    span = float(updates[-1] - updates[0])
    loose = begins[1] - begins[0]
    if loose <= max(2 * step, _TIGHT * span):
        return f"update {number(round(update))}"
    if loose <= _CLEAR * span:
        return f"about update {number(round(update))}"
    low, high = min(begins[0], update), max(begins[1], update)
    return f"somewhere between updates {number(round(low))} and {number(round(high))}"


def _too_short(updates: Floats, values: Floats) -> str:
    if not len(values):
        return "is not recorded"
    if len(values) == 1:
        return f"has one value: {number(float(values[0]))} at update {number(float(updates[0]))}"
    ends = f"{number(float(values[0]))} at update {number(float(updates[0]))}"
    ends += f", {number(float(values[-1]))} at update {number(float(updates[-1]))}"
    return f"has {len(values)} values, too few to tell phases from noise: {ends}"


def _single(phase: Phase, updates: Floats, values: Floats, is_sum: bool) -> str:
    first, last, noise = number(phase.first), number(phase.last), number(phase.noise, 2)
    if phase.kind != LEVEL:
        weak = "" if is_sum or abs(phase.change) > phase.noise else f", by less than its noise of ±{noise}"
        return f"{phase.kind} throughout, from {first} to {last}{weak}"
    if phase.noise == 0:
        return f"is {first} throughout"
    if is_sum:
        ends = [number(float(values[index])) for index in (0, -1)]
        return f"goes from {ends[0]} to {ends[1]}, which may be its noise adding up"
    if phase.memory > _WANDERS:
        low, high = number(float(values.min())), number(float(values.max()))
        return f"wanders between {low} and {high} without a lasting trend"
    few = f", as far as {len(values)} values tell" if len(values) < 10 else ""
    return f"has no trend beyond its noise: around {number(float(values.mean()))}, ±{noise} from value to value{few}"


def _part(phase: Phase, index: int, phases: Sequence[Phase], updates: Floats) -> str:
    first, last = number(phase.first), number(phase.last)
    after = phases[index + 1] if index + 1 < len(phases) else None
    until = "" if after is None or after.kind in (JUMPS, DROPS) else f" until {place(phase.end, after.begins, updates)}"
    if phase.kind in (JUMPS, DROPS):
        return f"{phase.kind} from {first} to {last} at {place(phase.end, phase.begins, updates)}"
    if phase.kind == LEVEL:
        # After a jump it has been said where it is.
        known = index > 0 and phases[index - 1].kind in (JUMPS, DROPS)
        return f"{'is' if index == 0 else 'stays'} level{'' if known else f' around {first}'}{until}"
    start = f" from {first}" if index == 0 else ""
    return f"{phase.kind}{start} to {last}{until}"


def _extremes(
    phases: Sequence[Phase], updates: Floats, values: Floats, is_sum: bool, evidence: dict[str, float]
) -> str:
    """The top between a rise and a fall, the bottom between a fall and a rise, if there is one of its kind."""
    course = [phase.kind for phase in phases if phase.kind in (RISES, FALLS)]
    if course not in ([RISES, FALLS], [FALLS, RISES]) or any(phase.kind in (JUMPS, DROPS) for phase in phases):
        return ""
    smooth = values if is_sum else smoothed(updates, values, window_of(float(updates[-1] - updates[0])))
    is_peak = course[0] == RISES
    index = int(np.argmax(smooth) if is_peak else np.argmin(smooth))
    name = "peak" if is_peak else "trough"
    evidence |= {f"{name} update": float(updates[index]), f"{name} value": float(smooth[index])}
    what = "highest" if is_peak else "lowest"
    return f" ({what}: {number(float(smooth[index]))} at update {number(float(updates[index]))})"


def _early(phases: Sequence[Phase], updates: Floats, values: Floats) -> float | None:
    """By when a rise or fall that is the whole curve is nearly done, if that is in its first half."""
    if len(phases) != 1 or phases[0].kind not in (RISES, FALLS) or len(values) < 10:
        return None
    smooth = smoothed(updates, values, window_of(float(updates[-1] - updates[0])))
    share = (smooth - smooth[0]) / ((smooth[-1] - smooth[0]) or np.inf)
    early = float(updates[int(np.argmax(share >= _MOST))])
    is_early = share.max() >= _MOST and early <= (updates[0] + updates[-1]) / 2
    return early if is_early else None


def _evidence(updates: Floats, values: Floats, phases: Sequence[Phase]) -> dict[str, float]:
    if not len(values):
        return {}
    found = {
        "first update": float(updates[0]),
        "last update": float(updates[-1]),
        "first value": float(values[0]),
        "last value": float(values[-1]),
        "highest value": float(values.max()),
        "highest value update": float(updates[int(np.argmax(values))]),
        "lowest value": float(values.min()),
        "lowest value update": float(updates[int(np.argmin(values))]),
        "values": float(len(values)),
    }
    if phases:
        found["noise"] = phases[0].noise
        found["memory of the noise"] = phases[0].memory
    for index, phase in enumerate(phases, 1):
        name = f"phase {index}"
        found |= {f"{name} start": phase.start, f"{name} end": phase.end}
        found |= {f"{name} from": phase.first, f"{name} to": phase.last, f"{name} slope": phase.slope}
        if index > 1:
            found |= {
                f"{name} starts at the earliest": phase.begins[0],
                f"{name} starts at the latest": phase.begins[1],
            }
    return found
