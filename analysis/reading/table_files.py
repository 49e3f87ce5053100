"""A table's file as people have it: other separators and encodings, decimal commas, per cent, missing values."""

import codecs
import json
from pathlib import Path
from typing import Any

from analysis.errors import AnalysisError

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_MISSING = ("", "-", "--", "—", "–")  # besides what pandas takes for a missing value: NA, NaN, null, None ...


def read_frame(path: Path) -> Any:
    """The table as a pandas frame: a column of numbers is one of floats, whichever way they are written.

    Columns without a name, which hold the rows' numbers, and columns of lists and objects are left out. `12.5 %` is
    0.125; a decimal comma is known where commas do not separate the columns.

    Raises:
        AnalysisError: if it cannot be read, or holds no row.
    """
    import pandas as pd

    reader = {".parquet": pd.read_parquet, ".json": _json_frame, ".jsonl": _json_frame}.get(path.suffix, _text_frame)
    try:
        frame = reader(path)
    except Exception as error:
        raise AnalysisError(f"{path}: cannot be read as a table ({' '.join(str(error).split())[:200]})") from error
    frame.columns = [str(column).strip() for column in frame.columns]
    if frame.columns.duplicated().any():
        raise AnalysisError(f"{path}: two columns are called {frame.columns[frame.columns.duplicated()][0]}")
    if not len(frame):
        raise AnalysisError(f"{path}: holds no row")
    named = [name for name in frame.columns if name and not name.startswith("Unnamed: ")]
    return frame[[name for name in named if is_number(frame[name]) or not _holds_lists(frame[name])]]


def is_number(column: Any) -> bool:
    """Whether a frame's column holds numbers."""
    import pandas as pd

    return bool(pd.api.types.is_numeric_dtype(column))


def _holds_lists(column: Any) -> bool:
    return bool(column.map(lambda value: hasattr(value, "__len__") and not isinstance(value, str)).any())


def _json_frame(path: Path) -> Any:
    """From an object on each line, a list of objects, or the `log_history` of TRL's trainer_state.json."""
    import pandas as pd

    text = path.read_text(encoding="utf-8-sig")
    if path.suffix == ".jsonl":
        return pd.DataFrame([json.loads(line) for line in text.splitlines() if line.strip()])
    content = json.loads(text)
    rows = content.get("log_history") if isinstance(content, dict) else content
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("must be a list of objects, or an object with such a list as log_history")
    return pd.DataFrame(rows)


def _text_frame(path: Path) -> Any:
    import pandas as pd

    encoding = _encoding(path)
    with path.open(encoding=encoding) as file:
        header = file.readline()
    separator = max(",;\t", key=header.count)
    frame = pd.read_csv(path, sep=separator, encoding=encoding, skipinitialspace=True, na_values=list(_MISSING))
    for name in frame.columns:
        if not is_number(frame[name]):
            frame[name] = _numbers(frame[name], has_decimal_commas=separator != ",")
    return frame


def _encoding(path: Path) -> str:
    content = path.read_bytes()
    if content.startswith(_UTF_16):
        return "utf-16"
    try:
        content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return "cp1252"  # a spreadsheet's, in much of the world
    return "utf-8-sig"


def _numbers(column: Any, has_decimal_commas: bool) -> Any:
    """A column of text as numbers, if all of it is such."""
    import pandas as pd

    texts = column.astype("string").str.strip()
    percent = texts.str.endswith("%").fillna(False)
    texts = texts.str.removesuffix("%").str.strip()
    if has_decimal_commas and not texts.str.contains(".", regex=False).any():
        texts = texts.str.replace(",", ".", regex=False)
    values = pd.to_numeric(texts, errors="coerce").astype("float64")
    if bool((values.isna() & column.notna()).any()) or not column.notna().any():
        return column
    return values.where(~percent, values / 100)
