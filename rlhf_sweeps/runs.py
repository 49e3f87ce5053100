"""The record: the only module that knows what a run's folder contains. Loads no torch.

A run without summary.json did not finish. Lines of metrics.jsonl and samples.jsonl beyond the checkpoint that a run
continues from are cut, since the run writes them again.
"""

import contextlib
import fcntl
import json
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 1


class InUseError(RuntimeError):
    """Two processes would write one record."""


class Run:
    """One run's folder.

    Attributes:
        folder: where everything lies; may be copied or moved as a whole.
        checkpoint: what the run continues from.
        model: the export that from_pretrained loads.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.checkpoint = self.folder / "checkpoint"
        self.model = self.folder / "model"
        self._start = self.folder / "run.json"
        self._metrics = self.folder / "metrics.jsonl"
        self._samples = self.folder / "samples.jsonl"
        self._summary = self.folder / "summary.json"
        self._stop = self.folder / "stop"

    @contextlib.contextmanager
    def claim(self) -> Iterator[None]:
        """Keep the folder to this process; the operating system gives it free when the process dies.

        Raises:
            InUseError: if another process has it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise InUseError("another process is training there") from error
            yield
        finally:
            os.close(handle)

    def begin(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """What was fixed at the run's first start: schema_version, id, config. Written then, read ever after."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if (start := self.start()) is None:
            start = {"schema_version": SCHEMA_VERSION, "id": uuid.uuid4().hex[:12], "config": dict(config)}
            _write_json(self._start, start)
        return start

    def start(self) -> dict[str, Any] | None:
        """What `begin` wrote; None in a folder where no run has begun."""
        return _read_json(self._start)

    def metrics(self) -> list[dict[str, Any]]:
        """One object per update, oldest first; a last line that was cut off by a kill is left out."""
        return _read_lines(self._metrics)

    def samples(self) -> list[dict[str, Any]]:
        """Evaluation samples: update, prompt, response, score, base_response, base_score."""
        return _read_lines(self._samples)

    def append_metrics(self, row: Mapping[str, Any]) -> None:
        """Add one update's metrics."""
        _append_lines(self._metrics, [row])

    def append_samples(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add one evaluation's samples."""
        _append_lines(self._samples, rows)

    def rewind(self, update: int) -> None:
        """Forget what was recorded after `update`."""
        for path in (self._metrics, self._samples):
            if path.exists():
                kept = [row for row in _read_lines(path) if row["update"] <= update]
                _write_atomically(path, "".join(_line(row) for row in kept))
        if self._summary.exists():
            # The request to stop has been met; without a summary, it still stands.
            self._stop.unlink(missing_ok=True)
            self._summary.unlink()

    def summary(self) -> dict[str, Any] | None:
        """status, objective, best_update, versions, cost ...; None if the run did not finish."""
        return _read_json(self._summary)

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """The last thing that a run writes."""
        _write_json(self._summary, {"schema_version": SCHEMA_VERSION, **summary})

    def stop_reason(self) -> str | None:
        """Why the run was asked to end, or None if it was not."""
        try:
            return self._stop.read_text(encoding="utf-8").strip() or "unknown"
        except FileNotFoundError:
            return None


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


def _append_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write("".join(_line(row) for row in rows))
        file.flush()
        os.fsync(file.fileno())


def _read_lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    # Split at the newline only: responses may hold other line separators, such as U+2028.
    lines = path.read_bytes().split(b"\n")
    rows: list[dict[str, Any]] = [json.loads(line) for line in lines[:-1]]
    return rows


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return content


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    _write_atomically(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _write_atomically(path: Path, text: str) -> None:
    """A reader sees the old text or the new one, also after a power cut."""
    unfinished = path.with_name(path.name + ".unfinished")
    with unfinished.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
