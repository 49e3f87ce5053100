"""Files of JSON lines: one row for each update, or for each answer."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rlhf_sweeps.platforms import system
from rlhf_sweeps.record.reading import MOST_LINE, Row, open_record, parse_object, raise_passing, read_lines


def format_row(row: Mapping[str, Any]) -> str:
    """A row as a line of a file of JSON lines."""
    return json.dumps(row, ensure_ascii=False) + "\n"


def append_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Add rows to a file of JSON lines; they are on the disk when this returns."""
    with system.patiently(lambda: path.open("a", encoding="utf-8", newline="\n")) as file:
        file.write("".join(format_row(row) for row in rows))
        file.flush()
        os.fsync(file.fileno())


def salvage_rows(path: Path, problems: list[str]) -> list[Row]:
    """The objects of a file of JSON lines; what cannot be read is added to `problems`."""
    rows: list[Row] = []
    bad: list[int] = []
    number, text = 0, b"\n"
    try:
        # Lines end at newlines only: responses may contain other line separators, such as U+2028.
        for number, read in enumerate(read_lines(path), start=1):
            text = read or b"\n"
            row = None if read is None else parse_object(read)
            if row is not None:
                rows.append(row)
            elif read is None or read.strip():
                bad.append(number)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise_passing(error)
        problems.append(f"{path.name}: {error.strerror}")
        return rows
    if bad and bad[-1] == number and not text.endswith(b"\n"):
        problems.append(f"{path.name}: its last line is cut off and left out")
        bad.pop()
    if bad:
        several = f"{len(bad)} lines are" if len(bad) > 1 else "1 line is"
        problems.append(f"{path.name}: {several} damaged and left out (line {', '.join(map(str, bad[:5]))})")
    return rows


class ReadPosition(NamedTuple):
    """How far a growing file has been read.

    Attributes:
        inode: of the file; it changes when the file is replaced.
        position: the byte at which the first line begins that is damaged or incomplete.
        is_damaged: whether that line is damaged.
    """

    inode: int = -1
    position: int = 0
    is_damaged: bool = False


def read_new_rows(path: Path, reached: ReadPosition) -> tuple[list[Row], ReadPosition]:
    """The new rows of a growing file since `reached`, or all rows if the file was replaced.

    Raises:
        OSError: as `open_record`.
    """
    rows: list[Row] = []
    with open_record(path) as file:
        inode = os.fstat(file.fileno()).st_ino
        position = reached.position if inode == reached.inode else 0
        file.seek(position)
        while (text := file.readline(MOST_LINE)).endswith(b"\n"):
            row = parse_object(text)
            if row is None and text.strip():
                return rows, ReadPosition(inode, position, is_damaged=True)
            rows += [] if row is None else [row]
            position += len(text)
    return rows, ReadPosition(inode, position, is_damaged=len(text) >= MOST_LINE)
