"""The table of trials that is drawn again and again while they run: by the sweep itself, and by those who watch it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from rlhf_sweeps.record.trials import COMPLETE, FAILED, PRUNED, RUNNING, STOPPED, UNFINISHED, WAITING

_STYLES = {
    RUNNING: "",
    WAITING: "cyan",
    COMPLETE: "green",
    PRUNED: "dim",
    STOPPED: "yellow",
    FAILED: "red",
    UNFINISHED: "yellow",
}
_NARROWEST = 5  # characters that a setting's column may be cut to
_GAP = 2
# What is left out first where there is no room.
_DISPENSABLE = ("s/update", "objective", "trend", "left", "KL")


@dataclass(frozen=True)
class Column:
    """A column of texts; settings are cut where there is no room, what else there is stays whole or is left out."""

    name: str
    cells: Sequence[str]
    is_left: bool = False
    is_setting: bool = False

    @property
    def width(self) -> int:
        """In characters of a terminal."""
        return max(map(cell_len, [self.name, *self.cells]))


def setting_columns(rows: Sequence[Mapping[str, str]]) -> Iterator[Column]:
    """A column for each key that any row has.

    Args:
        rows: key -> text as it is shown.
    """
    keys = list(dict.fromkeys(key for row in rows for key in row))
    for key, name in zip(keys, short_names(keys), strict=True):
        yield Column(name, [row.get(key, "") for row in rows], is_left=True, is_setting=True)


def short_names(keys: Sequence[str]) -> list[str]:
    """The last part of each key; the whole key where two share it."""
    last = [key.lstrip("+").rpartition(".")[2] for key in keys]
    return [name if last.count(name) == 1 else key for name, key in zip(last, keys, strict=True)]


def state_text(state: str, cause: str | None) -> str:
    """`failed (diverged)`."""
    return f"{state} ({cause})" if cause else state


def style_of(state: str, is_best: bool) -> str:
    """How a trial's row is drawn."""
    return f"{_STYLES[state]} {'bold' if is_best else ''}".strip()


def draw_table(columns: Sequence[Column], styles: Sequence[str], width: int, is_ascii: bool = False) -> Table:
    """The columns that there is room for.

    Args:
        styles: of the rows.
        width: in characters.
        is_ascii: whether the terminal knows no other characters.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    cut: Literal["crop", "ellipsis"] = "crop" if is_ascii else "ellipsis"
    fitting = _fitting(columns, width)
    for column in fitting:
        table.add_column(
            Text(column.name, no_wrap=True, overflow=cut),
            justify="left" if column.is_left else "right",
            # Those that may wrap are the ones that rich makes narrower.
            no_wrap=not column.is_setting,
            overflow=cut,
        )
    for index, style in enumerate(styles):
        # As Text, so that [1,2] in a setting is not taken for markup.
        table.add_row(*(Text(column.cells[index], no_wrap=True, overflow=cut) for column in fitting), style=style)
    return table


def _fitting(columns: Sequence[Column], width: int) -> list[Column]:
    """Leave out what can be spared, then write all settings into one column."""

    def measure_width(row: Sequence[Column]) -> int:
        widths = [min(cell.width, _NARROWEST) if cell.is_setting else cell.width for cell in row]
        return sum(widths) + _GAP * (len(row) - 1)

    settings, chosen = [column for column in columns if column.is_setting], list(columns)
    for name in ("", *_DISPENSABLE):
        chosen = [column for column in chosen if column.name != name]
        if measure_width(chosen) <= width:
            return chosen
    texts = [
        " ".join(f"{column.name}={cell}" for column, cell in zip(settings, cells, strict=True) if cell)
        for cells in zip(*(column.cells for column in settings), strict=True)
    ]
    merged = [Column("settings", texts, is_left=True, is_setting=True)] if settings else []
    return [chosen[0], *merged, *(column for column in chosen[1:] if not column.is_setting)]
