"""Other people's curves on the panels of ours: on the same axis, smoothed alike, and never counted among our runs."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from analysis.curves.agreement import format_range
from analysis.curves.axis import EPISODE, count_episodes, place_along
from analysis.curves.curves import MetricCurve, make_curves
from analysis.curves.metrics import ENTROPIES, read_curve
from analysis.curves.panels import Choice, MetricPanel, thin_curve
from analysis.records.runs import CUMULATIVE_REWARD, REWARD, SCORES, TOO_LARGE, UPDATE, Floats, RunRecord
from analysis.wording.errors import AnalysisError
from analysis.wording.statements import join_words
from rlhf_sweeps.figures import format_number


def match_entropies(
    metrics: Sequence[str], others: Sequence[RunRecord], runs: Sequence[RunRecord]
) -> tuple[list[str], list[RunRecord], list[str]]:
    """The metrics to draw, the others' runs, and notes, where `entropy` is settled for each of the others.

    A column of that name may be a sum over a response or a mean over tokens. It is the one of our two whose median is
    nearer, as a ratio; it stays the sum if our runs have not recorded both.

    Args:
        metrics: to be drawn by default.
        others: other people's runs.
        runs: ours.
    """
    of_response, of_token = ENTROPIES
    own = [_measure_median(runs, metric) for metric in ENTROPIES]
    settled, notes = [], []
    for other in others:
        size = _measure_median([other], of_response)
        if of_token in other.metrics or size is None or own[0] is None or own[1] is None:
            settled.append(other)
            continue
        if abs(math.log(size / own[0])) <= abs(math.log(size / own[1])):
            settled.append(other)
            continue
        renamed = {of_token if name == of_response else name: values for name, values in other.metrics.items()}
        settled.append(replace(other, metrics=renamed))
        notes.append(
            f"{other.name}: its entropy (median {format_number(size)}) is compared with {of_token}, a mean over tokens "
            f"(ours: {format_number(own[1])}), not with {of_response}, a sum over a response ({format_number(own[0])})"
        )
    recorded = {metric for other in settled for metric in ENTROPIES if metric in other.metrics}
    if recorded == {of_token}:
        metrics = [of_token if metric == of_response else metric for metric in metrics]
    return list(metrics), settled, notes


def _measure_median(runs: Sequence[RunRecord], metric: str) -> float | None:
    """The median of a metric's positive values, None without any."""
    values = np.concatenate([read_curve(run, metric)[1] for run in runs])
    values = values[values > 0]
    return float(np.median(values)) if len(values) else None


def lay_beside(
    panels: Sequence[MetricPanel], runs: Sequence[RunRecord], choice: Choice
) -> tuple[list[MetricPanel], list[str]]:
    """The panels with a curve of each run that has the metric, and sentences on how these were read and aligned.

    Args:
        panels: with our curves.
        runs: other people's, with names that differ.
        choice: our lines and their axis.

    Raises:
        AnalysisError: if a run has none of the metrics, or does not count what the axis counts.
    """
    notes: list[str] = []
    curves: dict[str, list[MetricCurve]] = {panel.metric: [] for panel in panels}
    for run in runs:
        summed, unsummed = _drop_unknown_sum(run, choice.drawn)
        placed = _put_on_axis(summed, choice)
        drawn = [panel for panel in panels if len(read_curve(placed, panel.metric)[0])]
        if not drawn:
            if unusable := [panel.metric for panel in panels if panel.metric in run.metrics]:
                raise AnalysisError(
                    f"--beside {run.name}: {join_words(unusable)}: no value can be drawn "
                    f"(all are {TOO_LARGE:g} or larger)"
                )
            if unsummed and any(panel.metric == CUMULATIVE_REWARD for panel in panels):
                raise AnalysisError(f"--beside {unsummed[0]}")
            columns = join_words([name for name in run.metrics if name != UPDATE])
            raise AnalysisError(
                f"--beside {run.name}: none of its columns is drawn (it has: {columns}; drawn are: "
                f"{join_words([panel.metric for panel in panels])})"
            )
        theirs, ours = _find_ends(placed, drawn)
        shift = _choose_shift(theirs[0], ours[0]) if choice.unit == UPDATE else 0.0
        aligned = replace(
            placed,
            name=run.name if run.name not in (*choice.runs, *choice.names.values()) else f"{run.name} (beside)",
            metrics={**placed.metrics, UPDATE: placed.updates + shift},
        )
        for panel in drawn:
            curves[panel.metric] += map(thin_curve, make_curves([aligned], panel.metric, None, panel.window))
        notes += _write_notes(aligned, shift, theirs, ours, choice.unit)
        notes += unsummed if any(panel.metric == CUMULATIVE_REWARD for panel in panels) else []
    return [replace(panel, beside=curves[panel.metric]) for panel in panels], notes


