"""W&B's own local files, of runs online and offline, when the run's folder is gone or damaged.

A run that was continued has a file for each start. Left out: system metrics, console output, artifacts.
"""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from analysis.reading.wandb_file import is_log, read_contents
from analysis.reading.wandb_rows import STEP, find_row_axis
from analysis.reading.wandb_runs import SWEEP, WandbRun, make_run, name_runs, read_logged_table, select_samples
from analysis.reading.wandb_sweeps import make_source
from analysis.records.runs import RunRecord, Samples, Source
from analysis.wording.errors import AnalysisError
from rlhf_sweeps.record import MOST_FILE, natural_key, read_bytes

_TABLES = "files/media/table"
_FILE = re.compile(r"run-(.+)\.wandb")
# Where a run lies below its sweep: 3, 3/seed_1, test/3_seed_7.
_PLACE = re.compile(r"(?:^|/)(test/(\d+)_seed_-?\d+|(\d+)(?:/seed_-?\d+)?)$")


@dataclass(frozen=True, eq=False)
class WandbLog:
    """The content of one .wandb file, or of all files of one run.

    Attributes:
        id, name, group, job_type, project: as W&B knows the run; empty where the file does not say.
        config: nested, as it was logged.
        rows: one for each history step; a nested value as `samples.path`.
        summary: the last value of each key.
        exit_code: None where the run's end is not in the file.
        start_time: seconds since 1970; 0 where unknown.
        is_resumed: whether W&B was to continue the run, with its steps.
        branch: the run that this start goes on from and that run's last step which counts: after a rewind the same
            run, after a fork another one. None for any other start.
        root: the run's folder at that time.
        problems: sentences on damage.
        paths: the files, oldest first.
    """

    id: str
    name: str = ""
    group: str = ""
    job_type: str = ""
    project: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    exit_code: int | None = None
    start_time: float = 0.0
    is_resumed: bool = False
    branch: tuple[str, float] | None = None
    root: str = ""
    problems: tuple[str, ...] = ()
    paths: tuple[Path, ...] = ()


def read_log(path: Path) -> WandbLog:
    """One .wandb file, as far as it is readable; its problems name the damage.

    Raises:
        AnalysisError: if there is no such file.
    """
    problems: list[str] = []
    name = _FILE.fullmatch(path.name)
    fields: dict[str, Any] = {"id": name[1] if name else path.stem, "paths": (path,)}
    try:
        content = read_bytes(path, MOST_FILE)
    except FileNotFoundError as error:
        raise AnalysisError(f"{path}: there is no such file") from error
    except OSError as error:
        return WandbLog(**fields, problems=(f"{path.name}: {error.strerror}",))
    if is_log(content):
        fields |= read_contents(content, problems)
        if not fields.get("start_time") and fields["rows"]:  # the run's own record is damaged
            fields["start_time"] = _read_number(fields["rows"][0], "_timestamp")
        if (branch := fields.get("branch")) and branch[0] != fields["id"]:
            problems.append(
                f"forked from run {branch[0]} at its step {branch[1]:g}: the earlier steps are in the file of that run"
            )
        if not fields["rows"] and not problems:
            problems.append("holds no metrics yet: W&B writes them with a delay, which a killed run loses")
    else:
        problems.append("empty" if not content else "not a W&B log")
    return WandbLog(**fields, problems=tuple(f"{path.name}: {problem}" for problem in problems))


def read_runs_from_logs(paths: Iterable[Path]) -> list[RunRecord]:
    """The runs whose logs lie in some places, each once, by trial; a sweep's own W&B run is none of them.

    Args:
        paths: .wandb files, runs' folders (`offline-run-...`), `wandb` folders, or any folders with such in them.

    Raises:
        AnalysisError: if a path does not exist.
    """
    return name_runs(run for run in _read_by_start(paths) if not isinstance(run, tuple))


def read_logs(path: Path) -> Source:
    """The runs in a place as a source, with the trials, objectives and directions of the sweep whose W&B run is there.

    Raises:
        AnalysisError: if there is no run.
    """
    logged = _read_by_start([path])
    runs = [run for run in logged if not isinstance(run, tuple)]
    if not runs:
        raise AnalysisError(f"{path}: holds no run of W&B (allowed: .wandb files and folders with such)")
    sweeps = [run for run in logged if isinstance(run, tuple)]
    return make_source(path.absolute().stem, runs, sweeps, path if path.is_dir() else path.parent)


def _read_by_start(paths: Iterable[Path]) -> list[WandbRun | tuple[WandbRun, Samples]]:
    """Each run, by its first start; a sweep's own with its table of trials."""
    started: list[tuple[float, str, WandbRun | tuple[WandbRun, Samples]]] = []
    for log in _read_merged_logs(paths):  # one at a time: rows take ten times the memory that a record does
        run = _make_wandb_run(log)
        started.append((log.start_time, log.id, (run, _read_trials_table(log.paths)) if log.job_type == SWEEP else run))
    return [run for _, _, run in sorted(started, key=lambda entry: (entry[0], natural_key(entry[1])))]


