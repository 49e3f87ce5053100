"""The live table of trials, which the sweep draws in its terminal and `python -m analysis watch` in another one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from rlhf_sweeps.record.quantities import KL_NOW, OBJECTIVE
from rlhf_sweeps.record.trials import BEYOND, COMPLETE, FAILED, PRUNED, RUNNING, STOPPED, UNFINISHED, WAITING

_STYLES = {
    RUNNING: "",
    WAITING: "cyan",
    COMPLETE: "green",
    PRUNED: "dim",
    STOPPED: "yellow",
    FAILED: "red",
    UNFINISHED: "yellow",
}
_NARROWEST = 5  # characters; the columns of settings are not cut further; chosen
_GAP = 2  # characters between two columns; chosen
# The columns that are left out if the terminal is too narrow, in this order.
_DISPENSABLE = ("s/update", "trend", "left", KL_NOW, OBJECTIVE)


@dataclass(frozen=True)
class TrialColumn:
    """A column of texts. In a narrow terminal, a setting's column is cut; any other one stays whole or is left out."""

    name: str
    cells: Sequence[str]
    is_left: bool = False
    is_setting: bool = False

    @property
    def width(self) -> int:
        """The width in characters of a terminal."""
        return max(map(cell_len, [self.name, *self.cells]))


def make_setting_columns(rows: Sequence[Mapping[str, str]]) -> Iterator[TrialColumn]:
    """One column for each key that any row has.

    Args:
        rows: key -> text of the cell.
    """
    keys = list(dict.fromkeys(key for row in rows for key in row))
    for key, name in zip(keys, shorten_names(keys), strict=True):
        yield TrialColumn(name, [row.get(key, "") for row in rows], is_left=True, is_setting=True)


def shorten_names(keys: Sequence[str]) -> list[str]:
    """The last part of each key; the whole key if two keys have the same last part."""
    last = [key.lstrip("+").rpartition(".")[2] for key in keys]
    return [name if last.count(name) == 1 else key for name, key in zip(last, keys, strict=True)]


def format_state(state: str, cause: str | None) -> str:
    """`failed (diverged)`, `complete (beyond the KL budget)`."""
    return f"{state} ({cause})" if cause else state


def choose_style(state: str, is_best: bool, cause: str | None = None) -> str:
    """The style of a trial's row; one beyond its KL budget is not green."""
    color = "yellow" if cause == BEYOND else _STYLES[state]
    return f"{color} {'bold' if is_best else ''}".strip()


def draw_table(columns: Sequence[TrialColumn], styles: Sequence[str], width: int, is_ascii: bool = False) -> Table:
    """A table of the columns that fit into the terminal.

    Args:
        styles: one for each row.
        width: of the terminal, in characters.
        is_ascii: whether the terminal shows ASCII characters only.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    cut: Literal["crop", "ellipsis"] = "crop" if is_ascii else "ellipsis"
    fitting = _fit_columns(columns, width)
    for column in fitting:
        table.add_column(
            Text(column.name, no_wrap=True, overflow=cut),
            justify="left" if column.is_left else "right",
            # rich narrows only columns that may wrap.
            no_wrap=not column.is_setting,
            overflow=cut,
        )
    for index, style in enumerate(styles):
        # rich would read [1,2] in a plain string as markup.
        table.add_row(*(Text(column.cells[index], no_wrap=True, overflow=cut) for column in fitting), style=style)
    return table


def _fit_columns(columns: Sequence[TrialColumn], width: int) -> list[TrialColumn]:
    """The columns that fit: first the dispensable ones are left out, then all settings are merged into one column."""

    def measure_width(row: Sequence[TrialColumn]) -> int:
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
    merged = [TrialColumn("settings", texts, is_left=True, is_setting=True)] if settings else []
    return [chosen[0], *merged, *(column for column in chosen[1:] if not column.is_setting)]
