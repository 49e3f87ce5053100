"""Reads a table's file, whatever its separator and encoding, with decimal commas, per cent and missing values."""

import codecs
import csv
import json
import re
from pathlib import Path
from typing import Any

from analysis.reading.column_names import is_count, is_name, is_seed
from analysis.reading.columns import read_numbers
from analysis.wording.errors import AnalysisError
from rlhf_sweeps.record import MOST_FILE, open_record, read_bytes, salvage_rows

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_QUOTED = re.compile('"[^"]*"')


def read_frame(path: Path, problems: list[str]) -> tuple[Any, bool]:
    """The table as a pandas frame, and whether it is the log of one of Hugging Face's trainers.

    A column of numbers becomes numeric in whichever way they are written.

    Columns without a name, which hold the rows' numbers, and columns of lists and objects are left out, and so are
    rows without any value.

    Args:
        problems: gets what could not be read, in sentences: cells that are no numbers, damaged lines.

    Raises:
        AnalysisError: if it cannot be read, or holds no row.
    """
    import pandas as pd

    suffix, is_log_history = path.suffix.lower(), False
    try:
        open_record(path).close()
        if suffix == ".parquet":
            separator, frame = "", pd.read_parquet(path)
        elif suffix in (".json", ".jsonl"):
            separator, (frame, is_log_history) = "", _read_json_frame(path, problems)
        else:
            separator, frame = _read_text_frame(path)
    except Exception as error:
        raise AnalysisError(f"{path}: cannot be read as a table ({' '.join(str(error).split())[:200]})") from error
    frame.columns = [str(column).strip() for column in frame.columns]
    if frame.columns.duplicated().any():
        raise AnalysisError(f"{path}: two columns are called {frame.columns[frame.columns.duplicated()][0]}")
    frame = frame.dropna(how="all")
    if not len(frame):
        raise AnalysisError(f"{path}: holds no row")
    named = [name for name in frame.columns if name and not name.startswith("Unnamed: ")]
    frame = frame[[name for name in named if is_number(frame[name]) or not _holds_lists(frame[name])]].copy()
    keys = [_list_cells(frame[name]) for name in frame.columns if is_name(name) or is_seed(name)]
    unread = [name for name in frame.columns if not is_name(name) and (is_count(name) or not is_number(frame[name]))]
    rows = list(zip(*keys, strict=True)) or [()] * len(frame)
    cells = {name: _list_cells(frame[name]) for name in unread}
    for name, values in read_numbers(cells, separator, rows, problems).items():
        frame[name] = values
    return frame.dropna(how="all"), is_log_history


def is_number(column: Any) -> bool:
    """Whether a frame's column holds numbers."""
    import pandas as pd

    return bool(pd.api.types.is_numeric_dtype(column))


def _list_cells(column: Any) -> list[Any]:
    """With None for nan and the like."""
    cells: list[Any] = column.astype(object).where(column.notna(), None).tolist()
    return cells


def _holds_lists(column: Any) -> bool:
    return bool(column.map(lambda value: hasattr(value, "__len__") and not isinstance(value, str)).any())


def _read_json_frame(path: Path, problems: list[str]) -> tuple[Any, bool]:
    """From an object on each line, a list of objects, or the `log_history` of TRL's trainer_state.json: which it is."""
    import pandas as pd

    if path.suffix.lower() == ".jsonl":
        rows: Any = salvage_rows(path, problems)
        if not rows and problems:
            raise ValueError(problems[0])
        return pd.DataFrame(rows, dtype=object), False
    content = json.loads(read_bytes(path, MOST_FILE).decode("utf-8-sig"))
    rows = content.get("log_history") if isinstance(content, dict) else content
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("must be a list of objects, or an object with such a list as log_history")
    return pd.DataFrame(rows, dtype=object), isinstance(content, dict)


def _read_text_frame(path: Path) -> tuple[str, Any]:
    """The separator, and every cell as text, nan where it is empty: the name of a run may be NA or None."""
    import pandas as pd

    encoding = _detect_encoding(path)
    with path.open(encoding=encoding) as file:
        header = _QUOTED.sub("", file.readline())
    separator = max("\t,;" if path.suffix.lower() == ".tsv" else ",;\t", key=header.count)
    options: dict[str, Any] = {"sep": separator, "encoding": encoding, "skipinitialspace": True, "index_col": False}
    options |= {"keep_default_na": False, "na_values": [""]}
    columns = list(pd.read_csv(path, nrows=0, **options).columns)
    try:
        # The header is read as a row: a longer one is an error then, and not a shift of all cells in silence.
        frame = pd.read_csv(path, header=None, dtype=str, **options)[1:].reset_index(drop=True)
    except pd.errors.ParserError:
        return separator, _read_longer_rows(path, encoding, separator, columns)
    frame.columns = columns
    return separator, frame


def _read_longer_rows(path: Path, encoding: str, separator: str, columns: list[str]) -> Any:
    """The table whose rows have more cells than the header: empty ones, or a first one with the row's name, as R's."""
    import pandas as pd

    with path.open(encoding=encoding, newline="") as file:
        rows = [row for row in csv.reader(file, delimiter=separator, skipinitialspace=True) if any(row)][1:]
    width = len(columns)
    too_long = [number for number, row in enumerate(rows, start=1) if any(row[width:])]
    if len(too_long) == len(rows) and separator != "," and {len(row) for row in rows} == {width + 1}:
        return pd.DataFrame([row[1:] for row in rows], columns=columns)
    if too_long:
        hint = "; a number with commas must be in quotes" if separator == "," else ""
        problem = f"row {too_long[0]} has {len(rows[too_long[0] - 1])} cells"
        raise ValueError(f"{problem}, the header {width}{hint}")
    return pd.DataFrame([[*(cell or None for cell in row), *[None] * width][:width] for row in rows], columns=columns)


def _detect_encoding(path: Path) -> str:
    content = read_bytes(path, MOST_FILE)
    if content.startswith(_UTF_16):
        return "utf-16"
    try:
        content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return "cp1252"  # a spreadsheet's, in much of the world
    return "utf-8-sig"
