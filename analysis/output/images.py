"""Charts as PNG, SVG or PDF files, drawn by matplotlib: the same chart gives the same bytes."""

import textwrap
from collections.abc import Callable, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from analysis.output.charts import (
    Axis,
    Band,
    Bars,
    Cells,
    Chart,
    Intervals,
    Line,
    Panel,
    Points,
    Rule,
    Span,
    Surface,
    Texts,
)
from analysis.output.colors import DIVERGING, hex_of
from rlhf_sweeps.record import open_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SETTINGS: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": "medium",
    "figure.dpi": 150,
    "font.size": 9,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "rlhf_sweeps",  # else the names of clip paths are random
}
# Without the date and version that would make the bytes differ.
_METADATA: Mapping[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
_DOTS = 100  # pixels of the page an inch
_DASHES = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-."}
_MARKERS = {
    "circle": "o",
    "hollow": "o",
    "diamond": "D",
    "square": "s",
    "cross": "x",
    "thick cross": "X",
    "star": "*",
    "triangle": "v",
    "tick": "|",
}
_LETTER = 0.0083  # inches that a letter takes, for each point of its size
_TEXT, _TITLE, _NOTE = 9.0, 10.0, 6.5  # points: of the chart's title and note, of a panel's title, of its note
_MAX_TICK_LETTERS = 40  # side by side below an axis
_NUMBER_WIDTH = 70  # pixels that a number takes below an axis
_MAX_TICKS = 24  # at the usual size
_SMALLEST = 3.5  # points of a tick's letters
_LEAST_GAP = 0.04  # of an axis, between ticks that stand upright


class _Figure(Figure):
    def add_subplot(self, *arguments: Any, **options: Any) -> Any:
        """Axes take their settings when they are made."""
        with matplotlib.rc_context(_SETTINGS):
            return super().add_subplot(*arguments, **options)


def save_chart(chart: Chart, path: Path) -> Path:
    """Write a chart to a .png, .svg or .pdf; returns the path."""
    kind = path.suffix[1:]
    with matplotlib.rc_context(_SETTINGS), open_atomically(path, "wb") as file:
        draw(chart).savefig(file, format=kind, metadata=_METADATA[kind])
    return path


def draw(chart: Chart) -> Figure:
    """The chart as a figure of matplotlib, drawn without a display; pyplot's global state is left alone."""
    columns = min(chart.columns, len(chart.panels))
    rows = -(-len(chart.panels) // columns)
    num_note_lines = max(len(_wrap(panel.note, chart.width, _NOTE)) for panel in chart.panels)
    width, height = columns * chart.width / _DOTS, rows * (chart.height / _DOTS + 0.12 * num_note_lines) + 0.7
    with matplotlib.rc_context(_SETTINGS):
        figure = _Figure(figsize=(width, height), layout="constrained")
        cells = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, panel in zip_longest(cells, chart.panels):
        if panel is None:
            axes.axis("off")
        else:
            _draw_panel(axes, panel, chart, num_note_lines)
    lines = [line for text in (chart.title, chart.note) for line in _wrap(text, columns * chart.width, _TEXT)]
    figure.suptitle("\n".join(lines), fontsize=_TEXT)
    if chart.scale is not None:
        _add_scale(figure, cells, chart)
    _add_legend(figure, cells, chart)
    return figure


def _wrap(text: str, width: int, size: float) -> list[str]:
    """Lines that fit a width in pixels, of letters of a size in points."""
    letters = max(20, int(width / _DOTS / _LETTER / size))
    return [line for part in text.split("\n") for line in textwrap.wrap(_escape(part), letters)]


def _escape(text: str) -> str:
    """A text in which `$` begins no formula."""
    return text.replace("$", r"\$")


def _draw_panel(axes: "Axes", panel: Panel, chart: Chart, num_note_lines: int) -> None:
    """The title stands above the longest of all panels' notes, so that all titles are at one height."""
    for order, layer in enumerate(panel.layers):
        _DRAWN[type(layer)](axes, layer, order + 1)
    if any(isinstance(layer, Cells | Surface) for layer in panel.layers):
        axes.grid(visible=False)
    _set_axis(axes, panel.x, "x")
    _set_axis(axes, panel.y, "y")
    if not panel.x.ticks and not panel.x.is_log:
        axes.locator_params(axis="x", nbins=min(9, max(3, chart.width // _NUMBER_WIDTH)))
    note = "\n".join(_wrap(panel.note, chart.width, _NOTE))
    room = 8.5 * num_note_lines
    axes.set_title("\n".join(_wrap(panel.title, chart.width, _TITLE)), fontsize=_TITLE, pad=6 + room)
    if note:
        place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points"}
        look: dict[str, Any] = {"ha": "center", "va": "top", "fontsize": _NOTE, "color": "#444444"}
        axes.annotate(note, (0.5, 1.0), xytext=(0, 4 + room), **place, **look)


def _set_axis(axes: "Axes", axis: Axis, name: str) -> None:
    """The label, scale, ends and ticks; ticks that would be printed over each other are thinned or turned."""
    if axis.is_hidden:
        getattr(axes, f"{name}axis").set_visible(False)
        axes.spines["bottom" if name == "x" else "left"].set_visible(False)
    if axis.is_log:
        getattr(axes, f"set_{name}scale")("log")
    if axis.low is not None or axis.high is not None:
        getattr(axes, f"set_{name}lim")(axis.low, axis.high)
    if axis.is_reversed:
        getattr(axes, f"invert_{name}axis")()
    getattr(axes, f"set_{name}label")(_escape(axis.label), fontsize=8)
    axes.tick_params(axis=name, labelsize=8)  # type: ignore[arg-type]
    if axis.ticks:
        ticks = _thin_ticks(axis) if name == "x" else list(axis.ticks)
        labels = [_escape(label) for _, label in ticks]
        size = 8.0 if len(ticks) <= _MAX_TICKS else max(8.0 * _MAX_TICKS / len(ticks), _SMALLEST)
        getattr(axes, f"set_{name}ticks")([place for place, _ in ticks], labels, fontsize=size)
        if name == "x" and sum(map(len, labels)) > _MAX_TICK_LETTERS:
            axes.tick_params(axis="x", rotation=90)


def _thin_ticks(axis: Axis) -> list[tuple[float, str]]:
    """Those that are so far from the one before that both can be read; all names of a few."""
    places = [place for place, _ in axis.ticks]
    gap = _LEAST_GAP * (max(places) - min(places))
    thinned: list[tuple[float, str]] = []
    for place, label in sorted(axis.ticks):
        if not thinned or place - thinned[-1][0] >= gap or len(places) <= 1 / _LEAST_GAP:
            thinned.append((place, label))
    return thinned


def _draw_points(axes: "Axes", layer: Points, order: int) -> None:
    color = hex_of(layer.color)
    look: dict[str, Any] = {"linestyle": "", "marker": _MARKERS[layer.symbol], "markersize": 0.65 * layer.size}
    axes.plot(layer.x, layer.y, color=color, markerfacecolor=_face(layer), alpha=layer.opacity, zorder=order, **look)
    for x, y, text in zip(layer.x, layer.y, layer.labels, strict=False):
        axes.annotate(_escape(text), (x, y), xytext=(0, 4), textcoords="offset points", ha="center", fontsize=7)


def _face(layer: Points) -> str:
    """The colour inside a mark."""
    return "white" if layer.symbol == "hollow" else hex_of(layer.color)


def _draw_line(axes: "Axes", layer: Line, order: int) -> None:
    look: dict[str, Any] = {"linestyle": _DASHES[layer.dash], "linewidth": 0.8 * layer.width, "alpha": layer.opacity}
    look |= {"drawstyle": "steps-post" if layer.is_step else "default", "marker": "." if layer.has_dots else None}
    axes.plot(layer.x, layer.y, color=hex_of(layer.color), zorder=order, **look)


def _draw_band(axes: "Axes", layer: Band, order: int) -> None:
    look: dict[str, Any] = {"alpha": layer.opacity, "linewidth": 0, "zorder": order}
    axes.fill_between(layer.x, layer.low, layer.high, color=hex_of(layer.color), **look)


def _draw_intervals(axes: "Axes", layer: Intervals, order: int) -> None:
    draw_lines = axes.hlines if layer.is_horizontal else axes.vlines
    look: dict[str, Any] = {"linewidth": 0.8 * layer.width, "alpha": layer.opacity, "zorder": order}
    draw_lines(layer.places, layer.low, layer.high, color=hex_of(layer.color), **look)
    if layer.has_caps:
        ends = np.concatenate([np.asarray(layer.low, dtype=float), np.asarray(layer.high, dtype=float)])
        places = np.concatenate([np.asarray(layer.places, dtype=float)] * 2)
        both, marker = ((ends, places), "|") if layer.is_horizontal else ((places, ends), "_")
        axes.plot(*both, linestyle="", marker=marker, color=hex_of(layer.color), markersize=4, zorder=order)


def _draw_bars(axes: "Axes", layer: Bars, order: int) -> None:
    starts = np.asarray(layer.starts, dtype=float)
    widths = np.asarray(layer.ends, dtype=float) - starts
    axes.barh(layer.places, widths, layer.height, left=starts, color=hex_of(layer.color), zorder=order)


def _draw_cells(axes: "Axes", layer: Cells, order: int) -> None:
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.patches import Rectangle

    colors = LinearSegmentedColormap.from_list("diverging", DIVERGING)
    values = np.asarray(layer.values, dtype=float)
    image = axes.imshow(
        values, vmin=layer.low, vmax=layer.high, cmap=colors, aspect="auto", origin="lower", zorder=order
    )
    span = layer.high - layer.low
    for (row, column), value in np.ndenumerate(values):
        is_dark = abs((value - layer.low) / span - 0.5) > 0.33
        look: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 8, "zorder": order + 1}
        axes.text(column, row, _escape(layer.texts[row][column]), color="white" if is_dark else "black", **look)
    for row, column in layer.framed:
        box = (column - 0.47, row - 0.47)
        axes.add_patch(Rectangle(box, 0.94, 0.94, fill=False, edgecolor="black", linewidth=1.6, zorder=order + 1))
    axes.figure.colorbar(image, ax=axes, label=_escape(layer.label))


def _draw_surface(axes: "Axes", layer: Surface, order: int) -> None:
    colors = "viridis_r" if layer.is_reversed else "viridis"
    image = axes.contourf(layer.x, layer.y, np.asarray(layer.values, dtype=float), 15, cmap=colors, zorder=order)
    axes.figure.colorbar(image, ax=axes, label=_escape(layer.label))


def _draw_span(axes: "Axes", layer: Span, order: int) -> None:
    axes.axvspan(layer.low, layer.high, color=hex_of(layer.color), alpha=layer.opacity, linewidth=0, zorder=order)


def _draw_rule(axes: "Axes", layer: Rule, order: int) -> None:
    draw_line = axes.axvline if layer.is_upright else axes.axhline
    draw_line(layer.place, color=hex_of(layer.color), linewidth=0.8, linestyle=_DASHES[layer.dash], zorder=order)


def _draw_texts(axes: "Axes", layer: Texts, order: int) -> None:
    is_centred = not len(layer.x)
    places = [0.5] * len(layer.texts) if is_centred else layer.x
    transform = axes.get_yaxis_transform() if is_centred else axes.transData
    look: dict[str, Any] = {"ha": "center", "va": "center", "color": hex_of(layer.color), "fontsize": 8}
    for x, y, text in zip(places, layer.y, layer.texts, strict=True):
        axes.text(x, y, _escape(text), transform=transform, zorder=order, **look)


_DRAWN: Mapping[type, Callable[[Any, Any, int], None]] = {
    Points: _draw_points,
    Line: _draw_line,
    Band: _draw_band,
    Intervals: _draw_intervals,
    Bars: _draw_bars,
    Cells: _draw_cells,
    Surface: _draw_surface,
    Span: _draw_span,
    Rule: _draw_rule,
    Texts: _draw_texts,
}


def _add_scale(figure: Figure, cells: Any, chart: Chart) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm, Normalize

    assert chart.scale is not None
    scale = (LogNorm if chart.scale.is_log else Normalize)(chart.scale.low, chart.scale.high)
    figure.colorbar(
        ScalarMappable(scale, "viridis"), ax=list(cells), label=_escape(chart.scale.label), shrink=0.6, pad=0.01
    )


def _add_legend(figure: Figure, cells: Any, chart: Chart) -> None:
    """In the place of a panel where one is free, else below; none for a single name that nobody asked for."""
    from matplotlib.lines import Line2D

    handles = []
    for name, layer in chart.legend:
        color = hex_of(getattr(layer, "color", 0))
        look: dict[str, Any] = {"color": color, "label": _escape(name)}
        if isinstance(layer, Points):
            look |= {"linestyle": "", "marker": _MARKERS[layer.symbol], "markerfacecolor": _face(layer)}
        elif isinstance(layer, Line):
            look |= {"linestyle": _DASHES[layer.dash], "linewidth": 0.8 * layer.width}
        elif isinstance(layer, Intervals):
            look |= {"linewidth": 0.8 * layer.width, "alpha": layer.opacity}
        else:
            look |= {"linewidth": 6, "alpha": max(0.4, getattr(layer, "opacity", 1.0))}
        handles.append(Line2D([], [], **look))
    if len(handles) < (1 if chart.in_legend else 2):
        return
    options: dict[str, Any] = {"handles": handles, "fontsize": 8, "frameon": False}
    if len(cells) > len(chart.panels):
        cells[len(chart.panels)].legend(loc="upper left", **options)
    else:
        figure.legend(loc="outside lower center", ncols=min(4, len(handles)), **options)


# OLD: of figures that are no charts yet.
def new_figure(width: float, height: float) -> Figure:
    with matplotlib.rc_context(_SETTINGS):
        return _Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Figure, path: Path) -> Path:
    from analysis.output.places import make_folder

    make_folder(path.parent)
    kind = path.suffix[1:]
    with matplotlib.rc_context(_SETTINGS), open_atomically(path, "wb") as file:
        figure.savefig(file, format=kind, metadata=_METADATA[kind])
    return path
