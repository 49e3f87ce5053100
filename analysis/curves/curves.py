"""Training curves: one for each run, or the mean and spread of the runs that share a setting."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.curves.metrics import read_curve
from analysis.curves.smoothing import smooth_curve
from analysis.curves.thresholds import MIN_QUARTILE_RUNS
from analysis.records.runs import COMPLETE, Floats, RunRecord
from analysis.wording.labels import label_values, make_order_key

_Member = tuple[RunRecord, Floats, Floats, Floats]  # of a group: updates, values, smoothed values


@dataclass(frozen=True, eq=False)
class MetricCurve:
    """A line of a figure.

    Attributes:
        label: the run's name, or the value that the group's runs share.
        metric: its name.
        updates: ascending, (n,).
        mean: over the group's runs that have a value there; of one run its values, (n,).
        low, high: the ends of the spread between the runs' smoothed curves there, (n,) each; `spread` says which.
        num_runs: how many the mean is over, (n,).
        smoothed: mean of the runs' smoothed curves, (n,).
        runs: the group's runs that have the metric.
        ends: the last update and the state, or the reason, of each run that ended before it was done.
        spread: the meaning of low and high in words; empty for a single run.
    """

    label: str
    metric: str
    updates: Floats
    mean: Floats
    low: Floats
    high: Floats
    num_runs: NDArray[np.int64]
    smoothed: Floats
    runs: Sequence[RunRecord] = ()
    ends: Sequence[tuple[float, str]] = field(default_factory=tuple)
    spread: str = ""

    @property
    def is_smoothed(self) -> bool:
        """Whether smoothing has changed anything: not where values lie further apart than its window."""
        return bool(len(self.mean)) and not np.allclose(
            self.mean, self.smoothed, rtol=1e-9, atol=1e-9 * float(np.ptp(self.mean))
        )


def make_curves(runs: Sequence[RunRecord], metric: str, by: str | None, window: int = 1) -> list[MetricCurve]:
    """The curves of a metric: one for each run, or one for each value of a config key.

    A group's mean at an update is over the runs that have recorded the metric before and after it; between two of its
    values a run counts with the straight line between them, since runs may be evaluated at different updates. The mean
    exists where at least half of the group's runs count; `num_runs` says how many do. Where no update has half of
    them, the curve has no points. The spread is from the lowest to the highest run, or between the quartiles if
    every group has `MIN_QUARTILE_RUNS` runs.

    Args:
        runs: those without the metric are left out.
        by: a config key, as `RunRecord.look_up` takes it; None for a curve of each run.
        window: smoothing in updates, of each run before any mean is taken; 1 for none.
    """
    curves = [(run, *read_curve(run, metric)) for run in runs]
    recorded = [
        (run, updates, values, smooth_curve(updates, values, window)) for run, updates, values in curves if len(values)
    ]
    if by is None:
        return [_make_single_curve(metric, *member) for member in recorded]
    groups = group_by_label([run for run, *_ in recorded], by)
    members = [[member for member in recorded if member[0] in in_group] for in_group in map(set, groups.values())]
    has_quartiles = all(len(group) >= MIN_QUARTILE_RUNS for group in members)
    return [_make_mean_curve(label, metric, group, has_quartiles) for label, group in zip(groups, members, strict=True)]


def average_runs(runs: Sequence[RunRecord], metric: str) -> MetricCurve:
    """The mean and spread of all runs that have a metric, at least one, without smoothing."""
    members = [(run, *curve, curve[1]) for run in runs if len((curve := read_curve(run, metric))[1])]
    return _make_mean_curve(metric, metric, members, len(members) >= MIN_QUARTILE_RUNS)


def group_by_label(runs: Sequence[RunRecord], by: str) -> dict[str, list[RunRecord]]:
    """The label of each value of a config key -> the runs that have it, in the order of the values."""
    values: dict[str, Any] = {}
    groups: dict[str, list[RunRecord]] = {}
    run_values = [run.look_up(by) for run in runs]
    for run, value, label in zip(runs, run_values, label_values(run_values), strict=True):
        values.setdefault(label, value)
        groups.setdefault(label, []).append(run)
    return {label: groups[label] for label in sorted(groups, key=lambda label: make_order_key(values[label]))}


def select_choosing(runs: Sequence[RunRecord]) -> list[RunRecord]:
    """The runs on seeds that choose, over which means are taken; all runs where there are none."""
    return [run for run in runs if not run.is_test] or list(runs)


def select_lasting(runs: Sequence[RunRecord], metric: str) -> list[RunRecord]:
    """The runs that last at least as long as the median run with the metric: their mean never changes its members."""
    lengths = {run: updates[-1] for run in runs if len(updates := read_curve(run, metric)[0])}
    if not lengths:
        return []
    end = sorted(lengths.values(), reverse=True)[(len(lengths) + 1) // 2 - 1]
    return [run for run, last in lengths.items() if last >= end]


def _make_single_curve(metric: str, run: RunRecord, updates: Floats, values: Floats, smooth: Floats) -> MetricCurve:
    counts = np.ones(len(updates), dtype=np.int64)
    return MetricCurve(
        run.name, metric, updates, values, smooth, smooth, counts, smooth, (run,), _list_ends([(run, updates)])
    )


def _make_mean_curve(label: str, metric: str, members: Sequence[_Member], quartiles: bool) -> MetricCurve:
    grid = _make_common_grid([member[1] for member in members])
    raw = np.stack([np.interp(grid, member[1], member[2], left=np.nan, right=np.nan) for member in members])
    smooth = np.stack([np.interp(grid, member[1], member[3], left=np.nan, right=np.nan) for member in members])
    counts = np.isfinite(raw).sum(axis=0)
    is_covered = counts >= (len(members) + 1) // 2
    grid, raw, smooth, counts = grid[is_covered], raw[:, is_covered], smooth[:, is_covered], counts[is_covered]
    # Missing runs are sorted to the end, where no quantile of those that are there looks.
    ordered = np.sort(smooth, axis=0)
    low, high = (_interpolate_quantile(ordered, counts, share) for share in ((0.25, 0.75) if quartiles else (0.0, 1.0)))
    return MetricCurve(
        label,
        metric,
        grid,
        np.nansum(raw, axis=0) / counts,
        low,
        high,
        counts,
        np.nansum(smooth, axis=0) / counts,
        [member[0] for member in members],
        _list_ends([(member[0], member[1]) for member in members]),
        "" if len(members) == 1 else "middle half of the runs" if quartiles else "lowest to highest run",
    )


def _make_common_grid(grids: Sequence[Floats]) -> Floats:
    """Every update that any run has; of runs whose updates have little in common those of the longest."""
    longest = max(grids, key=len)
    union: Floats = np.unique(np.concatenate(grids))
    return union if len(union) <= 4 * len(longest) else longest


def _interpolate_quantile(ordered: Floats, counts: NDArray[np.int64], share: float) -> Floats:
    """The quantile of each column's first `counts` rows, between two rows in proportion, (columns,)."""
    place = share * (counts - 1)
    below = np.floor(place).astype(int)
    above = np.minimum(below + 1, counts - 1)
    columns = np.arange(ordered.shape[1])
    low, high = ordered[below, columns], ordered[above, columns]
    quantile: Floats = low + (place - below) * (high - low)
    return quantile


def _list_ends(runs: Sequence[tuple[RunRecord, Floats]]) -> list[tuple[float, str]]:
    ends = {(float(updates[-1]), _describe_end(run)) for run, updates in runs}
    return sorted((update, state) for update, state in ends if state != COMPLETE)


def _describe_end(run: RunRecord) -> str:
    """A run's state, or why it ended early if the record calls it complete all the same (`kl_budget`)."""
    reason = run.summary.get("stop_reason")
    return str(reason) if run.state == COMPLETE and reason else run.state
