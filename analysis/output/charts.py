"""Charts as plain data: panels of layers on two axes. `images` draws them as files, `plotly_figures` for the page.

A view makes a chart once; each renderer takes it from here. Texts are as they come from a record: renderers escape.
Colours are places in `colors.COLORS`, or `#rrggbb`; sizes and heights are pixels of the page, of which a file has a
hundred an inch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Numbers = Sequence[float] | Any  # a list or a numpy array, (n,)
Color = int | str
GREY = "#888888"


@dataclass(frozen=True)
class ChartAxis:
    """One axis of a panel.

    Attributes:
        label: below it, or beside it.
        is_log: whether its scale is logarithmic.
        ticks: places with names; empty: numbers that the renderer chooses.
        low, high: its ends; None: what the layers take.
        is_reversed: whether it starts at the top, as the rows of a table do.
        is_hidden: whether only its layers are drawn.
        is_whole: whether its numbers are whole, such as updates, so that a file has no ticks between them.
    """

    label: str = ""
    is_log: bool = False
    ticks: Sequence[tuple[float, str]] = ()
    low: float | None = None
    high: float | None = None
    is_reversed: bool = False
    is_hidden: bool = False
    is_whole: bool = False


@dataclass(frozen=True)
class Points:
    """Marks.

    Attributes:
        x, y: (n,) each.
        name: in the legend; empty: not there.
        symbol: circle, hollow, diamond, square, cross, thick cross, star, triangle (which points down) or tick
            (upright).
        hover: what the page says at each point; empty: its numbers.
        labels: what is written above each point.
    """

    x: Numbers
    y: Numbers
    name: str = ""
    color: Color = 0
    symbol: str = "circle"
    size: float = 7
    opacity: float = 1.0
    hover: Sequence[str] = ()
    labels: Sequence[str] = ()


@dataclass(frozen=True)
class Line:
    """A line through points; nan interrupts it.

    Attributes:
        x, y: (n,) each.
        name: in the legend; empty: not there.
        dash: solid, dash, dot or dashdot.
        is_step: whether it stays level up to the next point.
        has_dots: whether points are marked.
        hover: what the page says at each point; empty: its numbers, or nothing where the line has no name.
    """

    x: Numbers
    y: Numbers
    name: str = ""
    color: Color = 0
    width: float = 2
    dash: str = "solid"
    opacity: float = 1.0
    is_step: bool = False
    has_dots: bool = False
    hover: Sequence[str] = ()


@dataclass(frozen=True)
class Band:
    """The area between two lines over the same x, (n,) each; nan interrupts it."""

    x: Numbers
    low: Numbers
    high: Numbers
    name: str = ""
    color: Color = 0
    opacity: float = 0.18


@dataclass(frozen=True)
class Intervals:
    """A line from `low` to `high` for each place: along x if `is_horizontal`, else along y; (n,) each."""

    places: Numbers
    low: Numbers
    high: Numbers
    name: str = ""
    color: Color = 0
    width: float = 2
    opacity: float = 1.0
    is_horizontal: bool = True
    has_caps: bool = False


@dataclass(frozen=True)
class Bars:
    """Horizontal bars.

    Attributes:
        places: where on y, (n,).
        starts, ends: from where to where on x, (n,) each.
        height: of a bar, in units of y.
        hover: what the page says at each bar.
    """

    places: Numbers
    starts: Numbers
    ends: Numbers
    name: str = ""
    color: Color = 0
    height: float = 0.8
    hover: Sequence[str] = ()


@dataclass(frozen=True)
class Cells:
    """A heat map.

    Attributes:
        values: (rows, columns), nan where there is none; row 0 stands at y 0, column 0 at x 0.
        texts: what is written into each, (rows, columns).
        framed: (row, column) of those with a frame.
        low, high: the values of the first and the last colour.
        label: of the colours.
        hover: what the page says at each, (rows, columns).
    """

    values: Sequence[Sequence[float]] | Any
    texts: Sequence[Sequence[str]]
    framed: Sequence[tuple[int, int]] = ()
    low: float = 0.0
    high: float = 1.0
    label: str = ""
    hover: Sequence[Sequence[str]] = ()


@dataclass(frozen=True)
class Surface:
    """A function of x and y by colour: `values` is (len(y), len(x)); `is_reversed`: the lowest is the brightest."""

    x: Numbers
    y: Numbers
    values: Sequence[Sequence[float]] | Any
    label: str = ""
    is_reversed: bool = False


@dataclass(frozen=True)
class Span:
    """The ground between two places of x."""

    low: float
    high: float
    name: str = ""
    color: Color = GREY
    opacity: float = 0.15


@dataclass(frozen=True)
class Rule:
    """A thin line across the panel, upright at an x or level at a y."""

    place: float
    is_upright: bool = True
    dash: str = "solid"
    color: Color = GREY


@dataclass(frozen=True)
class Texts:
    """Words in the panel, each with its middle at a point; where `x` is empty, in the middle of the width.

    Attributes:
        is_start: whether a text starts at its point instead.
    """

    y: Numbers
    texts: Sequence[str]
    x: Numbers = ()
    color: Color = GREY
    is_start: bool = False


Layer = Points | Line | Band | Intervals | Bars | Cells | Surface | Span | Rule | Texts


@dataclass(frozen=True)
class Panel:
    """Two axes with layers, the first one lowest.

    Attributes:
        title, note: a line, and smaller lines, above it.
    """

    x: ChartAxis
    y: ChartAxis
    layers: Sequence[Layer]
    title: str = ""
    note: str = ""


@dataclass(frozen=True)
class ColorScale:
    """What colours between viridis' ends stand for, where lines have a colour by a number."""

    label: str
    low: float
    high: float
    is_log: bool = False


@dataclass(frozen=True)
class Chart:
    """A figure: one panel, or several side by side that share a legend.

    Attributes:
        id: in the page; letters, digits and dashes, unique there.
        title: above it.
        note: a sentence for those who cannot see it; may be empty.
        columns: how many panels stand side by side where there is room.
        width, height: of a panel, in pixels.
        file: the stem of the files that it is written to; empty: of the page alone.
        scale: of the lines' colours; None: they have names.
        in_legend: named layers that stand for the panels' in the legend, in its order; empty: the panels' own.
    """

    id: str
    title: str
    panels: Sequence[Panel]
    note: str = ""
    columns: int = 1
    width: int = 700
    height: int = 380
    file: str = ""
    scale: ColorScale | None = None
    in_legend: Sequence[Layer] = ()
    kind: str = field(default="chart", init=False)

    @property
    def legend(self) -> list[tuple[str, Layer]]:
        """Every name once, with the first layer that has it."""
        named: dict[str, Layer] = {}
        for layer in self.in_legend or [layer for panel in self.panels for layer in panel.layers]:
            if name := getattr(layer, "name", ""):
                named.setdefault(name, layer)
        return list(named.items())
