"""One run's folder.

A run without summary.json did not finish. Lines of metrics.jsonl and samples.jsonl beyond the checkpoint that a run
continues from are cut, since the run writes them again.
"""

import contextlib
import math
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rlhf_sweeps.record.base_record import BaseRecord
from rlhf_sweeps.record.files import UNFINISHED, claim, open_atomically, remove, stamp, write_atomically
from rlhf_sweeps.record.hiding import hidden
from rlhf_sweeps.record.ownership import RUNS, refuse_foreign
from rlhf_sweeps.record.reading import open_record, raise_passing, read_bytes
from rlhf_sweeps.record.restarts import as_update
from rlhf_sweeps.record.rows import Reached, append_rows, line, rows_from, salvage_rows
from rlhf_sweeps.record.sealed import (
    copy_of,
    differing,
    digest_of,
    mend_object,
    remove_object,
    salvage_object,
    set_aside,
    write_object,
)

SCHEMA_VERSION = 1
_MOST_REASON = 10_000  # bytes of a request to stop


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
        self.reached = Reached()  # of metrics.jsonl

    def refuse_foreign(self) -> None:
        """Leave a folder alone that holds what this record would overwrite, or a sweep.

        Raises:
            NotOursError: if that is so, and nothing shows that a run was begun there.
        """
        model = (self.model.name, f"{self.model.name}{UNFINISHED}", f"rlhf_sweeps_former_{self.model.name}")
        files = (self.start_file, self.metrics_file, self.samples_file, self.summary_file, self.log_file)
        folders = (self.checkpoint.name, self.hydra_file.parent.name, "base", copy_of(self.start_file).parent.name)
        names = (*model, *folders, *(file.name for file in files), self._stop.name)
        refuse_foreign(self.folder, (*names, "sweep.json"), self.start_file, self.hydra_file, RUNS)

    @contextlib.contextmanager
    def claim(self) -> Iterator[None]:
        """Keep the folder to this process; the operating system gives it free when the process dies.

        Raises:
            InUseError: if another process has it.
        """
        with claim(self.folder, "another process is training there"):
            yield

    def mend(self) -> list[str]:
        """Put right what is damaged and kept twice, move away what is no file; says what was wrong, in sentences.

        For who has claimed the folder; rows are mended by `rewind`.
        """
        problems = [*mend_object(self.start_file), *mend_object(self.summary_file)]
        files = (*self.row_files, self._stop, self.log_file, self.config_file, self.hydra_file, self.overrides_file)
        for file in files:
            problems += set_aside(file)
        return problems

    def begin(
        self, config: Mapping[str, Any], fingerprints: Callable[[str], Mapping[str, str]] = lambda salt: {}
    ) -> dict[str, Any]:
        """What was fixed at the run's first start: schema_version, id, config, references. Read ever after.

        Args:
            fingerprints: salt -> what tells the values that the config's references have from others.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if (start := self.start()) is None:
            start = {"schema_version": SCHEMA_VERSION, "id": uuid.uuid4().hex[:12], "config": dict(config)}
            start["references"] = dict(fingerprints(start["id"]))
            write_object(self.start_file, start)
        return start

    def start(self) -> dict[str, Any] | None:
        """What `begin` wrote; None in a folder where no run has begun, or where that is lost."""
        start = salvage_object(self.start_file, [])
        is_sound = isinstance(start.get("config"), dict) and isinstance(start.get("id"), str)
        return start if is_sound else None

    def metrics(self) -> list[dict[str, Any]]:
        """One object per update, oldest first; a last line that was cut off by a kill is left out."""
        return _of_updates(self.metrics_file)

    def samples(self) -> list[dict[str, Any]]:
        """Evaluation samples: update, prompt, response, score, base_response, base_score; of every judge, too."""
        return _of_updates(self.samples_file)

    def append_metrics(self, row: Mapping[str, Any]) -> None:
        """Add one update's metrics."""
        append_rows(self.metrics_file, [row])

    def append_samples(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add one evaluation's samples."""
        append_rows(self.samples_file, rows)

    @property
    def row_files(self) -> tuple[Path, Path]:
        """What grows from update to update; a checkpoint holds them as they were then."""
        return self.metrics_file, self.samples_file

    def lacks(self, update: int, copies: Path | None = None) -> str | None:
        """What is wrong with the rows up to an update, of which metrics.jsonl must have one each; None: nothing.

        Args:
            copies: a folder that may hold the row files as they were then; those of earlier versions do not.
        """
        problems: list[str] = []
        file = self.metrics_file
        if copies is not None and (copies / file.name).is_file():
            file = copies / file.name
        updates = [as_update(row.get("update")) for row in salvage_rows(file, problems)]
        if [number for number in updates if number <= update] == list(range(1, update + 1)):
            return None
        return next(iter(problems), f"{self.metrics_file.name}: lacks rows before update {update}")

    def rewind(self, update: int, copies: Path | None = None) -> list[str]:
        """Forget what was recorded after `update`.

        Args:
            copies: a folder that holds the row files as they were then; None: rows are told apart by their updates.

        Returns:
            what was damaged before it, and is not any more, in sentences.
        """
        problems = []
        for path in self.row_files:
            if copies is not None and (copies / path.name).exists():
                problems += _restore(path, copies / path.name)
            elif path.exists():
                write_atomically(path, "".join(line(row) for row in _of_updates(path) if row["update"] <= update))
        if self.summary_file.exists():
            # The request to stop has been met; without a summary, it still stands.
            remove(self._stop)
            remove_object(self.summary_file)
        return problems

    def summary(self) -> dict[str, Any] | None:
        """status, objective, best_update, versions, cost ...; None if the run did not finish."""
        summary = salvage_object(self.summary_file, [])
        return summary if isinstance(summary.get("status"), str) else None

    def write_summary(self, summary: Mapping[str, Any], exported: Iterable[str] = ()) -> None:
        """The last thing that a run writes: what it is given, and the digests of what the run leaves (`files`).

        Args:
            exported: the files in model/ that are the run's own, by their paths in there.
        """
        left = [*self.row_files, *(self.model / name for name in exported)]
        files = {path.relative_to(self.folder).as_posix(): digest_of(path) for path in left if path.is_file()}
        write_object(self.summary_file, {"schema_version": SCHEMA_VERSION, **hidden(summary), "files": files})

    def changed(self, summary: Mapping[str, Any], *places: Path) -> list[str]:
        """Which files are not what they were when the run wrote its summary, in sentences; nothing of earlier versions.

        Args:
            places: the files, or folders with files, to look at.
        """
        digests = summary.get("files")
        recorded = digests if isinstance(digests, dict) else {}
        files = {name: self.folder / name for name in recorded}
        names = [name for name, file in files.items() if any(place in (file, *file.parents) for place in places)]
        return differing(self.folder, {name: str(recorded[name]) for name in names})

    def stop_reason(self) -> str | None:
        """Why the run was asked to end, or None if it was not."""
        try:
            text = read_bytes(self._stop, _MOST_REASON).decode("utf-8-sig", errors="replace")
        except OSError as error:
            raise_passing(error)
            return None
        return text.strip() or "unknown"

    def ask_to_stop(self, reason: str) -> None:
        """Have the run end after the update that it is at."""
        write_atomically(self._stop, reason)

    def reopen(self) -> None:
        """Forget how the run ended and that it was asked to, so that it can be continued."""
        remove(self._stop)
        remove_object(self.summary_file)

    def new_metrics(self) -> list[dict[str, Any]]:
        """The updates that this object has not given yet; all of them again once the run has been rewound.

        It stops at a damaged line until the run is rewound, which mends it.
        """
        try:
            rows, self.reached = rows_from(self.metrics_file, self.reached)
        except OSError as error:
            raise_passing(error)
            return []
        return [row for row in rows if _has_update(row)]

    def pass_over(self) -> None:
        """Have `new_metrics` leave out what is there now: the run goes on from a checkpoint, and mends it first."""
        now = stamp(self.metrics_file)
        self.reached = Reached(now.inode, now.size)


def _of_updates(path: Path) -> list[dict[str, Any]]:
    return [row for row in salvage_rows(path, []) if _has_update(row)]


def _has_update(row: Mapping[str, Any]) -> bool:
    return not math.isnan(as_update(row.get("update")))


def _restore(path: Path, copy: Path) -> list[str]:
    """Make a file what it was when `copy` was copied from it; says so where it had other content by then."""
    with open_record(copy) as file:
        content = file.read()
    try:
        with open_record(path) as file:
            is_whole = file.read(len(content)) == content
    except OSError:
        is_whole = False
    with open_atomically(path, "wb") as file:
        file.write(content)
    return [] if is_whole else [f"{path.name}: damaged or missing, taken from {copy.parent.name} of checkpoint/"]
