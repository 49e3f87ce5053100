"""How paths, names, columns and other packages' errors are told to a user: in lines that are not too long."""

from collections.abc import Sequence
from pathlib import Path

from rlhf_sweeps.record import hide

LONGEST = 300  # characters of a foreign error message
WIDTH = 120  # of a terminal, in characters


def shown(path: Path) -> str:
    """A path as a user types it: from here, if it lies below."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def told(error: BaseException) -> str:
    """A foreign error's type and message; the type alone where there is no message."""
    message = cut(str(error), LONGEST)
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def message_of(error: BaseException) -> str:
    """A foreign error's message alone; its type where there is none."""
    return cut(str(error), LONGEST) or type(error).__name__


def cut(text: str, length: int) -> str:
    """A text in one line, of at most so many characters and three dots, without secrets."""
    # What is cut is no longer known for a secret.
    line = " ".join(hide(text).split())
    return line if len(line) <= length else f"{line[:length]}..."


def short(name: str, longest: int) -> str:
    """A name of at most so many characters; those of one kind differ at their ends more often than in the middle."""
    half = longest // 2
    return name if len(name) <= longest else f"{name[: half - 1]}…{name[-half:]}"


def in_columns(rows: Sequence[Sequence[str]], are_numbers: bool = False) -> list[str]:
    """A line for each row, in columns of equal width.

    Args:
        are_numbers: whether all but the first column hold numbers, which stand to the right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [text.ljust(width) for text, width in zip(row, widths, strict=True)]
        if are_numbers:
            cells[1:] = [text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return lines
