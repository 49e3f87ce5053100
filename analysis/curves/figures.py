"""Training curves drawn: a panel for each metric, smoothed lines over the raw values."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.curves.curves import Curve
from analysis.curves.metrics import title_of
from analysis.curves.panels import Choice, Panel
from analysis.curves.sentences import Described
from analysis.output.colors import COLORS
from analysis.output.images import new_figure, save_figure
from analysis.records.runs import CUMULATIVE_REWARD, DIVERGED, FAILED, PRUNED, STOPPED, UNFINISHED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_PANELS = 24  # of one figure
_ENDS = {DIVERGED: "X", FAILED: "x", PRUNED: "v", STOPPED: "s", UNFINISHED: "o"}
_MAX_ENDS = 12  # marks on a line; more would hide it
_GREY = "#999999"
_FAR = 50.0  # how far above its middle a panel's top is when it gets a logarithmic scale


def save_figures(
    title: str,
    found: Sequence[Panel],
    choice: Choice,
    described: Mapping[str, Described] | None,
    out: Path,
    formats: Sequence[str],
) -> list[Path]:
    """Write curves.png and the like, as many as all panels take; returns their paths. See `draw`."""
    paths = []
    for start in range(0, len(found), MAX_PANELS):
        figure = draw(title, found[start : start + MAX_PANELS], choice, described)
        stem = f"curves_{start // MAX_PANELS + 1}" if start else "curves"
        paths += [save_figure(figure, out / f"{stem}.{kind}") for kind in formats]
    return paths


def draw(
    title: str, found: Sequence[Panel], choice: Choice, described: Mapping[str, Described] | None = None
) -> "Figure":
    """A figure of at most `MAX_PANELS` panels.

    Args:
        title: above all.
        found: the panels, in their order.
        choice: the lines and what they are called.
        described: metric -> what is said of it, written into the panels; for figures with one line.
    """
    columns = min(3, len(found)) if len(found) != 4 else 2
    rows = -(-len(found) // columns)
    figure = new_figure(4.3 * columns + (2.0 if columns == 1 else 0.0), 3.1 * rows + 0.9)
    cells = figure.subplots(rows, columns, squeeze=False).ravel()
    colors = _colors(choice)
    told = {metric: _wrapped(one) for metric, one in (described or {}).items()}
    # Room for the longest of the sentences, so that all titles stand at one height.
    room = 7 + 8.5 * max((len(told.get(panel.metric, ())) for panel in found), default=0)
    for cell, panel in zip(cells, found, strict=False):
        _draw_panel(cell, panel, colors, choice.unit)
        if described:
            cell.set_title(cell.get_title(), fontsize=10, pad=room)
        if described and panel.metric in described:
            _draw_phases(cell, described[panel.metric], told[panel.metric], room - 3)
    for cell in cells[len(found) :]:
        cell.axis("off")
    plain_title = title.replace("$", r"\$")
    figure.suptitle(f"{plain_title}\n{_notes(found, choice, bool(described))}", fontsize=9)
    _add_legend(figure, cells, found, choice, colors)
    return figure


def _colors(choice: Choice) -> dict[str, tuple[Any, Any]]:
    """Line -> its colour and line style."""
    styles = {name: (COLORS[i % len(COLORS)], ("-", "-.")[i // len(COLORS) % 2]) for i, name in enumerate(choice.names)}
    if choice.scale:
        mappable = _color_scale(choice)
        styles |= {name: (mappable.to_rgba(value), "-") for name, value in choice.scale.items()}
    return styles


def _color_scale(choice: Choice) -> Any:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm, Normalize

    low, high = min(choice.scale.values()), max(choice.scale.values())
    is_wide = low > 0 and high / low > 20
    return ScalarMappable((LogNorm if is_wide else Normalize)(low, high), "viridis")


def _draw_panel(axes: "Axes", panel: Panel, colors: Mapping[str, tuple[Any, Any]], unit: str) -> None:
    for curve in panel.others:
        axes.plot(curve.updates, curve.smoothed, color=_GREY, linewidth=0.7, alpha=0.5, zorder=1)
        _draw_ends(axes, curve, _GREY)
    for curve in panel.curves:
        _draw_curve(axes, curve, *colors[curve.label])
    axes.set_title(title_of(panel.metric), fontsize=10)
    axes.set_xlabel(unit, fontsize=8)
    axes.tick_params(labelsize=8)
    if title_of(panel.metric) != panel.metric:
        axes.set_ylabel(panel.metric, fontsize=7, color="#666666")
    values = np.concatenate([curve.mean for curve in (*panel.curves, *panel.others)])
    if len(values) and values.min() > 0 and values.max() > _FAR * np.median(values):
        axes.set_yscale("log")
        axes.set_title(f"{title_of(panel.metric)} (logarithmic)", fontsize=10)


def _draw_curve(axes: "Axes", curve: Curve, color: Any, style: str) -> None:
    """The raw values faintly, the smoothed ones over them, dashed where not all of the group's runs are left."""
    is_sparse = len(curve.updates) < 2 or np.median(np.diff(curve.updates)) > _step(curve)
    marker = "." if is_sparse and len(curve.updates) <= 60 else None
    if curve.spread:
        axes.fill_between(curve.updates, curve.low, curve.high, color=color, alpha=0.15, linewidth=0, zorder=2)
    if curve.is_smoothed:
        axes.plot(curve.updates, curve.mean, color=color, linewidth=0.8, alpha=0.3, zorder=3)
    whole = curve.num_runs == len(curve.runs)
    # The part where runs are missing starts at the last update that all have, so that no gap shows.
    partial = ~whole
    partial[:-1] |= partial[1:]
    partial[1:] |= ~whole[:-1]
    for part, look in ((whole, style), (partial, ":")):
        if part.any():
            line = np.where(part, curve.smoothed, np.nan)
            axes.plot(curve.updates, line, color=color, linewidth=1.7, linestyle=look, marker=marker, zorder=4)
    _draw_ends(axes, curve, color)