def _read_merged_logs(paths: Iterable[Path]) -> Iterator[WandbLog]:
    """One log for each run; the files of one are called the same."""
    by_name: dict[str, list[Path]] = {}
    for path in sorted(
        {file.resolve() for place in paths for file in _list_files(place)}, key=lambda path: natural_key(str(path))
    ):
        by_name.setdefault(path.name, []).append(path)
    for files in by_name.values():
        logs = [read_log(path) for path in files]
        projects = sorted({log.project for log in logs if log.project}) or [""]
        for project in projects:  # a damaged file does not say which: it is of the first
            yield merge_logs([log for log in logs if (log.project or projects[0]) == project])


def _list_files(place: Path) -> list[Path]:
    if not place.exists():
        raise AnalysisError(f"{place}: there is no such file or folder")
    return [place] if place.is_file() else [path for path in place.rglob("*.wandb") if path.is_file()]


def merge_logs(logs: Sequence[WandbLog]) -> WandbLog:
    """The logs of one run, in any order, as one.

    A later start goes on from a checkpoint, so it replaces what an earlier one logged from there on; a rewind says
    itself which of W&B's steps is the last that counts. Offline every start counts these from 0 again: they are counted
    on, unless they alone say where a start begins.
    """
    logs = sorted(logs, key=lambda log: log.start_time)
    axis = find_row_axis([row for log in logs for row in log.rows])
    rows: list[dict[str, Any]] = []
    for log in logs:
        new = log.rows
        rewound_to = log.branch[1] if log.branch is not None and log.branch[0] == log.id else None
        if rewound_to is not None:
            rows = [row for row in rows if _read_number(row, STEP) <= rewound_to]
        if log.is_resumed or rewound_to is not None or axis != STEP:
            new = _continue_steps(new, rows)
        first = min((_read_number(row, axis) for row in new if axis in row), default=float("inf"))
        rows = [row for row in rows if _read_number(row, axis) < first] + new
    last = logs[-1]
    return replace(
        last,
        config=next((log.config for log in reversed(logs) if log.config), {}),
        rows=rows,
        start_time=logs[0].start_time,
        problems=tuple(problem for log in logs for problem in log.problems),
        paths=tuple(path for log in logs for path in log.paths),
    )


def _continue_steps(new: list[dict[str, Any]], rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of a start that goes on, by W&B's steps after those before: offline, a start counts from 0 again."""
    last = max((_read_number(row, STEP) for row in rows), default=-math.inf)
    if last == -math.inf or min((_read_number(row, STEP) for row in new), default=math.inf) > last:
        return new
    return [{**row, STEP: _read_number(row, STEP) + last + 1} if STEP in row else row for row in new]


def _read_number(row: dict[str, Any], axis: str) -> float:
    value = row.get(axis)
    return float(value) if isinstance(value, int | float) else float("-inf")


def _make_wandb_run(log: WandbLog) -> WandbRun:
    folder = next((path.parent for path in log.paths), Path())
    places = [folder.parent.parent.as_posix(), log.root] if log.group else []
    place = next((match for text in places if (match := _PLACE.search(text))), None)
    state = "running" if log.exit_code is None else "finished" if log.exit_code == 0 else "failed"
    trial = None if place is None else int(place[2] or place[3])
    return WandbRun(
        id=log.id,
        name=place[1] if place else log.name,
        group=log.group,
        run=make_run(log.config, log.rows, log.summary, state, log.problems, partial(_read_samples, log.paths)),
        trial=trial,
        is_test=place is not None and place[2] is not None,
        settings=log.config,
    )


def _read_samples(paths: Sequence[Path]) -> Samples:
    """The evaluation samples of all starts; a later start replaces those of an earlier one from there on."""
    rows: Samples = []
    for path in paths:
        tables = [select_samples(read_logged_table(file)) for file in (path.parent / _TABLES).glob("*.table.json")]
        new = sorted((row for table in tables for row in table), key=lambda row: _read_number(row, "update"))
        first = min((_read_number(row, "update") for row in new), default=float("inf"))
        rows = [row for row in rows if _read_number(row, "update") < first] + new
    return rows


def _read_trials_table(paths: Sequence[Path]) -> Samples:
    """The newest table of trials that the sweep has logged, trials_STEP_HASH; empty if there is none."""
    for path in reversed(paths):
        files = (path.parent / _TABLES / "sweep").glob("trials_*.table.json")
        for file in sorted(files, key=lambda file: (len(file.name.split("_")[1]), file.name), reverse=True):
            if table := read_logged_table(file):
                return table
    return []
