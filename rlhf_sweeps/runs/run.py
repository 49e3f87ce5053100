"""One run's folder, and what is found out once.

A run without summary.json did not finish. Lines of metrics.jsonl and samples.jsonl beyond the checkpoint that a run
continues from are cut, since the run writes them again.
"""

import contextlib
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from rlhf_sweeps.platforms import system
from rlhf_sweeps.runs.files import (
    UNFINISHED,
    append_lines,
    claim,
    line,
    parse_lines,
    read_json,
    read_lines,
    remove,
    remove_leftovers,
    wait_for,
    write_atomically,
    write_json,
)
from rlhf_sweeps.runs.ownership import RUNS, refuse_foreign

SCHEMA_VERSION = 1
Found = TypeVar("Found")


class BaseRecord:
    """What is found out once, for all trials of a sweep and all starts of a run: prompts, the base policy's answers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "base"

    def read(self, name: str) -> list[dict[str, Any]]:
        """What `write` was given under this name; empty if nothing was."""
        return read_lines(self._folder / f"{name}.jsonl")

    def write(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Keep some rows; the name stands for all that they depend on, so of several writers any may be the last."""
        self._folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(self._folder)
        write_atomically(self._folder / f"{name}.jsonl", "".join(line(row) for row in rows))

    def read_or_find(self, read: Callable[[], Found | None], find: Callable[[], Found]) -> Found:
        """What `read` gives; where that is nothing, one process finds it out and keeps it, while the others wait."""
        if (found := read()) is None:
            with wait_for(self._folder):
                if (found := read()) is None:
                    found = find()
        return found


class Run:
    """One run's folder.

    Attributes:
        folder: where everything lies; may be copied or moved as a whole.
        checkpoint: what the run continues from.
        model: the export that from_pretrained loads.
        base: what is known about the base policy, where no sweep knows it.
        start_file, metrics_file, samples_file, summary_file: what the methods below read and write.
        config_file, hydra_file, overrides_file: the config as Hydra composed it, its own part, what the user changed.
        log_file: all that the run's process wrote to stdout and stderr.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.checkpoint = self.folder / "checkpoint"
        self.model = self.folder / "model"
        self.base = BaseRecord(self.folder)
        self.start_file = self.folder / "run.json"
        self.metrics_file = self.folder / "metrics.jsonl"
        self.samples_file = self.folder / "samples.jsonl"
        self.summary_file = self.folder / "summary.json"
        self.config_file = self.folder / ".hydra" / "config.yaml"
        self.hydra_file = self.folder / ".hydra" / "hydra.yaml"
        self.overrides_file = self.folder / ".hydra" / "overrides.yaml"
        self.log_file = self.folder / "rlhf_sweeps.log"
        self._stop = self.folder / "stop"
        self._inode, self._position = -1, 0  # of metrics.jsonl, as far as new_metrics has read it

    def refuse_foreign(self) -> None:
        """Leave a folder alone that holds what this record would overwrite, or a sweep.

        Raises:
            NotOursError: if that is so, and nothing shows that a run was begun there.
        """
        model = (self.model.name, f"{self.model.name}{UNFINISHED}", f"former_{self.model.name}")
        files = (self.start_file, self.metrics_file, self.samples_file, self.summary_file, self.log_file)
        names = (*model, self.checkpoint.name, self.hydra_file.parent.name, *(file.name for file in files))
        refuse_foreign(self.folder, (*names, "sweep.json"), self.start_file, self.hydra_file, RUNS)

    @contextlib.contextmanager
    def claim(self) -> Iterator[None]:
        """Keep the folder to this process; the operating system gives it free when the process dies.

        Raises:
            InUseError: if another process has it.
        """
        with claim(self.folder, "another process is training there"):
            yield

    def begin(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """What was fixed at the run's first start: schema_version, id, config. Written then, read ever after."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if (start := self.start()) is None:
            start = {"schema_version": SCHEMA_VERSION, "id": uuid.uuid4().hex[:12], "config": dict(config)}
            write_json(self.start_file, start)
        return start

    def start(self) -> dict[str, Any] | None:
        """What `begin` wrote; None in a folder where no run has begun."""
        return read_json(self.start_file)

    def metrics(self) -> list[dict[str, Any]]:
        """One object per update, oldest first; a last line that was cut off by a kill is left out."""
        return read_lines(self.metrics_file)

    def samples(self) -> list[dict[str, Any]]:
        """Evaluation samples: update, prompt, response, score, base_response, base_score; of every judge, too."""
        return read_lines(self.samples_file)

    def append_metrics(self, row: Mapping[str, Any]) -> None:
        """Add one update's metrics."""
        append_lines(self.metrics_file, [row])

    def append_samples(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add one evaluation's samples."""
        append_lines(self.samples_file, rows)

    def rewind(self, update: int) -> None:
        """Forget what was recorded after `update`."""
        for path in (self.metrics_file, self.samples_file):
            if path.exists():
                kept = [row for row in read_lines(path) if row["update"] <= update]
                write_atomically(path, "".join(line(row) for row in kept))
        if self.summary_file.exists():
            # The request to stop has been met; without a summary, it still stands.
            remove(self._stop)
            remove(self.summary_file)

    def summary(self) -> dict[str, Any] | None:
        """status, objective, best_update, versions, cost ...; None if the run did not finish."""
        return read_json(self.summary_file)

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """The last thing that a run writes."""
        write_json(self.summary_file, {"schema_version": SCHEMA_VERSION, **summary})

    def stop_reason(self) -> str | None:
        """Why the run was asked to end, or None if it was not."""
        try:
            return system.patiently(self._stop.read_bytes).decode("utf-8-sig", errors="replace").strip() or "unknown"
        except FileNotFoundError:
            return None

    def ask_to_stop(self, reason: str) -> None:
        """Have the run end after the update that it is at."""
        write_atomically(self._stop, reason)

    def reopen(self) -> None:
        """Forget how the run ended and that it was asked to, so that it can be continued."""
        remove(self._stop)
        remove(self.summary_file)

    def new_metrics(self) -> list[dict[str, Any]]:
        """The updates that this object has not given yet; all of them again once the run has been rewound."""
        try:
            with system.patiently(lambda: self.metrics_file.open("rb")) as file:
                inode = os.fstat(file.fileno()).st_ino
                if inode != self._inode:
                    self._inode, self._position = inode, 0
                file.seek(self._position)
                content = file.read()
        except FileNotFoundError:
            return []
        whole = content[: content.rfind(b"\n") + 1]
        self._position += len(whole)
        return parse_lines(whole)