def _step(curve: Curve) -> float:
    """How far rows of its runs are apart, 1 at least: values further apart, as of evaluations, get a mark each."""
    steps = [float(np.median(np.diff(run.updates))) for run in curve.runs if len(run.updates) > 1]
    return max(1.0, *steps) if steps else 1.0


def _draw_ends(axes: "Axes", curve: Curve, color: Any) -> None:
    """Where runs ended that did not complete, on the line; an end beyond the line's last point stands at that."""
    if len(curve.ends) > _MAX_ENDS:
        return
    for update, state in curve.ends:
        if len(curve.updates) and update >= curve.updates[0]:
            at = min(update, float(curve.updates[-1]))
            value = float(np.interp(at, curve.updates, curve.smoothed))
            face = "white" if state == UNFINISHED else color
            edge = {"markeredgecolor": color, "markerfacecolor": face}
            axes.plot([at], [value], linestyle="", marker=_ENDS.get(state, "d"), markersize=5.5, zorder=5, **edge)


def _wrapped(described: Described) -> list[str]:
    """The sentence about a panel's curve in lines that fit over it."""
    sentence = described.statements[0].text.replace("$", r"\$") if described.statements else ""
    return textwrap.wrap(sentence, 74)


def _draw_phases(axes: "Axes", described: Described, lines: Sequence[str], height: float) -> None:
    """The sentence under the title, and a dotted line where each phase but the first begins."""
    look: dict[str, Any] = {"ha": "center", "va": "top", "fontsize": 6.5, "color": "#444444"}
    at: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points"}
    axes.annotate("\n".join(lines), (0.5, 1.0), xytext=(0, height), **at, **look)
    for phase in described.phases[1:]:
        axes.axvspan(*phase.begins, color=_GREY, alpha=0.15, linewidth=0, zorder=0)
        axes.axvline(phase.start, color="#555555", linewidth=0.9, linestyle=":", zorder=1)


def _notes(found: Sequence[Panel], choice: Choice, has_phases: bool) -> str:
    curves = [curve for panel in found for curve in panel.curves]
    windows = sorted({panel.window for panel in found if panel.window > 1})
    parts = []
    if windows:
        over = str(windows[0]) if len(windows) == 1 else f"{windows[0]} to {windows[-1]}"
        sums = " (a running sum is not)" if any(panel.metric == CUMULATIVE_REWARD for panel in found) else ""
        parts.append(f"smoothed over {over} {choice.unit}s{sums}{', raw values faint behind' if curves else ''}")
    else:
        parts.append("not smoothed")
    spreads = sorted({curve.spread for curve in curves if curve.spread})
    if spreads:
        parts.append(f"line: mean of a group's runs; band: {' / '.join(spreads)}")
    if any((curve.num_runs < len(curve.runs)).any() for curve in curves):
        parts.append("dotted line: mean of those runs that are left, at least half of the group")
    if any(len(curve.ends) > _MAX_ENDS for curve in curves):
        parts.append(f"ends of runs are not marked where a line has more than {_MAX_ENDS}")
    if has_phases:
        parts.append("dotted vertical: a phase begins; grey: where it may begin")
    return "\n".join(textwrap.wrap("; ".join([*parts, *choice.notes]), 150))


def _add_legend(
    figure: "Figure", cells: Any, found: Sequence[Panel], choice: Choice, colors: Mapping[str, tuple[Any, Any]]
) -> None:
    from matplotlib.lines import Line2D

    if choice.scale:
        figure.colorbar(_color_scale(choice), ax=list(cells), label=choice.by, shrink=0.6, pad=0.01)
    there = {curve.label for panel in found for curve in panel.curves}
    handles = [
        Line2D(
            [],
            [],
            color=colors[name][0],
            linestyle=colors[name][1],
            linewidth=1.7,
            label=_with_count(name, label, choice),
        )
        for name, label in choice.names.items()
        if name in there
    ]
    handles += [Line2D([], [], color=_GREY, linewidth=0.7, label="others")] if choice.others else []
    drawn = [curve for panel in found for curve in (*panel.curves, *panel.others) if len(curve.ends) <= _MAX_ENDS]
    states = {state for curve in drawn for _, state in curve.ends}
    look: dict[str, Any] = {"linestyle": "", "markeredgecolor": "#444444"}
    for state in [*(state for state in _ENDS if state in states), *sorted(states - set(_ENDS))]:
        face = "white" if state == UNFINISHED else "#444444"
        handles.append(
            Line2D([], [], marker=_ENDS.get(state, "d"), markerfacecolor=face, label=f"{state}: ends here", **look)
        )
    if not handles or (len(handles) == 1 and choice.by is None and len(choice.runs) == 1):
        return
    options: dict[str, Any] = {"frameon": False, "fontsize": 8, "title": choice.by if choice.names else None}
    options["title_fontsize"] = 8
    if len(cells) > len(found):
        cells[len(found)].legend(handles=handles, loc="upper left", **options)
    else:
        figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)), **options)


def _with_count(name: str, label: str, choice: Choice) -> str:
    count = len(choice.runs[name])
    return label if choice.by is None else f"{label} ({count} run{'s' if count > 1 else ''})"
