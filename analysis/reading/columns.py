"""A table's columns as numbers, where they hold numbers: other cells in them are left out, with a note."""

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from decimal import Decimal
from numbers import Integral, Real
from typing import Any

import numpy as np

from analysis.reading.cells import Reading, choose_decimal_signs, is_missing, parse_cell
from analysis.reading.column_names import find_axis, is_count, is_seed
from analysis.reading.metric_names import is_metric

_MOST_TOLD = 3  # different cells that are no numbers
_TRUTHS = {"true": True, "false": False}
_LARGEST = 2**63  # whole numbers below it fit into 64 bits


def read_numbers(
    columns: Mapping[str, Sequence[Any]], separator: str, keys: Sequence[Hashable], problems: list[str]
) -> dict[str, Any]:
    """Columns of any cells: those with numbers as arrays, nan where a number is missing, the others as texts.

    Args:
        columns: texts, numbers, None ..., (rows,) each; those that count updates among them.
        separator: between the columns of a file of text; empty where there is none.
        keys: the name of each row's run, (rows,).
        problems: gets a sentence for each column with cells that are no numbers, or that can be two numbers.
    """
    texts = {name: dict.fromkeys(cell for cell in cells if isinstance(cell, str)) for name, cells in columns.items()}
    reading_of = {text: None if is_missing(text) else parse_cell(text) for own in texts.values() for text in own}
    readings = {
        name: [parsed for text in own if (parsed := reading_of[text]) is not None] for name, own in texts.items()
    }
    signs = choose_decimal_signs(readings, separator, lambda name: is_count(name) or is_seed(name), problems)
    values = {
        name: [_parse_value(cell, reading_of, signs[name], is_count(name)) for cell in own]
        for name, own in columns.items()
    }
    axis = find_axis(columns)
    runs = _assign_runs(keys, values[axis] if axis is not None else [None] * len(keys))
    return {name: _make_column(name, columns[name], own, runs, name == axis, problems) for name, own in values.items()}


def _make_column(
    name: str,
    cells: Sequence[Any],
    values: Sequence[Any],
    runs: Sequence[Hashable],
    is_axis: bool,
    problems: list[str],
) -> Any:
    num = sum(map(_is_number, values))
    bad = Counter(value for value in values if isinstance(value, str))
    is_recorded = is_count(name) or is_metric(name)  # so its numbers stay, however few they are
    if not num and (bad or any(isinstance(value, bool) for value in values)):
        return _make_text_column(cells)
    if bad and not is_recorded and _is_setting(values, runs):
        return _make_text_column(cells)
    bad_examples = ", ".join(list(bad)[:_MOST_TOLD]) + (", ..." if len(bad) > _MOST_TOLD else "")
    if sum(not text.startswith("#") for text in bad) > num and not is_recorded:  # remarks; # is a spreadsheet's
        verb = "are numbers" if num > 1 else "is a number"
        problems.append(
            f"column {name}: {num} of {len(cells)} cells {verb}, the others are not ({bad_examples}): read as text"
        )
        return _make_text_column(cells)
    if is_axis and num < len(cells):
        subject = "rows have" if len(cells) - num > 1 else "row has"
        examples = f" ({bad_examples})" if bad else ""
        problems.append(f"column {name}: {len(cells) - num} {subject} no update number{examples}, left out")
    elif bad:
        verb = "are no numbers" if bad.total() > 1 else "is no number"
        problems.append(f"column {name}: {bad.total()} of {len(cells)} cells {verb} ({bad_examples}), left out")
    return _make_array([None if isinstance(value, str) else value for value in values], is_exact=is_seed(name))


def _assign_runs(keys: Sequence[Hashable], updates: Sequence[Any]) -> list[Hashable]:
    """The run of each row: a run begins where another name stands, or where the updates go back."""
    last: dict[Hashable, float] = {}
    count: Counter[Hashable] = Counter()
    run_of_row: list[Hashable] = []
    for key, update in zip(keys, updates, strict=True):
        if _is_number(update):
            count[key] += update < last.get(key, update)
            last[key] = update
        run_of_row.append((key, count[key]))
    return run_of_row


def _is_setting(values: Sequence[Any], runs: Sequence[Hashable]) -> bool:
    """Whether each of several runs has one value in all its rows, as a setting has and a metric has not."""
    by_run: dict[Hashable, set[Any]] = {}
    for run, value in zip(runs, values, strict=True):
        by_run.setdefault(run, set()).add(value)
    return 1 < len(by_run) < len(runs) and all(len(own) == 1 for own in by_run.values())


def _parse_value(cell: Any, reading_of: Mapping[str, Reading | None], decimal: str, is_count: bool) -> Any:
    """A number, a truth value, None for an empty cell, or a text that is no number."""
    if isinstance(cell, str):
        parsed = reading_of[cell]
        if parsed is not None and (parsed.is_plain or not is_count):
            return parsed.choose_number(decimal)
        return None if is_missing(cell) else cell.strip()
    if cell is None or isinstance(cell, bool | np.bool_):
        return None if cell is None else bool(cell)
    if isinstance(cell, Integral):
        return int(cell)
    if isinstance(cell, Real | Decimal):
        return None if math.isnan(cell) else float(cell)
    return str(cell)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _make_array(values: list[Any], is_exact: bool) -> Any:
    """Whole numbers as such where none is missing, else floats; to be exact, whole numbers of any size and None."""
    if is_exact:
        values = [int(value) if isinstance(value, float) and value.is_integer() else value for value in values]
    are_whole = all(isinstance(value, int) and not isinstance(value, bool) for value in values if value is not None)
    if are_whole and None not in values and max(map(abs, values), default=0) < _LARGEST:
        return np.array(values, dtype=np.int64)
    if are_whole and is_exact:
        return _make_object_array(values)
    return np.array([np.nan if value is None else _convert_to_float(value) for value in values])


def _convert_to_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # a whole number of hundreds of digits
        return math.inf


def _make_text_column(cells: Sequence[Any]) -> Any:
    """The cells as texts, None for missing ones; a column of true and false as truth values."""
    texts = [None if isinstance(cell, str) and is_missing(cell) else cell for cell in cells]
    texts = [cell.strip() if isinstance(cell, str) else cell for cell in texts]
    truths = [_TRUTHS.get(cell.lower()) if isinstance(cell, str) else None for cell in texts]
    if None not in truths:
        return np.array(truths, dtype=bool)
    return _make_object_array(texts)


def _make_object_array(values: Sequence[Any]) -> Any:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column
