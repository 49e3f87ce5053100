"""What all readers share: rows with their places, the required columns, and the treatment of bad rows."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.data.constants import LONGEST_QUOTE
from rlhf_sweeps.wording import cut, suggest

Row = Mapping[str, Any]
# Rows with their places, for example "dataset.path=pairs.csv, line 7".
Rows = Iterator[tuple[str, Row]]
# Config key -> the column that it names.
Columns = Mapping[str, str]


class BadRows:
    """Unusable rows: the first one raises an error, or all are skipped and counted.

    Attributes:
        num_skipped: the number of skipped rows so far.
        first: the fault of the first skipped row; empty if there is none.
    """

    def __init__(self, skip: bool) -> None:
        self.num_skipped = 0
        self.first = ""
        self._skip = skip

    def add(self, fault: str) -> None:
        """Count a bad row.

        Raises:
            ConfigError: with the fault, unless bad rows are skipped.
        """
        if not self._skip:
            raise ConfigError(fault)
        self.num_skipped += 1
        self.first = self.first or fault


def find_missing_column(columns: Columns, names: Iterable[str], where: str) -> str | None:
    """One line if a required column is not among these names; None if all are."""
    names = list(names)
    for key, column in columns.items():
        if column not in names:
            # In a CSV file without a header, the names are the cells of the first row, which may be long.
            listed = ", ".join(cut(name, LONGEST_QUOTE) for name in names)
            return f"{key}={column}: {where} has no such column; it has: {listed}{suggest(column, names)}"
    return None


def check_columns(columns: Columns, names: Iterable[str], where: str) -> None:
    """Refuse a table that lacks a required column, or has it twice.

    Raises:
        ConfigError: naming the key, and the columns of the table.
    """
    names = list(names)
    if fault := find_missing_column(columns, names, where):
        raise ConfigError(fault)
    for key, column in columns.items():
        if names.count(column) > 1:
            raise ConfigError(f"{key}={column}: {where} must name each column once, has this one twice")
