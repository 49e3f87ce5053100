"""A table's cells as numbers: decimal points or commas, separated thousands, per cent, currencies.

Most cells can be read in one way only. `1,000` can be 1000 or 1; the whole file decides.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

POINT, COMMA = ".", ","
_MISSING = frozenset(
    (
        *("", "-", "--", "—", "–", "na", "n/a", "#n/a", "#n/a n/a", "#na", "<na>", "nan", "-nan", "null", "none", "."),
        *("1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan"),  # nan, in C on Windows
    )
)
_CURRENCY = "[$€£¥₩₹]"
_CELL = re.compile(
    rf"(?P<sign>[-+−]?)\s*(?P<before>{_CURRENCY}?)\s*(?P<digits>[0-9.,][0-9.,'’ \u00a0\u2009\u202f]*?)"
    rf"(?P<exponent>[eE][-+−]?[0-9]{{1,4}})?\s*(?P<after>%|{_CURRENCY})?"
)
_INFINITE = re.compile(r"([-+−]?)(?:inf|infinity|∞)", re.IGNORECASE)
_MOST_TOLD = 3  # columns of which one cell is shown
_LONGEST = 400  # digits; a float has no more before its point


def _compile_pattern(decimal: str, thousands: str) -> re.Pattern[str]:
    groups = rf"[1-9][0-9]{{0,2}}(?P<by>[{thousands}'’ \u00a0\u2009\u202f])[0-9]{{3}}(?:(?P=by)[0-9]{{3}})*"
    return re.compile(rf"(?P<whole>{groups}|[0-9]*)(?:[{decimal}](?P<part>[0-9]*))?")


_PATTERNS = {POINT: _compile_pattern(POINT, COMMA), COMMA: _compile_pattern(COMMA, POINT)}


class Reading(NamedTuple):
    """A cell as a number.

    Attributes:
        point: its number if points are decimal; None if it is none then. A whole number is an int.
        comma: its number if commas are decimal; None if it is none then.
        is_plain: whether it is neither per cent nor money.
    """

    point: float | None
    comma: float | None
    is_plain: bool = True

    @property
    def is_ambiguous(self) -> bool:
        """Whether the two readings differ."""
        return self.point is not None and self.comma is not None and self.point != self.comma

    def choose_number(self, decimal: str) -> float:
        """The number, by the file's decimal sign where it can be read in both ways."""
        first, second = (self.point, self.comma) if decimal == POINT else (self.comma, self.point)
        number = second if first is None else first
        assert number is not None
        return number


def is_missing(text: str) -> bool:
    """Whether a cell says that there is no value."""
    return text.strip().lower() in _MISSING


def parse_cell(text: str) -> Reading | None:
    """A cell as a number; None where it is none. `12.5 %` is 0.125."""
    text = text.strip()
    whole, _, part = text.removeprefix("-").partition(POINT)
    if text.isascii() and whole.isdigit() and part.isdigit() and (len(part) != 3 or len(whole) > 3 or whole[0] == "0"):
        return Reading(float(text), None)  # most cells of most tables, at a tenth of the time
    if match := _INFINITE.fullmatch(text):
        infinite = math.copysign(math.inf, -1 if match[1] in ("-", "−") else 1)
        return Reading(infinite, infinite)
    cell = _CELL.fullmatch(text)
    if cell is None or len(text) > _LONGEST or (cell["before"] and cell["after"]):
        return None
    point, comma = (_parse_number(cell, pattern) for pattern in _PATTERNS.values())
    if point is None and comma is None:
        return None
    return Reading(point, comma, not (cell["before"] or cell["after"]))


def _parse_number(cell: re.Match[str], pattern: re.Pattern[str]) -> float | None:
    match = pattern.fullmatch(cell["digits"])
    if match is None or not (match["whole"] or match["part"]) or (match["by"] and cell["exponent"]):
        return None
    sign = "-" if cell["sign"] in ("-", "−") else ""
    whole = "".join(filter(str.isdigit, match["whole"])) or "0"
    exponent = (cell["exponent"] or "").replace("−", "-")
    if match["part"] is None and not exponent and cell["after"] != "%":
        return int(sign + whole)
    value = float(f"{sign}{whole}.{match['part'] or '0'}{exponent}")
    return value / 100 if cell["after"] == "%" else value


