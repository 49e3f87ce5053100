"""Static figures of a sweep: its history, importance, slices with the fitted surface, Pareto front."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from analysis.output.colors import COLORS
from analysis.output.images import new_figure, save_figure
from analysis.sweep.analysis import SweepAnalysis, ViewAnalysis
from analysis.sweep.axes import tell_choices, tell_values
from analysis.sweep.importance import Importance
from analysis.sweep.optimum import Profile
from analysis.sweep.slices import Slice
from analysis.wording.short_labels import shorten_apart
from rlhf_sweeps.record import Axis

_MAX_AXES = 9
_MAX_LABELS = 12
_MAX_NAMES = 24  # of choices below an axis, at the usual size
_SMALLEST = 3.5  # points of a letter
_MAX_LETTERS = 40  # side by side
_LEAST_GAP = 0.04  # of an axis, between ticks that stand upright
_FORMATS = (".png", ".svg")


def write_pictures(found: SweepAnalysis, out: Path) -> list[Path]:
    """Write those figures there is something to show in, as PNG and SVG; returns their paths."""
    figures: dict[str, Any] = {}
    suffixes = _file_names([one.view.label for one in found.views])
    for one, suffix in zip(found.views, suffixes, strict=True):
        if one.view.settings:
            figures[f"sweep_history{suffix}"] = history_figure(one)
        for index, result in enumerate(one.importances):
            number = f"_{index + 1}" if index else ""
            if any(key.is_clear for key in result.keys):
                figures[f"sweep_importance{suffix}{number}"] = importance_figure(result)
            if one.slices[index] and one.view.settings:
                figures[f"sweep_slices{suffix}{number}"] = slices_figure(one, index)
    return [save_figure(figure, out / f"{name}{ending}") for name, figure in figures.items() for ending in _FORMATS]


def history_figure(one: ViewAnalysis) -> Any:
    """Each complete setting's objectives against its first trial's number, and the best so far."""
    view = one.view
    numbers = np.array([setting.numbers[0] for setting in view.settings])
    is_allowed = np.array([setting.is_feasible for setting in view.settings])
    num = len(view.directions)
    figure = new_figure(7, 2.4 * num + 0.4)
    for index, (metric, direction) in enumerate(zip(view.metrics, view.directions, strict=False)):
        axes = figure.add_subplot(num, 1, index + 1)
        values = np.array([float(setting.objectives[index]) for setting in view.settings])
        axes.plot(numbers, values, "o", color=COLORS[0], markersize=4, alpha=0.7, label="complete setting")
        best = np.fmax.accumulate if direction == "maximize" else np.fmin.accumulate
        if view.is_single:
            so_far = best(np.where(is_allowed, values, np.nan))
            axes.step(numbers, so_far, where="post", color=COLORS[1], label="best so far")
        pruned = [setting for setting in view.pruned if view.is_single]
        axes.plot(
            [setting.numbers[0] for setting in pruned],
            [float(setting.objectives[0]) for setting in pruned],
            "x",
            color=COLORS[3],
            markersize=5,
            label="pruned trial, had it gone on (a guess)" if pruned else None,
        )
        axes.set_ylabel(metric)
        axes.legend(loc="best", fontsize=7)
    figure.axes[-1].set_xlabel("trial")
    figure.suptitle(_titled("objective by trial", view.label))
    return figure


def importance_figure(result: Importance) -> Any:
    """Shares by both methods with their ranges over resampled settings."""
    keys = list(result.keys)[:_MAX_LABELS]
    figure = new_figure(7, 0.9 + 0.5 * len(keys))
    axes = figure.add_subplot()
    places = np.arange(len(keys))[::-1]
    for offset, name, color in ((0.18, "fANOVA", COLORS[0]), (-0.18, "PED-ANOVA", COLORS[1])):
        shares = [key.fanova if name == "fANOVA" else key.ped_anova for key in keys]
        there = [(place, share) for place, share in zip(places, shares, strict=True) if share is not None]
        if there:
            values = np.array([100 * share.value for _, share in there])
            ranges = np.array([[100 * (s.value - s.low), 100 * (s.high - s.value)] for _, s in there]).T
            rows = np.array([place for place, _ in there]) + offset
            error = {"elinewidth": 1, "ecolor": "#444444", "capsize": 2}
            axes.barh(rows, values, 0.34, xerr=np.clip(ranges, 0, None), color=color, label=name, error_kw=error)
    labels = [key.key if key.is_clear else f"{key.key} (within chance)" for key in keys]
    axes.set_yticks(places, labels)
    axes.set_xlim(0, 100)
    axes.set_xlabel("share of importance, %; lines: range over resampled settings")
    axes.set_title(f"importance for {result.metric}, {result.num_settings} settings")
    axes.legend(loc="lower right")
    return figure


def slices_figure(one: ViewAnalysis, objective: int) -> Any:
    """The objective against each key: settings, bin means with intervals, and the fitted surface through the best."""
    cuts = list(one.slices[objective])[:_MAX_AXES]
    columns = min(3, len(cuts))
    rows = math.ceil(len(cuts) / columns)
    figure = new_figure(3.4 * columns + 0.6, 2.8 * rows + 0.9)
    profiles = {profile.axis.key: profile for profile in one.optimum.profiles} if one.optimum and not objective else {}
    for index, cut in enumerate(cuts):
        axes = figure.add_subplot(rows, columns, index + 1)
        if cut.axis.key in profiles:
            _draw_profile(axes, profiles[cut.axis.key])
        _draw_slice(axes, cut)
        if one.view.is_single:
            _draw_pruned(axes, one, cut)
        axes.set_ylabel(one.view.metrics[objective] if index % columns == 0 else "")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=7)
    _limit(figure, one, objective)
    figure.suptitle(_titled("objective against each key", one.view.label))
    return figure


def _draw_profile(axes: Any, profile: Profile) -> None:
    if profile.axis.is_numeric and profile.axis.is_interval:
        places = profile.positions
        axes.fill_between(places, profile.low, profile.high, color=COLORS[2], alpha=0.2, linewidth=0)
        axes.plot(places, profile.mean, color=COLORS[2], label="fit through the best, with 90 % band")
        likely = profile.likely
        if len(likely):
            axes.axvspan(float(likely[0]), float(likely[-1]), color=COLORS[4], alpha=0.15, linewidth=0)
            axes.plot([], [], color=COLORS[4], alpha=0.4, linewidth=6, label="within noise of the best")
        return
    choices = np.array(_ticks(profile.axis))
    error = np.clip([profile.mean - profile.low, profile.high - profile.mean], 0, None)
    shift = 0.03 * (float(np.ptp(choices)) or 1.0)
    axes.errorbar(choices + shift, profile.mean, error, fmt="D", color=COLORS[2], markersize=3, capsize=2)


def _draw_slice(axes: Any, cut: Slice) -> None:
    axes.plot(cut.positions, cut.values, "o", color=COLORS[0], markersize=3, alpha=0.5, label="setting")
    for index, part in enumerate(cut.bins if len(cut.bins) > 1 else []):
        label = "mean of a bin, with 95 % interval" if not index else None
        color = COLORS[1]
        axes.plot([part.low, part.high], [part.mean, part.mean], "-", color=color, linewidth=1.5, label=label)
        if part.num > 1:
            middle = (part.low + part.high) / 2
            margins = [[part.mean - part.mean_low], [part.mean_high - part.mean]]
            axes.errorbar([middle], [part.mean], margins, fmt="_", color=color, capsize=2, linewidth=1)
    _label_axis(axes, cut.axis)


def _label_axis(axes: Any, axis: Axis) -> None:
    """Ticks that can be told apart, and are: every name has one, and of numbers those that leave room for others."""
    if axis.is_interval:
        places: Sequence[float] = [0.0, 0.25, 0.5, 0.75, 1.0]
        labels = tell_values(axis, places)
    else:
        places, labels = _ticks(axis), shorten_apart(tell_choices(axis), 14)
        if axis.is_numeric:
            kept = _apart(places)
            places, labels = [places[i] for i in kept], [labels[i] for i in kept]
    size = 7.0 if len(labels) <= _MAX_NAMES else max(7.0 * _MAX_NAMES / len(labels), _SMALLEST)
    axes.set_xticks(places, labels, fontsize=size)
    if sum(map(len, labels)) > _MAX_LETTERS:
        axes.tick_params(axis="x", rotation=90)
    axes.set_xlabel(f"{axis.key}{' (log)' if axis.is_log else ''}")


def _apart(places: Sequence[float]) -> list[int]:
    """Which ascending places are so far from the one before that their labels are not printed over each other."""
    kept: list[int] = []
    for index, place in enumerate(places):
        if not kept or place - places[kept[-1]] >= _LEAST_GAP:
            kept.append(index)
    return kept


def _draw_pruned(axes: Any, one: ViewAnalysis, cut: Slice) -> None:
    places = [cut.axis.position(setting.values.get(cut.axis.key)) for setting in one.view.pruned]
    values = [float(setting.objectives[0]) for setting in one.view.pruned]
    if values:
        axes.plot(
            places, values, "x", color=COLORS[3], markersize=3, alpha=0.7, label="pruned, had it gone on (a guess)"
        )


def _limit(figure: Any, one: ViewAnalysis, objective: int) -> None:
    """All slices on the scale of what was measured; bands and intervals may go beyond it."""
    values = np.array([setting.objectives[objective] for setting in one.view.settings])
    margin = 0.15 * float(np.ptp(values)) or 0.5 * abs(float(values[0])) or 1.0
    for axes in figure.axes:
        axes.set_ylim(values.min() - margin, values.max() + margin)


def _ticks(axis: Any) -> list[float]:
    return [axis.position(text) for text in axis.choices]


def _titled(text: str, label: str) -> str:
    return f"{text} (reward model {label})" if label else text


def _file_names(labels: Sequence[str]) -> list[str]:
    """The ends of their figures' names; different labels have different ones."""
    short = ["".join(char if char.isalnum() or char in "-_" else "-" for char in label)[-40:] for label in labels]
    return [
        f"_{name}{f'-{index}' if short.count(name) > 1 else ''}" if name else "" for index, name in enumerate(short)
    ]
