"""Parts as text for a terminal, by rich: sentences, tables, tiles. Charts, files and folded texts are left out."""

import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from io import StringIO
from typing import IO, Any

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from analysis.output.parts import Alert, Answers, Cell, Column, Command, Part, Sentences, Table, Tiles
from analysis.wording.short_labels import shorten_apart
from analysis.wording.statements import Statement, format_number
from rlhf_sweeps.wording import WIDTH

_STYLES = {"good": "green", "bad": "red", "warn": "yellow", "best": "bold"}
_INDENT = 2  # spaces; chosen by looking
_LONGEST_CELL = 40  # characters; chosen by looking


def show(parts: Iterable[Part], file: IO[str] | None = None) -> None:
    """Print them, at most as wide as the terminal, or WIDTH where there is none."""
    file = sys.stdout if file is None else file
    console = Console(file=file)
    width = min(console.width, WIDTH) if console.is_terminal else WIDTH
    file.write(text(parts, width, console.is_terminal and not console.no_color))


def text(parts: Iterable[Part], width: int = WIDTH, is_colored: bool = False) -> str:
    """What is printed: a line of its own for each sentence and row, without blanks at the end of lines."""
    buffer = StringIO()
    colors: dict[str, Any] = {"force_terminal": is_colored, "color_system": "standard" if is_colored else None}
    console = Console(file=buffer, width=width, highlight=False, legacy_windows=False, **colors)
    printable: list[Any] = [part for part in parts if type(part) in _SHOWN]
    for place, part in enumerate(printable):
        title: str = getattr(part, "title", "")
        if place and (title or isinstance(part, Table)):
            console.print()
        for item in _SHOWN[type(part)](part, width):
            console.print(item, soft_wrap=isinstance(item, Text))  # which are wrapped already, or to be copied
    return "".join(f"{line.rstrip()}\n" for line in buffer.getvalue().splitlines())


def _lines(lines: Iterable[str], width: int, indent: int = 0, style: str = "") -> Iterator[Text]:
    """Sentences; what goes on is indented by two more than the first line."""
    start = " " * indent
    wrapper = textwrap.TextWrapper(width, start, f"{start}  ", break_on_hyphens=False)
    for line in lines:
        for part in wrapper.wrap(line) or [""]:
            yield Text(part, style, overflow="ignore", no_wrap=True)


def _show_sentences(part: Sentences, width: int) -> Iterator[RenderableType]:
    lines = [line.text if isinstance(line, Statement) else line for line in part.lines]
    if part.title:
        yield from _lines([f"{part.title}:"], width, style="bold")
    yield from _lines(lines, width, _INDENT if part.title else 0, _STYLES.get(part.tone, ""))


def _show_alert(part: Alert, width: int) -> Iterator[RenderableType]:
    yield from _lines([f"{part.title} {part.where}".rstrip()], width, style="bold yellow")
    yield from _lines([*part.lines, f"what helps: {part.advice}"], width, 2 * _INDENT)


def _show_tiles(part: Tiles, width: int) -> Iterator[RenderableType]:
    # `GPU-hours` stays as it is, a word begins lower-case.
    labels = [label if label[1:2].isupper() else label.lower() for label, _, _ in part.tiles]
    values = [f"{value} ({hint})" if hint else value for _, value, hint in part.tiles]
    tiles = list(zip(labels, values, strict=True))
    longest = max((len(label) for label, _ in tiles), default=0)
    yield from _lines((f"{label:{longest}}  {value}" for label, value in tiles), width)


def _show_answers(part: Answers, width: int) -> Iterator[RenderableType]:
    for question, lines in part.answers:
        yield from _lines([question], width, style="bold")
        yield from _lines(lines, width, _INDENT)


def _show_command(part: Command, width: int) -> Iterator[RenderableType]:
    yield from _lines([f"{part.title}:"], width, style="bold")
    yield Text(part.text, overflow="ignore", no_wrap=True)  # to be copied as it is


def _show_table(part: Table, width: int) -> Iterator[RenderableType]:
    """Without columns that are details or empty; its first rows only, where it says how many."""
    yield from _lines([part.caption], width)
    rows = part.rows[: part.most_rows or None]
    places = [place for place, column in enumerate(part.columns) if _is_shown(column, [row[place] for row in rows])]
    table = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for place in places:
        column = part.columns[place]
        table.add_column(Text(column.label), justify="right" if column.is_number else "left", overflow="fold")
    columns = [_cell_texts([row[place] for row in rows]) for place in places]
    for row in zip(*columns, strict=True):
        table.add_row(*row)
    yield Padding(table, (0, 0, 0, _INDENT))
    if more := len(part.rows) - len(rows):
        yield from _lines([f"and {format_number(more)} more{f', in {part.file}' * bool(part.file)}"], width, _INDENT)


def _is_shown(column: Column, cells: Sequence[Cell]) -> bool:
    return not column.is_detail and any(cell.text not in ("", "-") for cell in cells)


def _cell_texts(cells: Sequence[Cell]) -> list[Text]:
    texts = shorten_apart([cell.text for cell in cells], _LONGEST_CELL)
    return [Text(text, _STYLES.get(cell.tone, "")) for text, cell in zip(texts, cells, strict=True)]


_SHOWN: Mapping[type, Callable[[Any, int], Iterator[RenderableType]]] = {
    Sentences: _show_sentences,
    Alert: _show_alert,
    Tiles: _show_tiles,
    Answers: _show_answers,
    Command: _show_command,
    Table: _show_table,
}