def choose_decimal_signs(
    columns: Mapping[str, Sequence[Reading]], separator: str, is_whole: Callable[[str], bool], problems: list[str]
) -> dict[str, str]:
    """The decimal sign of each column: that of the file, except where counts and seeds would become fractions.

    The sign of the file is that of the cells with one reading only. Without such cells, counts decide, since they are
    whole. Without these, commas are decimal between semicolons, and points elsewhere.

    Args:
        columns: the readings of each column.
        separator: of the columns; empty where cells need none.
        is_whole: whether a column of that name holds whole numbers: counts, seeds.
        problems: gets a sentence where a rule has decided, or columns contradict each other.
    """
    decimal = _choose_file_sign(columns, separator, is_whole, problems)
    signs = dict.fromkeys(columns, decimal)
    for name in filter(is_whole, columns):
        mixed = [cell for cell in columns[name] if cell.is_ambiguous and cell.choose_number(decimal) % 1 != 0]
        if mixed and all(cell.choose_number(decimal) % 1 == 0 for cell in columns[name] if not cell.is_ambiguous):
            signs[name] = _switch_sign(decimal)
            sign = "points" if decimal == POINT else "commas"
            problems.append(f"{sign} are decimal, but not in {name}: {_describe_decision(name, mixed[0], signs[name])}")
    return signs


def _choose_file_sign(
    columns: Mapping[str, Sequence[Reading]], separator: str, is_whole: Callable[[str], bool], problems: list[str]
) -> str:
    num_points = sum(cell.comma is None for own in columns.values() for cell in own)
    num_commas = sum(cell.point is None for own in columns.values() for cell in own)
    unclear = [(name, cell) for name, own in columns.items() for cell in own if cell.is_ambiguous]
    if num_points != num_commas:
        decimal = POINT if num_points > num_commas else COMMA
        if unclear and num_points and num_commas:
            sign_counts = f"decimal points in {num_points} cells, decimal commas in {num_commas}"
            problems.append(f"{sign_counts}: {_describe_decision(*unclear[0], decimal)}")
        return decimal
    signs = {_find_sign(cell) for _, cell in unclear}
    counts = [cell for name, cell in unclear if is_whole(name)]
    # Thousands, surely where decimals would make fractions, and likely where other columns have the other sign.
    thousands = {_find_sign(cell) for cell in counts if _compute_smaller_number(cell) % 1 != 0}
    if len(thousands) == 1:
        return _switch_sign(thousands.pop())
    in_counts = {_find_sign(cell) for cell in counts}
    decimal = COMMA if separator == ";" and COMMA in signs else POINT
    if len(signs) == 2 and len(in_counts) == 1:
        decimal = _switch_sign(in_counts.pop())
    if signs and (decimal == COMMA or COMMA in signs):
        first = dict(reversed(unclear))
        examples = [_describe_decision(name, first[name], decimal) for name in columns if name in first][:_MOST_TOLD]
        problems.append(f"nothing says whether commas are decimal: {', '.join(examples)}")
    return decimal


def _find_sign(unclear: Reading) -> str:
    """The sign in an ambiguous cell; as the decimal sign it gives the smaller number."""
    return COMMA if unclear.comma == _compute_smaller_number(unclear) else POINT


def _switch_sign(sign: str) -> str:
    return POINT if sign == COMMA else COMMA


def _compute_smaller_number(unclear: Reading) -> float:
    return min((unclear.choose_number(POINT), unclear.choose_number(COMMA)), key=abs)


def _describe_decision(name: str, unclear: Reading, decimal: str) -> str:
    written = f"{abs(_compute_smaller_number(unclear)):.3f}".replace(POINT, _find_sign(unclear))
    return f"{written} in column {name} is read as {abs(unclear.choose_number(decimal)):g}"
