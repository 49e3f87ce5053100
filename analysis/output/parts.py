"""What views are made of, as plain data: sentences, tables, charts, files. Each renderer shows those that it can."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from analysis.output.charts import Chart
from analysis.wording.intervals import format_estimate
from analysis.wording.statements import Statement
from rlhf_sweeps.figures import format_number


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: what is read, whole; renderers shorten a column's texts so that those that differ still do.
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
    """Of a table; `hint` says more than the label.

    The terminal leaves out a column that `is_detail`. The page shows the texts of a column that `is_whole` whole.
    """

    label: str
    is_number: bool = False
    hint: str = ""
    is_detail: bool = False
    is_whole: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of cells, one for each column.

    Attributes:
        id: in the page; letters, digits and dashes, unique there.
        caption: above it.
        is_filterable: whether the page has a box for words, and one for `states`.
        is_folded: whether the page shows it on demand, such as the numbers of a chart beside it.
        most_rows: how many the terminal prints; 0: all.
        file: the file that has all of them, for a reader of the terminal.
    """

    id: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    is_filterable: bool = False
    states: Sequence[str] = ()
    is_folded: bool = False
    most_rows: int = 0
    file: str = ""
    kind: str = field(default="table", init=False)


@dataclass(frozen=True)
class Sentences:
    """One sentence a line, with the numbers behind it if it is a Statement, under a heading.

    Attributes:
        tone: as in a cell.
        is_ordered: whether the lines are numbered, the most important one first.
    """

    lines: Sequence[str | Statement]
    title: str = ""
    tone: str = ""
    is_ordered: bool = False
    kind: str = field(default="sentences", init=False)


@dataclass(frozen=True)
class Alert:
    """Something that is wrong: a title, where it is, sentences, the numbers behind them, and what helps."""

    title: str
    where: str
    lines: Sequence[str]
    evidence: Mapping[str, float]
    advice: str
    kind: str = field(default="alert", init=False)


@dataclass(frozen=True)
class Folded:
    """A long text that opens on demand; the terminal leaves it out."""

    title: str
    text: str
    kind: str = field(default="folded", init=False)


@dataclass(frozen=True)
class Tiles:
    """A few numbers that say it all: (label, number, what it is)."""

    tiles: Sequence[tuple[str, str, str]]
    kind: str = field(default="tiles", init=False)


@dataclass(frozen=True)
class Answers:
    """Questions and the sentences that answer them."""

    answers: Sequence[tuple[str, Sequence[str]]]
    kind: str = field(default="answers", init=False)


@dataclass(frozen=True)
class Command:
    """What to type, and why."""

    title: str
    text: str
    kind: str = field(default="command", init=False)


@dataclass(frozen=True)
class Block:
    """What only the page can show; `kind` names the template's macro."""

    kind: str
    content: Any
    id: str = ""


@dataclass(frozen=True)
class Rows:
    """A CSV file: names of columns, and rows of raw values; None and nan are empty cells."""

    file: str
    columns: Sequence[str]
    rows: Iterable[Sequence[Any]]
    kind: str = field(default="rows", init=False)


@dataclass(frozen=True)
class Document:
    """A JSON file of plain values; numbers that are not finite become null."""

    file: str
    content: Mapping[str, Any]
    kind: str = field(default="document", init=False)


Part = Table | Chart | Sentences | Alert | Folded | Tiles | Answers | Command | Block | Rows | Document


@dataclass(frozen=True)
class Section:
    """A tab of the page."""

    id: str
    title: str
    parts: Sequence[Part]


def make_number_cell(value: Any, tone: str = "") -> Cell:
    """A number, sorted by its value; `-` where there is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        return Cell("-")
    return Cell(format_number(float(value)), float(value), tone)


def count_cell(value: float) -> Cell:
    """A whole number, with separators where it is long; any other number as in `make_number_cell`."""
    return Cell(f"{value:,.0f}", value) if value >= 1000 else make_number_cell(value)


def make_interval_cell(value: float, low: float, high: float, is_rate: bool = False) -> Cell:
    """`0.7 [0.6, 0.8]`, a rate as `70 % [60, 80]`, sorted by the value; without an interval where there is none."""
    return Cell("-") if math.isnan(value) else Cell(format_estimate(value, low, high, is_rate), value)


def make_text_cell(value: Any, tone: str = "") -> Cell:
    """A text; sorted as a number where it is one."""
    text = "-" if value is None else str(value)
    try:
        place = float(text)
    except ValueError:
        return Cell(text, None, tone)
    return Cell(text, place if math.isfinite(place) else None, tone)


def make_setting_cell(text: str | None, label: str | None) -> Cell:
    """A setting under its label, a number sorted by its whole value."""
    cell = make_text_cell(text)
    return cell if label is None else Cell(label, cell.value)
