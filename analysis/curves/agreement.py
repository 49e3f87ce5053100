"""How somebody else's curve compares with ours: its level, against the band or the line that is drawn, and its shape.

These are two statements, since curves of one shape may lie at different levels, as rewards of two reward models do.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from analysis.curves.curves import MetricCurve
from analysis.curves.metrics import find_title
from analysis.curves.phase import FALLS, LEVEL, RISES
from analysis.curves.sentences import find_direction
from analysis.curves.thresholds import MAX_STRETCHES
from analysis.records.runs import CUMULATIVE_REWARD, UPDATE, Floats
from analysis.wording.statements import Statement, format_count, join_words
from rlhf_sweeps.figures import format_number

_ROUNDING = 1e-9  # of the largest value: a difference that is no difference
_WITHIN = " within our range"  # of the other's places, where ours have values at other places
_SIDES = {1: "above", 0: "within", -1: "below"}
_REWARDS = ("rlhf_reward", "cumulative_reward", "score", "raw_score", "base_score")  # how such names begin
_BOTH = {RISES: "both rise", FALLS: "both fall", LEVEL: "both end about where they start"}
_ALONE = {RISES: "rises", FALLS: "falls", LEVEL: "ends about where it starts"}


def compare_levels(ours: MetricCurve, theirs: MetricCurve, unit: str = UPDATE) -> Statement:
    """Where another curve is above, within or below the band of our runs; of a single run, above or below its line.

    Both are smoothed as they are drawn. They are compared where both have a value, or, if their values rarely stand at
    the same places, at the other's values with straight lines between ours.

    Args:
        ours: of one or several runs.
        theirs: of one run, in the same metric and on the same axis.
        unit: what the axis counts.
    """
    subject = f"{find_title(ours.metric)} of {theirs.label}"
    places = _match_places(ours.updates, theirs.updates)
    if not len(places):
        ranges = [format_range(float(curve.updates[0]), float(curve.updates[-1])) for curve in (theirs, ours)]
        return Statement(f"{subject} has no {unit} in common with ours: it covers {ranges[0]}, ours {ranges[1]}")
    other = np.interp(places, theirs.updates, theirs.smoothed)
    low, mean, high = (np.interp(places, ours.updates, edge) for edge in (ours.low, ours.smoothed, ours.high))
    tolerance = _ROUNDING * float(np.abs([other, low, high]).max())
    sides = (other > high + tolerance).astype(int) - (other < low - tolerance)
    difference = float(np.mean(other - mean))
    both = "" if len(places) == len(ours.updates) == len(theirs.updates) else " that both have"
    if not np.isin(places, ours.updates).all():
        both = _WITHIN
    if ours.spread:
        text = _describe_band(f"the band of our {len(ours.runs)} runs", sides, places, both, unit)
    else:
        text = _describe_line(_carry_on(sides), places, both, unit, 0.0 if abs(difference) <= tolerance else difference)
    if ours.metric.rpartition("/")[2].startswith(_REWARDS):
        text = f"{text} (levels are comparable only under the same reward model)"
    counts = {f"{_name_points(unit)}s {word}": float((sides == side).sum()) for side, word in _SIDES.items()}
    evidence = {f"compared {_name_points(unit)}s": float(len(places)), f"first compared {unit}": float(places[0])}
    evidence |= {f"last compared {unit}": float(places[-1]), **counts, "mean difference": difference}
    return Statement(f"{subject} {text}", {"runs": float(len(ours.runs)), **evidence})


def compare_shapes(ours: MetricCurve, theirs: MetricCurve) -> Statement | None:
    """Whether both rise, fall or stay level where they overlap; None where one has too few values to say so."""
    start, end = max(ours.updates[0], theirs.updates[0]), min(ours.updates[-1], theirs.updates[-1])
    ways = []
    for curve in (ours, theirs):
        is_shared = (curve.updates >= start) & (curve.updates <= end)
        is_sum = curve.metric == CUMULATIVE_REWARD
        ways.append(find_direction(curve.updates[is_shared], curve.mean[is_shared], is_sum))
    own, other = ways
    if own is None or other is None:
        return None
    return Statement(_BOTH[own] if own == other else f"ours {_ALONE[own]}, {theirs.label} {_ALONE[other]}")


def format_range(first: float, last: float) -> str:
    """`1 to 40`, `4 only`."""
    return f"{format_number(first)} only" if first == last else f"{format_number(first)} to {format_number(last)}"


def _match_places(ours: Floats, theirs: Floats) -> Floats:
    """Where both have a value; the other's places within our range, if that are fewer than half of the sparser one's.

    A gap in one of two curves with the same places is left out so; curves on unlike grids are compared all the same.
    """
    start, end = max(ours[0], theirs[0]), min(ours[-1], theirs[-1])
    own, other = (places[(places >= start) & (places <= end)] for places in (ours, theirs))
    shared: Floats = np.intersect1d(own, other)
    return shared if 2 * len(shared) >= min(len(own), len(other)) else other


def _describe_band(band: str, sides: NDArray[np.int_], places: Floats, both: str, unit: str) -> str:
    stretches = _find_stretches(sides, places, unit)
    num_within = int((sides == 0).sum())
    if len(stretches) == 1:
        verb = "is within" if num_within else f"lies {_SIDES[stretches[0][0]]}"
        return f"{verb} {band} {_describe_all(places, both, unit)}"
    counted = f"is within {band} at {num_within} of {_count_places(places, both, unit)}"
    if len(stretches) <= MAX_STRETCHES:
        return ", ".join([counted, *(f"{_SIDES[side]} it {when}" for side, when in stretches if side)])
    outside = [f"{_SIDES[side]} it at {num}" for side in (1, -1) if (num := int((sides == side).sum()))]
    side, when = stretches[-1]
    return f"{counted}, {join_words(outside)}; {_SIDES[side]} it {when}"


def _describe_line(sides: NDArray[np.int_], places: Floats, both: str, unit: str, difference: float) -> str:
    stretches = _find_stretches(sides, places, unit)
    size = format_number(abs(difference))
    if len(stretches) == 1:
        side, total = stretches[0][0], _describe_all(places, both, unit)
        on_average = " on average" if len(places) > 1 else ""
        return f"lies {_SIDES[side]} ours {total}, by {size}{on_average}" if side else f"equals ours {total}"
    average = f"on average it is {size} {'higher' if difference > 0 else 'lower'}" if difference else ""
    average = average or "on average both are equal"
    if len(stretches) <= MAX_STRETCHES:
        course = ", ".join(f"{_SIDES[side]} ours {when}" for side, when in stretches)
        over = f", over {_count_places(places, both, unit, 'the ')}" if both else ""
        return f"lies {course}{over}; {average}"
    side, when = stretches[-1]
    total = _count_places(places, both, unit)
    return f"crosses ours {len(stretches) - 1} times in {total}, {_SIDES[side]} {when}; {average}"


def _name_points(unit: str) -> str:
    """What is counted: an update has one value, but values by episode stand at some episodes only."""
    return unit if unit == UPDATE else "point"


def _describe_all(places: Floats, both: str, unit: str) -> str:
    if len(places) == 1:
        only = f"its only one{_WITHIN}" if both == _WITHIN else "the only one that both have"
        return f"at {unit} {format_number(places[0])}, {only}"
    return f"at {_count_places(places, both, unit, 'all ')}"


def _count_places(places: Floats, both: str, unit: str, article: str = "") -> str:
    """`all 4 updates that both have`, `its 2 updates within our range`."""
    article = "its " if both == _WITHIN else article
    return f"{article}{format_count(len(places), _name_points(unit))}{both}"


def _find_stretches(sides: NDArray[np.int_], places: Floats, unit: str) -> list[tuple[int, str]]:
    """The sides in their order, and when: `until update 12`, `from update 13 to 30`, `from update 31 on`."""
    edges = [0, *(np.flatnonzero(np.diff(sides)) + 1).tolist(), len(sides)]
    stretches = []
    for start, end in pairwise(edges):
        first, last = format_number(places[start]), format_number(places[end - 1])
        if end == len(sides) and end - start > 1:
            when = f"from {unit} {first} on"
        elif start == 0 and end - start > 1:
            when = f"until {unit} {last}"
        else:
            when = f"from {unit} {first} to {last}" if end - start > 1 else f"at {unit} {first}"
        stretches.append((int(sides[start]), when))
    return stretches


def _carry_on(sides: NDArray[np.int_]) -> NDArray[np.int_]:
    """The sides where equal values count for the side before, or after at the start: touching is no crossing."""
    apart = np.flatnonzero(sides)
    if not len(apart):
        return sides
    return np.asarray(sides[apart[np.maximum(np.searchsorted(apart, np.arange(len(sides)), side="right") - 1, 0)]])
