"""The record: the only module that knows what a run's or a sweep's folder contains. Loads no torch.

A run without summary.json did not finish. Lines of metrics.jsonl and samples.jsonl beyond the checkpoint that a run
continues from are cut, since the run writes them again.
"""

import contextlib
import datetime
import fcntl
import json
import os
import socket
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

SCHEMA_VERSION = 1


class InUseError(RuntimeError):
    """Two processes would write one record."""


class BaseRecord:
    """What is found out about the base policy once, for all trials of a sweep and all starts of a run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "base"

    def read(self, name: str) -> list[dict[str, Any]]:
        """What `write` was given under this name; empty if nothing was."""
        return _read_lines(self._folder / f"{name}.jsonl")

    def write(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Keep some rows; the name stands for all that they depend on."""
        self._folder.mkdir(parents=True, exist_ok=True)
        _write_atomically(self._folder / f"{name}.jsonl", "".join(_line(row) for row in rows))


class Run:
    """One run's folder.

    Attributes:
        folder: where everything lies; may be copied or moved as a whole.
        checkpoint: what the run continues from.
        model: the export that from_pretrained loads.
        base: what is known about the base policy, where no sweep knows it.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.checkpoint = self.folder / "checkpoint"
        self.model = self.folder / "model"
        self.base = BaseRecord(self.folder)
        self._start = self.folder / "run.json"
        self._metrics = self.folder / "metrics.jsonl"
        self._samples = self.folder / "samples.jsonl"
        self._summary = self.folder / "summary.json"
        self._stop = self.folder / "stop"
        self._inode, self._position = -1, 0  # of metrics.jsonl, as far as new_metrics has read it

    @contextlib.contextmanager
    def claim(self) -> Iterator[None]:
        """Keep the folder to this process; the operating system gives it free when the process dies.

        Raises:
            InUseError: if another process has it.
        """
        with _claim(self.folder, "another process is training there"):
            yield

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
        """Evaluation samples: update, prompt, response, score, base_response, base_score; of every judge, too."""
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

    def ask_to_stop(self, reason: str) -> None:
        """Have the run end after the update that it is at."""
        _write_atomically(self._stop, reason)

    def reopen(self) -> None:
        """Forget how the run ended and that it was asked to, so that it can be continued."""
        self._stop.unlink(missing_ok=True)
        self._summary.unlink(missing_ok=True)

    def new_metrics(self) -> list[dict[str, Any]]:
        """The updates that this object has not given yet; all of them again once the run has been rewound."""
        try:
            with self._metrics.open("rb") as file:
                inode = os.fstat(file.fileno()).st_ino
                if inode != self._inode:
                    self._inode, self._position = inode, 0
                file.seek(self._position)
                content = file.read()
        except FileNotFoundError:
            return []
        whole = content[: content.rfind(b"\n") + 1]
        self._position += len(whole)
        return _parse_lines(whole)


class Sweep:
    """One sweep's folder.

    Attributes:
        folder: where everything lies; may be copied or moved as a whole.
        study: the file of the Optuna study.
        base: what is known about the base policy.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.study = self.folder / "study.db"
        self.base = BaseRecord(self.folder)
        self._start = self.folder / "sweep.json"
        self._holder = self.folder / "sweeper.json"
        self._results = self.folder / "optimization_results.yaml"
        self._comparison = self.folder / "comparison.json"

    def trial(self, number: int) -> Path:
        """The folder of a trial: its run, or its runs by seed."""
        return self.folder / str(number)

    def trials(self) -> list[int]:
        """The numbers of the trials that have a folder."""
        return sorted(int(path.name) for path in self.folder.glob("[0-9]*") if path.name.isdigit() and path.is_dir())

    def run(self, number: int, seed: int | None) -> Run:
        """A trial's run; with a seed where it has one for each of several seeds."""
        return Run(self.trial(number) if seed is None else self.trial(number) / f"seed_{seed}")

    def test_run(self, number: int, seed: int) -> Run:
        """The run of a trial's setting on a test seed."""
        return Run(self.folder / "test" / f"{number}_seed_{seed}")

    @contextlib.contextmanager
    def claim(self) -> Iterator[None]:
        """Keep the sweep to this process; the operating system gives it free when the process dies.

        Raises:
            InUseError: if another sweeper has it; the message has its process and host.
        """
        holder = _read_json(self._holder) or {}
        who = f"process {holder.get('process')} on {holder.get('host')} is sweeping there since {holder.get('since')}"
        with _claim(self.folder, who):
            since = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
            _write_json(self._holder, {"process": os.getpid(), "host": socket.gethostname(), "since": since})
            yield

    def start(self) -> dict[str, Any] | None:
        """What the sweep was begun with, and what it carries from start to start; None in a new folder."""
        return _read_json(self._start)

    def write_start(self, start: Mapping[str, Any]) -> None:
        """Write what `start` gives."""
        _write_json(self._start, {"schema_version": SCHEMA_VERSION, **start})

    def write_results(self, results: Mapping[str, Any]) -> None:
        """Write optimization_results.yaml."""
        _write_atomically(self._results, yaml.safe_dump(dict(results), sort_keys=False, allow_unicode=True))

    def comparison(self) -> dict[str, Any] | None:
        """The matrix train reward model x judge; None where reward models were not compared."""
        return _read_json(self._comparison)

    def write_comparison(self, comparison: Mapping[str, Any]) -> None:
        """Write comparison.json."""
        _write_json(self._comparison, {"schema_version": SCHEMA_VERSION, **comparison})


@contextlib.contextmanager
def _claim(folder: Path, refusal: str) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InUseError(refusal) from error
        yield
    finally:
        os.close(handle)


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
    return _parse_lines(path.read_bytes())


def _parse_lines(content: bytes) -> list[dict[str, Any]]:
    # Split at the newline only: responses may hold other line separators, such as U+2028.
    return [json.loads(line) for line in content.split(b"\n")[:-1]]


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
