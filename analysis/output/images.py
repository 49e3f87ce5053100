"""Charts as files, drawn by matplotlib: the same chart gives the same bytes."""

import logging
import re
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib.figure import Figure

from analysis.output.charts import Cells, Chart, ChartAxis, Intervals, Line, Panel, Points, Surface
from analysis.output.colors import find_hex
from analysis.output.formats import FORMATS
from analysis.output.image_layers import DASHES, MARKERS, choose_face, draw_layer, escape_formulas
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
_MISSING_LETTER = "Glyph .* missing"  # the start of matplotlib's warning
_log = logging.getLogger(__name__)
# Chosen by looking at drawings.
_DOTS = 100  # pixels of the page an inch
_LEGEND_MARK = 6  # letters that the mark beside a name takes
_TICK_LETTER = 8.5  # pixels that a letter below an axis takes, with its share of the room between ticks
_LETTER = 0.0083  # inches that a letter takes, for each point of its size
_TEXT, _TITLE, _NOTE = 9.0, 10.0, 6.5  # points: of the chart's title and note, of a panel's title, of its note
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
    """Write a chart to a file whose ending is one of FORMATS; returns the path."""
    kind = path.suffix[1:]
    with matplotlib.rc_context(_SETTINGS), _note_missing_letters(), open_atomically(path, "wb") as file:
        draw_chart(chart).savefig(file, format=kind, metadata=dict(FORMATS[kind]))
    return path


@contextmanager
def _note_missing_letters() -> Iterator[None]:
    """Say once that letters are missing, instead of matplotlib's warning for each letter, file and place."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("always", _MISSING_LETTER)
        yield
    for warning in caught:
        if re.match(_MISSING_LETTER, str(warning.message)):
            _say_once("figures have boxes in the place of letters that their font lacks; the report shows all letters")
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


@cache
def _say_once(text: str) -> None:
    _log.warning("%s", text)


def draw_chart(chart: Chart) -> Figure:
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
    return [line for part in text.split("\n") for line in textwrap.wrap(escape_formulas(part), letters)]


def _draw_panel(axes: "Axes", panel: Panel, chart: Chart, num_note_lines: int) -> None:
    """The title stands above the longest of all panels' notes, so that all titles are at one height."""
    for order, layer in enumerate(panel.layers):
        draw_layer(axes, layer, order + 1)
    if any(isinstance(layer, Cells | Surface) for layer in panel.layers):
        axes.grid(visible=False)
    _set_axis(axes, panel.x, "x", chart.width)
    _set_axis(axes, panel.y, "y", chart.width)
    if not panel.x.ticks and not panel.x.is_log:
        nbins = min(9, max(3, chart.width // _NUMBER_WIDTH))
        axes.locator_params(axis="x", nbins=nbins, integer=panel.x.is_whole)
    note = "\n".join(_wrap(panel.note, chart.width, _NOTE))
    room = 8.5 * num_note_lines
    axes.set_title("\n".join(_wrap(panel.title, chart.width, _TITLE)), fontsize=_TITLE, pad=6 + room)
    if note:
        place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points"}
        look: dict[str, Any] = {"ha": "center", "va": "top", "fontsize": _NOTE, "color": "#444444"}
        axes.annotate(note, (0.5, 1.0), xytext=(0, 4 + room), **place, **look)


def _set_axis(axes: "Axes", axis: ChartAxis, name: str, width: int) -> None:
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
    getattr(axes, f"set_{name}label")(escape_formulas(axis.label), fontsize=8)
    axes.tick_params(axis=name, labelsize=8)  # type: ignore[arg-type]
    if axis.ticks:
        ticks = _thin_ticks(axis) if name == "x" else list(axis.ticks)
        labels = [escape_formulas(label) for _, label in ticks]
        size = 8.0 if len(ticks) <= _MAX_TICKS else max(8.0 * _MAX_TICKS / len(ticks), _SMALLEST)
        getattr(axes, f"set_{name}ticks")([place for place, _ in ticks], labels, fontsize=size)
        if name == "x" and sum(map(len, labels)) * _TICK_LETTER > width:
            axes.tick_params(axis="x", rotation=90)


def _thin_ticks(axis: ChartAxis) -> list[tuple[float, str]]:
    """Those that are so far from the one before that both can be read; all names of a few."""
    places = [place for place, _ in axis.ticks]
    gap = _LEAST_GAP * (max(places) - min(places))
    thinned: list[tuple[float, str]] = []
    for place, label in sorted(axis.ticks):
        if not thinned or place - thinned[-1][0] >= gap or len(places) <= 1 / _LEAST_GAP:
            thinned.append((place, label))
    return thinned


def _add_scale(figure: Figure, cells: Any, chart: Chart) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm, Normalize

    assert chart.scale is not None
    scale = (LogNorm if chart.scale.is_log else Normalize)(chart.scale.low, chart.scale.high)
    figure.colorbar(
        ScalarMappable(scale, "viridis"), ax=list(cells), label=escape_formulas(chart.scale.label), shrink=0.6, pad=0.01
    )


def _add_legend(figure: Figure, cells: Any, chart: Chart) -> None:
    """In the place of a panel where one is free, else below; none for a single name that nobody asked for."""
    from matplotlib.lines import Line2D

    handles = []
    for name, layer in chart.legend:
        color = find_hex(getattr(layer, "color", 0))
        look: dict[str, Any] = {"color": color, "label": escape_formulas(name)}
        if isinstance(layer, Points):
            look |= {"linestyle": "", "marker": MARKERS[layer.symbol], "markerfacecolor": choose_face(layer)}
        elif isinstance(layer, Line):
            look |= {"linestyle": DASHES[layer.dash], "linewidth": 0.8 * layer.width}
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
        longest = max(len(name) for name, _ in chart.legend) + _LEGEND_MARK
        columns = max(1, int(figure.get_figwidth() / (8 * _LETTER) / longest))
        figure.legend(loc="outside lower center", ncols=min(columns, len(handles)), **options)
