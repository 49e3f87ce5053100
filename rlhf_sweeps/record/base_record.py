"""What is found out once, for all trials of a sweep and all starts of a run: prompts, the base policy's answers."""

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from rlhf_sweeps.record.files import remove_leftovers, wait_for, write_atomically
from rlhf_sweeps.record.reading import MOST_FILE, Row, parse_object, raise_passing, read_bytes
from rlhf_sweeps.record.rows import line
from rlhf_sweeps.record.sealed import DIGEST, set_aside

Found = TypeVar("Found")

log = logging.getLogger("rlhf_sweeps")


class BaseRecord:
    """The folder `base` of a sweep, or of a run on its own.

    What is damaged there is found out anew, since the name of each file stands for all that it depends on.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "base"

    def read(self, name: str) -> list[Row]:
        """What `write` was given under this name; empty if nothing was, or if it is damaged."""
        file = self._folder / f"{name}.jsonl"
        rows, problem = _rows_of(file)
        if problem is not None:
            log.warning("base/%s: %s; found out anew", file.name, problem)
        return rows

    def write(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Keep some rows; the name stands for all that they depend on, so of several writers any may be the last."""
        self._folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(self._folder)
        file = self._folder / f"{name}.jsonl"
        for problem in set_aside(file):
            log.warning("base/%s", problem)
        text = "".join(line(row) for row in rows)
        seal = json.dumps({DIGEST: hashlib.sha256(text.encode()).hexdigest()})
        write_atomically(file, f"{text}{seal}\n")

    def read_or_find(self, read: Callable[[], Found | None], find: Callable[[], Found]) -> Found:
        """What `read` gives; where that is nothing, one process finds it out and keeps it, while the others wait."""
        if (result := read()) is None:
            with wait_for(self._folder):
                if (result := read()) is None:
                    result = find()
        return result


def _rows_of(file: Path) -> tuple[list[Row], str | None]:
    """Its rows, and what is wrong with it; read at once, since another process may replace it."""
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
        return [], "damaged, its digest is another"
    return [row for row in map(parse_object, text.split(b"\n")) if row is not None], None
