"""Parts as text for a terminal, by rich: sentences, tables, tiles. Charts, files and folded texts are left out."""

import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from io import StringIO
from typing import IO, Any, Literal

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from analysis.output.parts import Alert, Answers, Cell, Column, Command, Part, Sentences, Table, Tiles
from analysis.wording.short_labels import shorten_apart
from analysis.wording.statements import Statement, capitalize, join_words
from rlhf_sweeps.figures import format_number
from rlhf_sweeps.process.printed_commands import adapt_commands
from rlhf_sweeps.wording import WIDTH, drop_controls

_STYLES = {"good": "green", "bad": "red", "warn": "yellow", "best": "bold"}
_INDENT = 2  # spaces, also the gap between two columns; chosen by looking
_LONGEST_CELL = 40  # characters; chosen by looking
_LONGEST_WORD = 16  # characters that are never folded; chosen by looking


def print_parts(parts: Iterable[Part], file: IO[str] | None = None) -> None:
    """Print them, at most as wide as the terminal, or WIDTH where there is none."""
    file = sys.stdout if file is None else file
    console = Console(file=file)
    width = min(console.width, WIDTH) if console.is_terminal else WIDTH
    file.write(render_text(parts, width, console.is_terminal and not console.no_color))


def render_text(parts: Iterable[Part], width: int = WIDTH, is_colored: bool = False) -> str:
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


def _wrap_lines(lines: Iterable[str], width: int, indent: int = 0, style: str = "") -> Iterator[Text]:
    """Sentences; what goes on is indented by two more than the first line."""
    start = " " * indent
    wrapper = textwrap.TextWrapper(width, start, f"{start}  ", break_on_hyphens=False)
    for line in lines:
        for part in wrapper.wrap(adapt_commands(drop_controls(line))) or [""]:
            yield Text(part, style, overflow="ignore", no_wrap=True)


def _heading(text: str, width: int, style: str = "bold") -> Iterator[Text]:
    return _wrap_lines([capitalize(text)], width, style=style)


def _show_sentences(part: Sentences, width: int) -> Iterator[RenderableType]:
    lines = [line.text if isinstance(line, Statement) else line for line in part.lines]
    if part.is_ordered:
        lines = [f"{place}. {line}" for place, line in enumerate(lines, start=1)]
    if part.title:
        yield from _heading(part.title, width)
    yield from _wrap_lines(lines, width, _INDENT if part.title else 0, _STYLES.get(part.tone, ""))


def _show_alert(part: Alert, width: int) -> Iterator[RenderableType]:
    yield from _heading(f"{part.title} {part.where}".rstrip(), width, "bold yellow")
    yield from _wrap_lines([*part.lines, f"what helps: {part.advice}"], width, 2 * _INDENT)


def _show_tiles(part: Tiles, width: int) -> Iterator[RenderableType]:
    # `GPU-hours` stays as it is, a word begins lower-case.
    labels = [label if label[1:2].isupper() else label.lower() for label, _, _ in part.tiles]
    values = [f"{value} ({hint})" if hint else value for _, value, hint in part.tiles]
    tiles = list(zip(labels, values, strict=True))
    longest = max((len(label) for label, _ in tiles), default=0)
    yield from _wrap_lines((f"{label:{longest}}  {value}" for label, value in tiles), width)


def _show_answers(part: Answers, width: int) -> Iterator[RenderableType]:
    for question, lines in part.answers:
        yield from _heading(question, width)
        yield from _wrap_lines(lines, width, _INDENT)


def _show_command(part: Command, width: int) -> Iterator[RenderableType]:
    yield from _heading(part.title, width)
    yield Text(adapt_commands(drop_controls(part.text)), overflow="ignore", no_wrap=True)  # to be copied as it is


def _show_table(part: Table, width: int) -> Iterator[RenderableType]:
    """Without columns that are details or empty; its first rows only, where it says how many.

    Where the terminal is too narrow, labels wrap; if that is not enough, the last columns are left out.
    """
    yield from _heading(part.caption, width)
    rows = part.rows[: part.most_rows or None]
    places = [place for place, column in enumerate(part.columns) if _is_shown(column, [row[place] for row in rows])]
    texts = [_style_cells([row[place] for row in rows]) for place in places]
    widths = _fit_columns([part.columns[place] for place in places], texts, width)
    table = RichTable(box=None, padding=(0, 0, 0, _INDENT), header_style="bold")
    for place, num_letters in zip(places, widths, strict=False):
        column = part.columns[place]
        justify: Literal["left", "right"] = "right" if column.is_number else "left"
        table.add_column(_plain(column.label), width=num_letters, justify=justify, overflow="fold")
    for row in zip(*texts[: len(widths)], strict=True):
        table.add_row(*row)
    yield table
    if more := len(part.rows) - len(rows):
        yield from _wrap_lines(
            [f"and {format_number(more)} more{f', in {part.file}' * bool(part.file)}"], width, _INDENT
        )
    if left_out := [part.columns[place].label for place in places[len(widths) :]]:
        elsewhere = f"; {part.file} has them" * bool(part.file)
        yield from _wrap_lines([f"there is no room for {join_words(left_out)}{elsewhere}"], width, _INDENT)


def _is_shown(column: Column, cells: Sequence[Cell]) -> bool:
    return not column.is_detail and any(cell.text not in ("", "-") for cell in cells)


def _style_cells(cells: Sequence[Cell]) -> list[Text]:
    texts = shorten_apart([cell.text for cell in cells], _LONGEST_CELL)
    return [_plain(text, _STYLES.get(cell.tone, "")) for text, cell in zip(texts, cells, strict=True)]


def _plain(text: str, style: str = "") -> Text:
    return Text(drop_controls(text), style)


def _fit_columns(columns: Sequence[Column], texts: Sequence[Sequence[Text]], width: int) -> list[int]:
    """The widths of the columns that fit, in characters: the widest ones become narrower, numbers never."""
    widths, leasts = [], []
    for column, cells in zip(columns, texts, strict=True):
        whole = max(text.cell_len for text in cells)
        words = [*column.label.split(), *(word for text in cells for word in text.plain.split())]
        word = min(max(map(cell_len, words)), _LONGEST_WORD)
        widths.append(max(whole, cell_len(column.label)))
        leasts.append(max(whole, word) if column.is_number else word)
    while sum(leasts) + _INDENT * len(leasts) > width and len(leasts) > 1:
        widths.pop()
        leasts.pop()
    while sum(widths) + _INDENT * len(widths) > width:
        widest = max(range(len(widths)), key=lambda place: (widths[place] - leasts[place], place))
        if widths[widest] <= leasts[widest]:
            break
        widths[widest] -= 1
    return [min(num_letters, max(1, width - _INDENT)) for num_letters in widths]


_SHOWN: Mapping[type, Callable[[Any, int], Iterator[RenderableType]]] = {
    Sentences: _show_sentences,
    Alert: _show_alert,
    Tiles: _show_tiles,
    Answers: _show_answers,
    Command: _show_command,
    Table: _show_table,
}
