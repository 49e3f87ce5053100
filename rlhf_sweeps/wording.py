"""How paths and other packages' errors are told to a user: in one line, not too long."""

from pathlib import Path

from rlhf_sweeps.runs import hide

LONGEST = 300  # characters of a foreign error message


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
