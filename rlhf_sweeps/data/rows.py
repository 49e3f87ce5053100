"""What all readers share: rows with where they are, the columns that they must have, what becomes of bad ones."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.wording import cut

Row = Mapping[str, Any]
# Each with where it is, for example "dataset.path=pairs.csv, line 7".
Rows = Iterator[tuple[str, Row]]
# Config key -> the column that it asks for.
Columns = Mapping[str, str]

LONGEST_NAME = 40


class BadRows:
    """Rows that cannot be used: refused at the first one, or skipped and counted.

    Attributes:
        num_skipped: how many there were so far.
        first: what was wrong with the first of them; empty if there was none.
    """

    def __init__(self, skip: bool) -> None:
        self.num_skipped = 0
        self.first = ""
        self._skip = skip

    def add(self, fault: str) -> None:
        """Count one.

        Raises:
            ConfigError: with the fault, unless bad rows are skipped.
        """
        if not self._skip:
            raise ConfigError(fault)
        self.num_skipped += 1
        self.first = self.first or fault


def missing_column(columns: Columns, names: Iterable[str], where: str) -> str | None:
    """What is wrong with something that has these columns; None if nothing is."""
    names = list(names)
    for key, column in columns.items():
        if column not in names:
            # A CSV without a header has its first row there, which may be long.
            listed = ", ".join(cut(name, LONGEST_NAME) for name in names)
            return f"{key}={column}: {where} has no such column; it has: {listed}"
    return None


def check_columns(columns: Columns, names: Iterable[str], where: str) -> None:
    """Refuse a table that lacks a column or has it twice, which no row of it can make up for.

    Raises:
        ConfigError: naming the key, and the columns that there are.
    """
    names = list(names)
    if fault := missing_column(columns, names, where):
        raise ConfigError(fault)
    for key, column in columns.items():
        if names.count(column) > 1:
            raise ConfigError(f"{key}={column}: {where} must name each column once, has this one twice")
