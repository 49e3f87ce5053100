"""One run's folder.

A run without summary.json did not finish. When a run continues from a checkpoint, later lines of metrics.jsonl and
samples.jsonl are removed, since the run writes them again.
"""

import contextlib
import math
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rlhf_sweeps.record.base_record import BaseRecord
from rlhf_sweeps.record.checked_objects import (
    digest_file,
    find_differences,
    locate_copy,
    mend_object,
    remove_object,
    salvage_object,
    set_aside,
    write_object,
)
from rlhf_sweeps.record.files import UNFINISHED, claim, open_atomically, remove, take_stamp, write_atomically
from rlhf_sweeps.record.hiding import hide_in_summary
from rlhf_sweeps.record.ownership import RUNS, refuse_foreign
from rlhf_sweeps.record.reading import open_record, raise_passing, read_bytes
from rlhf_sweeps.record.restarts import as_update
from rlhf_sweeps.record.rows import ReadPosition, append_rows, format_row, read_new_rows, salvage_rows

SCHEMA_VERSION = 1  # of run.json and summary.json
_MOST_REASON = 10_000  # bytes of a request to stop; ours have some hundred; chosen


class Run:
    """One run's folder.

    Attributes:
        folder: holds everything; it may be copied or moved as a whole.
        checkpoint: the folder of the checkpoints.
        model: the folder of the export, which from_pretrained loads.
        base: results about the base policy, if the run belongs to no sweep.
        start_file, metrics_file, samples_file, confirmation_file, summary_file: the methods below read and write these.
        config_file, hydra_file, overrides_file: the composed config, Hydra's own part of it, the user's overrides.
        log_file: the output of the run's process to stdout and stderr.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.checkpoint = self.folder / "checkpoint"
        self.model = self.folder / "model"
        self.base = BaseRecord(self.folder)
        self.start_file = self.folder / "run.json"
        self.metrics_file = self.folder / "metrics.jsonl"
        self.samples_file = self.folder / "samples.jsonl"
        self.confirmation_file = self.folder / "confirmation.jsonl"
        self.summary_file = self.folder / "summary.json"
        self.config_file = self.folder / ".hydra" / "config.yaml"
        self.hydra_file = self.folder / ".hydra" / "hydra.yaml"
        self.overrides_file = self.folder / ".hydra" / "overrides.yaml"
        self.log_file = self.folder / "rlhf_sweeps.log"
        self._stop = self.folder / "stop"
        self.read_position = ReadPosition()  # of metrics.jsonl

    def refuse_foreign(self) -> None:
        """Refuse a folder that holds a sweep, or files that this record would overwrite.

        Raises:
            NotOursError: if it does, and nothing proves that a run was begun there.
        """
        model = (self.model.name, f"{self.model.name}{UNFINISHED}", f"rlhf_sweeps_former_{self.model.name}")
        rows = (self.metrics_file, self.samples_file, self.confirmation_file)
        files = (self.start_file, *rows, self.summary_file, self.log_file)
        folders = (self.checkpoint.name, self.hydra_file.parent.name, "base", locate_copy(self.start_file).parent.name)
        names = (*model, *folders, *(file.name for file in files), self._stop.name)
        refuse_foreign(self.folder, (*names, "sweep.json"), self.start_file, self.hydra_file, RUNS)

    @contextlib.contextmanager
    def claim(self) -> Iterator[None]:
        """Lock the folder for this process; the operating system releases the lock when the process dies.

        Raises:
            InUseError: if another process has it.
        """
        with claim(self.folder, "another process is training there"):
            yield

    def mend(self) -> list[str]:
        """Restore damaged objects from their copies, and rename whatever is no file but has a file's name.

        The caller has claimed the folder. Rows are mended by `rewind`.

        Returns:
            one sentence for each problem.
        """
        problems = [*mend_object(self.start_file), *mend_object(self.summary_file)]
        ours = (self.config_file, self.hydra_file, self.overrides_file)
        for file in (*self.row_files, self.confirmation_file, self._stop, self.log_file, *ours):
            problems += set_aside(file)
        return problems

    def begin(
        self, config: Mapping[str, Any], fingerprints: Callable[[str], Mapping[str, str]] = lambda salt: {}
    ) -> dict[str, Any]:
        """The run's schema_version, id, config and references; written at its first start and read at all others.

        Args:
            fingerprints: salt -> fingerprints of the values of the config's references.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if (start := self.start()) is None:
            start = {"schema_version": SCHEMA_VERSION, "id": uuid.uuid4().hex[:12], "config": dict(config)}
            start["references"] = dict(fingerprints(start["id"]))
            write_object(self.start_file, start)
        return start

    def start(self) -> dict[str, Any] | None:
        """What `begin` wrote; None if no run has begun here, or if the file is lost."""
        start = salvage_object(self.start_file, [])
        is_sound = isinstance(start.get("config"), dict) and isinstance(start.get("id"), str)
        return start if is_sound else None

    def metrics(self) -> list[dict[str, Any]]:
        """One object for each update, oldest first; an incomplete last line is left out."""
        return _read_updates(self.metrics_file)

    def samples(self) -> list[dict[str, Any]]:
        """Evaluation samples: update, prompt, response, score, base_response, base_score, and all judges' scores."""
        return _read_updates(self.samples_file)

    def confirmation(self) -> list[dict[str, Any]]:
        """The final policy's answers to the confirming prompts, as `samples`; empty without them, or if damaged."""
        if self.find_changed_files(salvage_object(self.summary_file, []), self.confirmation_file):
            return []
        return _read_updates(self.confirmation_file)

    def write_confirmation(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write them at the end of a run."""
        write_atomically(self.confirmation_file, "".join(map(format_row, rows)))

    def append_metrics(self, row: Mapping[str, Any]) -> None:
        """Add one update's metrics."""
        append_rows(self.metrics_file, [row])

    def append_samples(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add one evaluation's samples."""
        append_rows(self.samples_file, rows)

    @property
    def row_files(self) -> tuple[Path, Path]:
        """The files that grow from update to update; a checkpoint holds copies of them."""
        return self.metrics_file, self.samples_file

    def find_gap(self, update: int, copies: Path | None = None) -> str | None:
        """What is wrong with metrics.jsonl, which must have one row for each update up to this one; None if nothing is.

        Args:
            copies: the checkpoint of the update, which holds copies of the row files; one of an earlier version does
                not.
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
        """Remove everything that was recorded after `update`.

        Args:
            copies: the checkpoint of the update, which holds copies of the row files. Without a copy, the rows of
                later updates are removed from the file.

        Returns:
            one sentence for each file that was damaged and is restored now.
        """
        problems = []
        for path in self.row_files:
            if copies is not None and (copies / path.name).exists():
                problems += _restore(path, copies / path.name)
            elif path.exists():
                write_atomically(
                    path, "".join(format_row(row) for row in _read_updates(path) if row["update"] <= update)
                )
        remove(self.confirmation_file)
        if self.summary_file.exists():
            # A run that wrote a summary has obeyed the request to stop; without a summary the request still stands.
            remove(self._stop)
            remove_object(self.summary_file)
        return problems

    def summary(self) -> dict[str, Any] | None:
        """status, objective, best_update, versions, cost ...; None if the run did not finish."""
        summary = salvage_object(self.summary_file, [])
        return summary if isinstance(summary.get("status"), str) else None

    def write_summary(self, summary: Mapping[str, Any], exported: Iterable[str] = ()) -> None:
        """Write summary.json, the last file of a run: the summary, and the digests of the run's files (`files`).

        Args:
            exported: the paths, within model/, of the files that the run wrote there.
        """
        left = [*self.row_files, self.confirmation_file, *(self.model / name for name in exported)]
        files = {path.relative_to(self.folder).as_posix(): digest_file(path) for path in left if path.is_file()}
        write_object(self.summary_file, {"schema_version": SCHEMA_VERSION, **hide_in_summary(summary), "files": files})

    def find_changed_files(self, summary: Mapping[str, Any], *places: Path) -> list[str]:
        """One sentence for each file that has changed since the run wrote its summary.

        Summaries of earlier versions hold no digests; then nothing is reported.

        Args:
            places: the files to compare, or folders of files.
        """
        digests = summary.get("files")
        recorded = digests if isinstance(digests, dict) else {}
        files = {name: self.folder / name for name in recorded}
        names = [name for name, file in files.items() if any(place in (file, *file.parents) for place in places)]
        return find_differences(self.folder, {name: str(recorded[name]) for name in names})

    def stop_reason(self) -> str | None:
        """Why the run was asked to stop; None if it was not."""
        try:
            text = read_bytes(self._stop, _MOST_REASON).decode("utf-8-sig", errors="replace")
        except OSError as error:
            raise_passing(error)
            return None
        return text.strip() or "unknown"

    def ask_to_stop(self, reason: str) -> None:
        """Ask the run to stop after its current update."""
        write_atomically(self._stop, reason)

    def reopen(self) -> None:
        """Remove the summary and the request to stop, so that the run can be continued."""
        remove(self._stop)
        remove_object(self.summary_file)

    def new_metrics(self) -> list[dict[str, Any]]:
        """The rows that were added since the last call; all rows after the run was rewound.

        Reading stops at a damaged line until the run is rewound, which mends the file.
        """
        try:
            rows, self.read_position = read_new_rows(self.metrics_file, self.read_position)
        except OSError as error:
            raise_passing(error)
            return []
        return [row for row in rows if _has_update(row)]

    def skip_present_rows(self) -> None:
        """Let `new_metrics` skip all present rows: the run continues from a checkpoint and mends the file first."""
        now = take_stamp(self.metrics_file)
        self.read_position = ReadPosition(now.inode, now.size)


def _read_updates(path: Path) -> list[dict[str, Any]]:
    return [row for row in salvage_rows(path, []) if _has_update(row)]


def _has_update(row: Mapping[str, Any]) -> bool:
    return not math.isnan(as_update(row.get("update")))


def _restore(path: Path, copy: Path) -> list[str]:
    """Restore a file from its copy; one sentence if the file's beginning differed from the copy."""
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
