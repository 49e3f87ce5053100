"""What a report is made of: sections of sentences, tables, figures and folded texts, all plain data."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from analysis.output.terminal import digits_of, interval
from analysis.wording.statements import clipped, number

# Of a text that comes from a record, such as a path in a config, or a response.
_MAX_CELL = 160


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: what is read.
        value: what a column of numbers is sorted by; None: missing, sorted last.
        tone: good, bad, warn, best or nothing.
        path: an SVG path of a small curve, in a box of 80 x 20; then `text` says what it shows.
    """

    text: str
    value: float | None = None
    tone: str = ""
    path: str = ""


@dataclass(frozen=True)
class Column:
    """Of a table; `hint` says more than the label."""

    label: str
    is_number: bool = False
    hint: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of cells, one for each column. A table that `is_filterable` has a box for words, and one for `states`."""

    id: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    is_filterable: bool = False
    states: Sequence[str] = ()
    kind: str = "table"


@dataclass(frozen=True)
class Figure:
    """A plot: Plotly's traces and layout as plain values, and a sentence for those who cannot see it."""

    id: str
    title: str
    data: Sequence[Mapping[str, Any]]
    layout: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    height: int = 380
    kind: str = "figure"


@dataclass(frozen=True)
class Sentences:
    """One sentence a line, under a heading; `tone` as in a cell."""

    lines: Sequence[str]
    title: str = ""
    tone: str = ""
    kind: str = "sentences"


@dataclass(frozen=True)
class Folded:
    """A long text that opens on demand."""

    title: str
    text: str
    kind: str = "folded"


@dataclass(frozen=True)
class Tiles:
    """A few numbers that say it all: (label, number, what it is)."""

    tiles: Sequence[tuple[str, str, str]]
    kind: str = "tiles"


@dataclass(frozen=True)
class Answers:
    """Questions and the sentences that answer them."""

    answers: Sequence[tuple[str, Sequence[str]]]
    kind: str = "answers"


@dataclass(frozen=True)
class Command:
    """What to type, and why."""

    title: str
    text: str
    kind: str = "command"


@dataclass(frozen=True)
class Block:
    """Anything else that the page knows how to show; `kind` names the template's macro."""

    kind: str
    content: Any
    id: str = ""


Part = Table | Figure | Sentences | Folded | Tiles | Answers | Command | Block


@dataclass(frozen=True)
class Section:
    """A tab."""

    id: str
    title: str
    parts: Sequence[Part]


def number_cell(value: Any, tone: str = "") -> Cell:
    """A number, sorted by its value; `-` where there is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        return Cell("-")
    return Cell(number(float(value)), float(value), tone)


def interval_cell(value: float, low: float, high: float) -> Cell:
    """`0.7 [0.6, 0.8]`, sorted by the value; without an interval where there is none."""
    if math.isnan(value):
        return Cell("-")
    digits = digits_of(value, low, high)
    return Cell(f"{number(value, digits)} {interval(low, high, digits)}".rstrip(), value)


def text_cell(value: Any, tone: str = "") -> Cell:
    """A text, cut where it is very long; sorted as a number where it is one."""
    text = "-" if value is None else clipped(str(value), _MAX_CELL)
    try:
        found = float(text)
    except ValueError:
        return Cell(text, None, tone)
    return Cell(text, found if math.isfinite(found) else None, tone)


def setting_cell(text: str | None, label: str | None) -> Cell:
    """A setting under its label, a number sorted by its whole value."""
    cell = text_cell(text)
    return cell if label is None else Cell(clipped(label, _MAX_CELL), cell.value)


def plain_label(text: str) -> str:
    """A record's own words where Plotly reads tags and entities."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
