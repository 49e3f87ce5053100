"""Text for users: paths, names, columns and the errors of other packages, in lines of limited length."""

import contextlib
import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path

from rlhf_sweeps.record import hide

LONGEST_MESSAGE = 300  # characters of a foreign error message; chosen
WIDTH = 120  # of a terminal, in characters, as of our own lines; chosen
# Of two names, how much of their characters must be in common and in order, for one to be meant by the other; chosen.
_NEAR, _NEAR_FILE = 0.6, 0.5  # of a file or folder with a long name less: it may end on a time
_LONG_NAME = 9  # characters from which a name is long
# Characters that a terminal obeys instead of showing them (C0, DEL and C1), without tabs and ends of lines.
_CONTROLS = dict.fromkeys({*range(0x20), *range(0x7F, 0xA0)} - set(map(ord, "\t\n")))


def display_path(path: Path) -> str:
    """The path as a user would type it: relative to the current folder if it lies below that folder."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def describe_error(error: BaseException) -> str:
    """The type and the message of another package's error; the type alone if the message is empty."""
    message = cut(str(error), LONGEST_MESSAGE)
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def quote_message(error: BaseException) -> str:
    """The message of another package's error; its type if the message is empty."""
    return cut(str(error), LONGEST_MESSAGE) or type(error).__name__


def suggest(given: str, allowed: Iterable[object], prefix: str = "") -> str:
    """The end of a message on a wrong word: `; did you mean X?` with the nearest allowed one, empty if none is near.

    Args:
        prefix: what all words begin with, such as the dashes of options; it does not make two words alike.
    """
    words = [str(word).removeprefix(prefix) for word in allowed]
    near = difflib.get_close_matches(given.removeprefix(prefix), words, n=1, cutoff=_NEAR)
    return f"; did you mean {prefix}{near[0]}?" if near else ""


def suggest_path(path: Path) -> str:
    """The same for a path that does not exist: the existing one with the nearest name, in the nearest folder."""
    with contextlib.suppress(OSError, RecursionError):
        if (near := _find_near(path)) is not None:
            return f"; did you mean {cut(str(near), LONGEST_MESSAGE)}?"
    return ""


def _find_near(path: Path) -> Path | None:
    if path.exists():
        return path
    folder = path.parent if path.parent.is_dir() else _find_near(path.parent)
    if folder is None or not folder.is_dir():
        return None
    # Of names that are equally near, this takes the last one: the newest, where they begin with a time.
    names = [entry.name for entry in folder.iterdir() if path.name[:1] == "." or entry.name[:1] != "."]
    cutoff = _NEAR_FILE if len(path.name) >= _LONG_NAME else _NEAR
    near = difflib.get_close_matches(path.name, names, n=1, cutoff=cutoff)
    return folder / near[0] if near else None


def drop_controls(text: str) -> str:
    """The text without control characters: those of a record must not colour, clear or rename a terminal."""
    return text.translate(_CONTROLS)


def cut(text: str, length: int) -> str:
    """The text in one line, without control characters, secrets masked; cut after `length` characters, with dots."""
    # Secrets are masked before the cut: a part of a secret would not be recognized any more.
    line = drop_controls(" ".join(hide(text).split()))
    return line if len(line) <= length else f"{line[:length]}..."


def shorten(name: str, longest: int) -> str:
    """The name without its middle if it has more than `longest` characters: names differ mostly at their ends."""
    half = longest // 2
    return name if len(name) <= longest else f"{name[: half - 1]}…{name[-half:]}"


def align_columns(rows: Sequence[Sequence[str]], are_numbers: bool = False) -> list[str]:
    """One line for each row; the cells of a column are padded to the same width.

    Args:
        are_numbers: whether all columns but the first hold numbers, which are aligned on the right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [text.ljust(width) for text, width in zip(row, widths, strict=True)]
        if are_numbers:
            cells[1:] = [text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return lines
