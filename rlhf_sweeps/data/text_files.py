"""Rows of text files: JSON lines, a JSON array, CSV. UTF-8, with or without a byte order mark."""

import codecs
import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.data.constants import LONGEST_CELL
from rlhf_sweeps.data.rows import BadRows, Columns, Rows, check_columns, find_missing_column

_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}  # other programs use these instead of commas


def read_json_lines(file: Path, given: str, columns: Columns, bad_rows: BadRows) -> Rows:
    """One JSON object per line; empty lines are skipped, and a fault affects its own line only."""
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            where = f"{given}, line {number}"
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            if not line.strip():
                continue
            try:
                row = json.loads(line.decode().strip())
            except UnicodeDecodeError as error:
                bad_rows.add(f"{where}: not UTF-8 ({error.reason} at byte {error.start})")
            except json.JSONDecodeError as error:
                bad_rows.add(f"{where}: not a JSON object ({error.msg} at character {error.colno})")
            except (ValueError, RecursionError) as error:  # an integer of 5,000 digits is a plain ValueError
                bad_rows.add(f"{where}: not a JSON object ({error})")
            else:
                yield from _check_row(row, where, columns, bad_rows)


def read_json(file: Path, given: str, columns: Columns, bad_rows: BadRows) -> Rows:
    """A JSON array of objects, or one object per line.

    Raises:
        ConfigError: if an array cannot be parsed.
    """
    content = file.read_bytes().removeprefix(codecs.BOM_UTF8)
    if not content.lstrip().startswith(b"["):
        yield from read_json_lines(file, given, columns, bad_rows)
        return
    try:
        rows = json.loads(content.decode())
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{given}, line {line}: not UTF-8 ({error.reason})") from error
    except json.JSONDecodeError as error:
        raise ConfigError(f"{given}, line {error.lineno}: not a JSON array ({error})") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{given}: not a JSON array ({error})") from error
    for number, row in enumerate(rows, start=1):
        yield from _check_row(row, f"{given}, row {number}", columns, bad_rows)


def _check_row(row: Any, where: str, columns: Columns, bad_rows: BadRows) -> Rows:
    if not isinstance(row, dict):
        bad_rows.add(f"{where}: must be a JSON object, is a {type(row).__name__}")
    elif fault := find_missing_column(columns, row, where):
        bad_rows.add(fault)
    else:
        yield where, row


def read_csv(file: Path, given: str, columns: Columns, bad_rows: BadRows) -> Rows:
    """Comma-separated rows under a header.

    Raises:
        ConfigError: if the header does not name the columns, or a quote is never closed: the number of rows inside of
            it is unknown.
    """
    csv.field_size_limit(LONGEST_CELL)
    # Bytes that are not UTF-8 become surrogates, so that they are a fault of their row and not of the file.
    with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
        records = _read_records(text, given, bad_rows)
        where, header = next(records, (given, None))
        if header is None:
            return
        _check_header(header, where, columns)
        for where, cells in records:
            if len(cells) != len(header):
                bad_rows.add(f"{where}: has {len(cells)} fields, the header has {len(header)}")
                continue
            yield where, dict(zip(header, cells, strict=True))


def _check_header(header: list[str], where: str, columns: Columns) -> None:
    if len(header) == 1 and header[0] not in columns.values():
        for separator, name in _SEPARATORS.items():
            if separator in header[0]:
                raise ConfigError(f"{where}: must be separated by commas, is separated by {name}")
    names = [name for name in header if name.strip()]  # pandas writes its index under an empty name
    if not names:
        raise ConfigError(f"{where}: must be a header that names the columns, is empty")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"{where}: must name each column once, has {', '.join(twice)} twice")
    check_columns(columns, names, where)


def _read_records(text: Iterator[str], given: str, bad_rows: BadRows) -> Iterator[tuple[str, list[str]]]:
    """The readable records, each with the line on which it begins."""
    reader = csv.reader(text, strict=True)
    is_header = True
    while True:
        where = f"{given}, line {reader.line_num + 1}"
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            fault = f"{where}: not a CSV row ({error})"
            if is_header or "end of data" in str(error):
                raise ConfigError(fault) from error
            bad_rows.add(fault)
            continue
        if not cells:
            continue
        try:
            "".join(cells).encode()
        except UnicodeEncodeError as error:
            if is_header:
                raise ConfigError(f"{where}: not UTF-8") from error
            bad_rows.add(f"{where}: not UTF-8")
            continue
        is_header = False
        yield where, cells
