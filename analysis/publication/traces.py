"""What a record tells about the machine that made it: paths made relative, and what must not be published."""

import getpass
import json
import re
import socket
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import yaml

from analysis.wording.errors import AnalysisError

Clean = Callable[[str], str]

# An absolute path of at least two parts, of Linux, macOS or Windows; not the end of another URL or of a relative path.
# The paths of two kinds of URL are absolute, too: file:///a/b and sqlite:////a/b (sqlite:///a/b is relative).
_IN_URL = r"(?<=file:)|(?<=file://)|(?<=:///)"
_ABSOLUTE = re.compile(
    rf"(?:(?<![\w.:/\\~}}-])(?:~|[A-Za-z]:)?|(?:{_IN_URL})(?:[A-Za-z]:)?)[/\\](?:[\w.+@-]+[/\\]+)+[\w.+@-]*"
)
_BEGIN = rf"(?:(?<![\w./-])|{_IN_URL})"  # of a known folder
_ROWS = ".jsonl"  # metrics, and texts of data sets and policies, which may contain any word
_HOSTS_OF_ALL = ("localhost", "")


def make_cleaner(folders: Mapping[str, str]) -> Clean:
    """A function that replaces absolute folders in texts, and the beginnings of longer paths.

    Args:
        folders: absolute folder -> what stands for it, relative to the working folder; empty: the working folder.
    """
    ordered = sorted((folder.rstrip("/\\") for folder in folders if len(folder) > 1), key=len, reverse=True)
    patterns = [
        (re.compile(rf"{_BEGIN}{re.escape(folder)}(?P<end>/(?=[\w.-])|(?![\w.-]))"), folders[folder])
        for folder in ordered
    ]

    def clean(text: str) -> str:
        for pattern, stand_in in patterns:
            text = pattern.sub(lambda match, stand_in=stand_in: _join(stand_in, match["end"]), text)  # type: ignore[misc]
        return text

    return clean


def _join(folder: str, end: str) -> str:
    return f"{folder}{end}" if folder else ("" if end else ".")


def shorten_paths(text: str) -> str:
    """A message in which other absolute paths, such as those of packages, are their last parts."""
    return _ABSOLUTE.sub(lambda match: re.split(r"[/\\]", match[0].rstrip("/\\"))[-1], text)


def clean_content(content: Any, clean: Clean) -> Any:
    """Plain values with all texts cleaned, those of keys, too."""
    if isinstance(content, dict):
        return {clean(str(key)): clean_content(value, clean) for key, value in content.items()}
    if isinstance(content, list):
        return [clean_content(item, clean) for item in content]
    return clean(content) if isinstance(content, str) else content


def refuse_traces(folder: Path) -> None:
    """Refuse a folder whose files tell about this machine or another one.

    Raises:
        AnalysisError: with file and line of the home folder or the name of the host; with file and key of an absolute
            path in a config; with the file if it cannot be read.
    """
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = file.relative_to(folder)
        with refuse_unreadable(name):
            text = _read_text(file)
        for number, line in enumerate(text.splitlines(), start=1):
            for what_of, pattern in _list_patterns(is_text=file.suffix == _ROWS):
                if pattern.search(line):
                    raise AnalysisError(f"{name}, line {number}: contains {what_of}; nothing was published")
        if file.suffix in (".json", ".yaml"):
            with refuse_unreadable(name):
                content = json.loads(text) if file.suffix == ".json" else yaml.safe_load(text)
            for key, path in _find_paths(content):
                raise AnalysisError(
                    f"{name}: {key} contains {path}, a path of this machine outside of the working folder; put the "
                    "file into the project, give its path relative to it (outputs/reward_models/NAME), and run again"
                )


@contextmanager
def refuse_unreadable(file: Path) -> Iterator[None]:
    """Raise an AnalysisError of one line, which names the file, if the `with` block cannot read it."""
    try:
        yield
    except (OSError, ValueError, sqlite3.Error, yaml.YAMLError) as error:  # bytes that are no text are a ValueError
        raise AnalysisError(f"{file.as_posix()}: cannot be read ({' '.join(str(error).split())})") from error


def _read_text(file: Path) -> str:
    """A file's text; of an SQLite file that of the statements that would make it."""
    if file.suffix != ".db":
        return file.read_text(encoding="utf-8", errors="replace")
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as database:
        return "\n".join(database.iterdump())


def _list_patterns(is_text: bool) -> Iterator[tuple[str, re.Pattern[str]]]:
    """What must not stand in a line. The name of a host may be a common word, which answers of a policy contain."""
    home = str(Path.home())
    if len(home) > 1:
        end = r"/\.?\w" if is_text else r"(?![\w-])"  # a text may speak of such a folder
        yield f"the home folder of {getpass.getuser()}", re.compile(rf"{_BEGIN}{re.escape(home)}{end}")
    host = socket.gethostname()
    if host not in _HOSTS_OF_ALL and not is_text:
        yield "the name of this host", re.compile(rf"(?<![\w-]){re.escape(host)}(?![\w-])")


def _find_paths(content: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Key and path, of all absolute paths in plain values."""
    if isinstance(content, dict):
        for name, value in content.items():
            yield from _find_paths(value, f"{key}.{name}" if key else str(name))
    elif isinstance(content, list):
        for item in content:
            yield from _find_paths(item, key)
    elif isinstance(content, str) and (match := _ABSOLUTE.search(content)):
        yield key, match[0]