def list_undrawn(panels: Sequence[MetricPanel], runs: Sequence[RunRecord]) -> Iterator[str]:
    """A note for each of other people's runs on its columns that no panel shows, since a name may be misspelt."""
    drawn = {panel.metric for panel in panels}
    for run in runs:
        columns = [name for name in run.metrics if name not in (UPDATE, EPISODE, run.axis)]
        if undrawn := [name for name in columns if name not in drawn or not len(read_curve(run, name)[0])]:
            yield f"{run.name}: not drawn: {join_words(undrawn)}"


def _drop_unknown_sum(run: RunRecord, own: Sequence[RunRecord]) -> tuple[RunRecord, list[str]]:
    """A run without a cumulative reward, and a note, if its rewards do not tell it.

    They tell it if they begin at our first update and none of ours is missing up to their end. Where rows are counted
    by something else than updates, each must have a reward.
    """
    places, _ = read_curve(run, REWARD if REWARD in run.metrics else SCORES)
    if CUMULATIVE_REWARD in run.metrics or not len(places):
        return run, []
    curves = [updates for each in own if len(updates := read_curve(each, CUMULATIVE_REWARD)[0])]
    if not run.counts_updates or not curves:
        is_whole = len(places) == len(np.unique(run.updates))
    else:
        ours = np.unique(np.concatenate(curves))
        shifted = places + _choose_shift(float(places[0]), float(ours[0]))
        is_whole = bool(shifted[0] == ours[0] and np.isin(ours[ours <= shifted[-1]], shifted).all())
    if is_whole:
        return run, []
    unknown = {**run.metrics, CUMULATIVE_REWARD: np.full(len(run.updates), np.nan)}
    note = f"{run.name}: no cumulative reward is drawn, since its rewards are not at all updates from our first one on"
    return replace(run, metrics=unknown), [note]


def _put_on_axis(run: RunRecord, choice: Choice) -> RunRecord:
    if choice.unit == EPISODE:
        if count_episodes(run) is None:
            raise AnalysisError(
                f"--beside {run.name}: has no column `{EPISODE}`, which the axis counts (--x updates needs none)"
            )
        return place_along(run, EPISODE)
    unlike = sorted({own.axis for own in choice.drawn if own.counts_updates != run.counts_updates})
    if unlike:
        raise AnalysisError(
            f"--beside {run.name}: counts its rows by {run.axis}, our runs by {join_words(unlike)} (allowed: a column "
            f"`{UPDATE}`{'; or --x episodes' if run.axis == EPISODE else ''})"
        )
    return run


def _find_ends(run: RunRecord, panels: Sequence[MetricPanel]) -> tuple[tuple[float, float], tuple[float, float]]:
    """The first and last place of a run's curves, and of ours in the same panels."""
    theirs = [read_curve(run, panel.metric)[0] for panel in panels]
    ours = [curve.updates for panel in panels for curve in (*panel.curves, *panel.others)]
    return _measure_range(theirs), _measure_range(ours)


def _measure_range(curves: Sequence[Floats]) -> tuple[float, float]:
    return float(min(places[0] for places in curves)), float(max(places[-1] for places in curves))


def _choose_shift(theirs: float, ours: float) -> float:
    """The updates by which a run is moved so that both begin at the same one: some count from 0, others from 1."""
    return ours - theirs if {ours, theirs} == {0.0, 1.0} else 0.0


def _write_notes(
    run: RunRecord, shift: float, theirs: tuple[float, float], ours: tuple[float, float], unit: str
) -> Iterator[str]:
    for problem in run.problems:
        yield f"{run.name}: {problem}"
    if shift:
        first, start = format_number(theirs[0]), format_number(ours[0])
        yield f"{run.name} counts updates from {first}, our runs from {start}: its first one is drawn at {start}"
    theirs = (theirs[0] + shift, theirs[1] + shift)
    if theirs != ours:
        ranges = [format_range(*ends) for ends in (theirs, ours)]
        noun = unit if theirs[0] == theirs[1] else f"{unit}s"
        yield f"{run.name} covers {noun} {ranges[0]}, our runs {ranges[1]}: only what both cover is compared"
