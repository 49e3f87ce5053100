"""What is found out once, for all trials of a sweep and all starts of a run: prompts, the base policy's answers."""

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from rlhf_sweeps.runs.files import remove_leftovers, wait_for, write_atomically
from rlhf_sweeps.runs.reading import MOST_FILE, Row, read_bytes
from rlhf_sweeps.runs.rows import line, salvage_rows
from rlhf_sweeps.runs.sealed import DIGEST, set_aside

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
        problems: list[str] = []
        rows = salvage_rows(file, problems, MOST_FILE)  # a line may hold all prompts
        if rows and not problems:
            content = read_bytes(file, MOST_FILE)
            last = rows.pop()
            if last.keys() != {DIGEST}:
                problems.append(f"{file.name}: ends without a digest, as those of earlier versions do")
            elif hashlib.sha256(content[: content.rfind(b"\n", 0, -1) + 1]).hexdigest() != last[DIGEST]:
                problems.append(f"{file.name}: damaged, its digest is another")
        elif not problems and file.exists():
            problems.append(f"{file.name}: is empty")
        for problem in problems:
            log.warning("base/%s; found out anew", problem)
        return [] if problems else rows

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
        if (found := read()) is None:
            with wait_for(self._folder):
                if (found := read()) is None:
                    found = find()
        return found
