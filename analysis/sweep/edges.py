"""Whether the best values lie at an edge of what was searched, so that better ones may lie beyond it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.sweep.margin import Lead
from analysis.sweep.optimum import Optimum, Profile
from analysis.sweep.settings import View
from analysis.sweep.thresholds import KEPT_BESIDE_EDGE, LARGE_FACTOR, MOSTLY_AT_EDGE, NEAR_EDGE, OUTER, SURE_EDGE
from rlhf_sweeps.record import Axis, write_command
from rlhf_sweeps.verdicts.pairs import BETTER

# Keys that can go no further.
_MOST = {"ppo.gamma": 1.0, "ppo.gae_lambda": 1.0, "ppo.top_p": 1.0, "ppo.clip_range": 0.95}


@dataclass(frozen=True)
class Edge:
    """An axis whose best values lie at its edge.

    Attributes:
        axis: the key.
        is_high: whether it is the upper edge.
        value: of the best setting, as text.
        probability: that the objective still rises towards the edge.
        rise: by how much it does, over the outer tenth of an interval or from the next choice of a list.
        override: what to search next, as typed; None where the key can go no further.
    """

    axis: Axis
    is_high: bool
    value: str
    probability: float
    rise: float
    override: str | None


def find_edges(view: View, optimum: Optimum | None, lead: Lead | None) -> list[Edge]:
    """The edges at which the best values lie, by more than noise.

    Where a surface could be fitted, it decides, for keys that matter. Else the best setting at the end of a list must
    be better, by more than noise, than the setting that has the next choice and is equal otherwise.

    Args:
        lead: of the best setting over the others.
    """
    best = view.best
    if best is None:
        return []
    winning = []
    for index, axis in enumerate(view.axes):
        text = best.values.get(axis.key)
        place = axis.position(text)
        if text is None or not axis.is_numeric or not (place <= NEAR_EDGE or place >= 1 - NEAR_EDGE):
            continue
        is_high = place > 0.5
        probability, rise = (
            _estimate_rise(optimum.profiles[index], is_high) if optimum else _compare_neighbours(view, lead, axis)
        )
        if probability >= SURE_EDGE:
            winning.append(Edge(axis, is_high, text, probability, rise, _write_override(axis, is_high)))
    return winning


def _estimate_rise(profile: Profile, is_high: bool) -> tuple[float, float]:
    """How probable it is that the surface rises towards an edge, and by how much; 0 where its top is elsewhere."""
    if not profile.is_clear:
        return 0.0, 0.0
    draws = profile.draws if not is_high else profile.draws[:, ::-1]
    inner = max(1, round(OUTER * (draws.shape[1] - 1))) if profile.axis.is_interval else 1
    at_edge = float((draws.argmax(axis=1) <= (inner if profile.axis.is_interval else 0)).mean())
    rises = draws[:, 0] - draws[:, inner]
    return (float((rises > 0).mean()) if at_edge >= MOSTLY_AT_EDGE else 0.0), float(rises.mean())


def _compare_neighbours(view: View, lead: Lead | None, axis: Axis) -> tuple[float, float]:
    """How probable it is that the best setting is better than its neighbour, if that is decided, and by how much."""
    ordered = list(axis.choices)
    if axis.is_interval or len(ordered) < 2 or lead is None or lead.pairs is None:
        return 0.0, 0.0
    values = lead.best.values
    place = ordered.index(values[axis.key])
    neighbour = {0: 1, len(ordered) - 1: len(ordered) - 2}.get(place)
    keys = [swept_axis.key for swept_axis in view.axes]  # without those that move along
    wanted = None if neighbour is None else {**values, axis.key: ordered[neighbour]}
    for setting, pair in zip(lead.ranked[1:], lead.pairs, strict=False):
        if wanted and all(setting.values.get(key) == wanted.get(key) for key in keys) and pair.verdict == BETTER:
            return 1 - pair.p_value / 2, view.measure_gap(lead.best, setting)
    return 0.0, 0.0


def _write_override(axis: Axis, is_high: bool) -> str | None:
    """The part of the axis next to the edge, and as much again beyond it; on a log axis a factor of ten."""
    most = _MOST.get(axis.key, np.inf)
    edge = axis.high if is_high else axis.low
    if not is_high and not axis.is_log and edge <= 0 <= axis.high:
        return None
    if axis.choices:
        return _write_list_override(axis, is_high, most)
    inner = axis.value(1 - KEPT_BESIDE_EDGE if is_high else KEPT_BESIDE_EDGE)
    width = axis.high - axis.low
    if is_high:
        outer = min(edge * 10 if axis.is_log else edge + width, most)
    else:
        outer = edge / 10 if axis.is_log else edge - width
        outer = max(outer, edge / 2) if edge > 0 and not axis.is_log else outer
        outer = max(outer, 1.0) if axis.is_int and edge >= 1 else outer
    if outer == edge:
        return None
    low, high = sorted((inner, outer))
    return write_axis(axis, low, high)


def _write_list_override(axis: Axis, is_high: bool, most: float) -> str | None:
    ordered: Sequence[str] = axis.choices if is_high else axis.choices[::-1]
    last, before = float(ordered[-1]), float(ordered[-2])
    ratio = last / before if last * before > 0 else 1.0
    if max(ratio, 1 / ratio) >= 2:  # a list of factors
        powers = (1.0, 2.0) if max(ratio, 1 / ratio) < LARGE_FACTOR else (0.5, 1.0)
        further = [last * ratio**power for power in powers]
    else:
        further = [last + (last - before) * step for step in (1, 2)]
        further = [value for value in further if value > 0 or axis.low < 0]
    is_whole = all(text.lstrip("-").isdigit() for text in axis.choices)
    choices = [(str(round(value)) if is_whole else f"{value:.3g}") for value in further if value <= most]
    choices = list(dict.fromkeys(text for text in choices if float(text) not in (last, 0.0)))
    return f"{axis.name}={write_command(','.join([ordered[-1], *choices]))}" if choices else None


def write_axis(axis: Axis, low: float, high: float) -> str:
    """A part of an interval as a word of a shell; two digits."""
    ends = [f"{low:.2g}", f"{high:.2g}"]
    if axis.is_int:
        ends = [str(round(low)), str(max(round(high), round(low) + 1))]
    tags = ["int"] * axis.is_int + ["log"] * axis.is_log
    interval = f"interval({','.join(ends)})"
    text = f"tag({','.join(tags)},{interval})" if tags else interval
    return f"{axis.name}={write_command(text)}"
