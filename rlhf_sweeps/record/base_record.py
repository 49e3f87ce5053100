"""Results that all trials of a sweep, or all starts of a run, share: encoded prompts, the base policy's answers."""

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from rlhf_sweeps.record.checked_objects import DIGEST, set_aside
from rlhf_sweeps.record.files import remove_leftovers, wait_for, write_atomically
from rlhf_sweeps.record.reading import MOST_FILE, Row, parse_object, raise_passing, read_bytes
from rlhf_sweeps.record.rows import format_row

Result = TypeVar("Result")

log = logging.getLogger("rlhf_sweeps")


class BaseRecord:
    """The folder `base` of a sweep, or of a run that belongs to no sweep.

    A damaged file is computed again: its name contains a hash of everything that its content depends on.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "base"

    def read(self, name: str) -> list[Row]:
        """The rows that `write` stored under this name; empty if there are none, or if the file is damaged."""
        file = self._folder / f"{name}.jsonl"
        rows, problem = _read_rows(file)
        if problem is not None:
            log.warning("base/%s: %s; determined again", file.name, problem)
        return rows

    def read_all(self, prefix: str) -> Iterator[list[Row]]:
        """Yield what `read` gives for each name that begins so."""
        for file in sorted(self._folder.glob(f"{prefix}*.jsonl")):
            yield self.read(file.stem)

    def write(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Store rows under a name. Several processes may write the same name: all of them write the same rows."""
        self._folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(self._folder)
        file = self._folder / f"{name}.jsonl"
        for problem in set_aside(file):
            log.warning("base/%s", problem)
        text = "".join(format_row(row) for row in rows)
        seal = json.dumps({DIGEST: hashlib.sha256(text.encode()).hexdigest()})
        write_atomically(file, f"{text}{seal}\n")

    def read_or_find(self, read: Callable[[], Result | None], find: Callable[[], Result]) -> Result:
        """The result of `read`; if that is None, one process calls `find`, which stores its result; others wait."""
        if (result := read()) is None:
            with wait_for(self._folder):
                if (result := read()) is None:
                    result = find()
        return result


def _read_rows(file: Path) -> tuple[list[Row], str | None]:
    """The rows of a file and its fault, if any. The file is read in one go, since another process may replace it."""
    try:
        content = read_bytes(file, MOST_FILE)
    except FileNotFoundError:
        return [], None
    except OSError as error:
        raise_passing(error)
        return [], str(error.strerror)
    before, _, last = content.removesuffix(b"\n").rpartition(b"\n")
    seal = parse_object(last)
    if seal is None or seal.keys() != {DIGEST}:
        return [], "ends without a digest, as those of earlier versions do"
    text = before + b"\n" if before else b""
    if hashlib.sha256(text).hexdigest() != seal[DIGEST]:
        return [], "damaged, its digest differs"
    return [row for row in map(parse_object, text.split(b"\n")) if row is not None], None
