"""Which runs and sweeps lie in a folder.

Other programs use the same file names, so the content of a file decides, too, whether it belongs to a record.
"""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rlhf_sweeps.record.files import analysis_folder
from rlhf_sweeps.record.natural_order import natural_key
from rlhf_sweeps.record.reading import parse_object, read_bytes, read_lines
from rlhf_sweeps.record.run import Run
from rlhf_sweeps.record.sweep import Sweep

_SEED = re.compile("seed_(0|-?[1-9][0-9]*)")
_TEST = re.compile("(0|[1-9][0-9]*)_seed_(0|-?[1-9][0-9]*)")
# Every object that we write has at least one of these keys.
_KEYS = frozenset({"schema_version", "config", "status"})


class RunOfSweep(NamedTuple):
    """A run and its trial; the seed is None if the trial has a single run."""

    trial: int
    seed: int | None
    is_test: bool
    run: Run


def is_run(folder: Path) -> bool:
    """Whether a folder holds anything that a run wrote; another trainer's files of the same names do not count."""
    run = Run(folder)
    return _is_ours(run.start_file) or _has_rows(run.metrics_file, "update") or _is_ours(run.summary_file)


def is_sweep(folder: Path) -> bool:
    """Whether a folder holds anything that a sweep wrote, be it numbered runs only."""
    return any(isinstance(record, Sweep) and record.folder == folder for record in find_records(folder))


def list_runs(sweep: Sweep) -> list[RunOfSweep]:
    """All runs of a sweep, ordered by trial, with those on test seeds last.

    A trial that has begun counts, although it has recorded nothing yet; a folder with a trial's name and no run in it
    does not.
    """
    runs = []
    for trial in sweep.trials():
        folder = sweep.trial(trial)
        seeds = sorted(int(match[1]) for path in folder.iterdir() if (match := _SEED.fullmatch(path.name)))
        several: list[int | None] = [*seeds] or [None]
        runs += [RunOfSweep(trial, seed, False, sweep.run(trial, seed)) for seed in several]
    tests = sorted(
        (int(match[1]), int(match[2]))
        for path in (sweep.folder / "test").glob("*")
        if (match := _TEST.fullmatch(path.name))
    )
    runs += [RunOfSweep(trial, seed, True, sweep.test_run(trial, seed)) for trial, seed in tests]
    return [place for place in runs if _has_begun(place.run)]


def find_records(folder: Path) -> Iterator[Run | Sweep]:
    """The run or sweep in a folder; if the folder itself is neither, all runs and sweeps below it, ordered by name.

    Numbered runs count as a sweep even if the sweep's own files are lost, unless other runs lie beside them.
    The analysis' own folder is left out, although some of its files have the names of a record's files.
    """
    if is_run(folder):
        yield Run(folder)
        return
    sweep = Sweep(folder)
    own = {record.run.folder for record in list_runs(sweep)}
    if own and _has_record(sweep):
        yield sweep
        return
    inner = [record for path in _list_folders(folder) for record in find_records(path)]
    is_whole = all(record.folder in own for record in inner) if inner else _has_record(sweep)
    yield from [sweep] if is_whole else inner


def find_owner(file: Path) -> Run | Sweep | None:
    """The run or sweep whose record a file belongs to; None for any other file.

    A file with the name of a run's file belongs to one if its folder is a run, or if it holds evaluation samples.
    """
    run, sweep = Run(file.parent), Sweep(file.parent)
    samples = (run.samples_file, run.confirmation_file)
    if file in (run.start_file, run.metrics_file, run.summary_file, *samples):
        is_ours = is_run(run.folder) or (file in samples and _has_rows(file, "update", "prompt"))
        return run if is_ours else None
    if file in (sweep.start_file, sweep.holder_file, sweep.study, sweep.hydra_file, sweep.comparison_file):
        return sweep if is_sweep(sweep.folder) else None
    whole = Path(os.path.normpath(file.absolute()))  # a relative path need not name the run's folder
    run = Run(whole.parent.parent)
    return run if whole in (run.config_file, run.hydra_file, run.overrides_file) else None


def _is_ours(file: Path) -> bool:
    """Whether a file may hold an object that we wrote; a damaged or an empty file may."""
    try:
        text = read_bytes(file)
    except OSError:
        return file.is_file()
    if (content := parse_object(text)) is None:
        return not _is_json(text)
    return not content or not _KEYS.isdisjoint(content)


def _has_rows(file: Path, *keys: str) -> bool:
    """Whether any readable line of a file of JSON lines has all these keys."""
    names = [f'"{key}"'.encode() for key in keys]
    try:
        lines = (line for line in read_lines(file) if line is not None)
        return any(all(name in line for name in names) and _has_keys(line, keys) for line in lines)
    except OSError:
        return file.is_file()


def _has_keys(line: bytes, keys: tuple[str, ...]) -> bool:
    row = parse_object(line)
    return not _is_json(line) if row is None else all(key in row for key in keys)


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _has_record(sweep: Sweep) -> bool:
    objects = (sweep.start_file, sweep.comparison_file)
    return any(file.is_file() for file in (sweep.study, sweep.hydra_file)) or any(map(_is_ours, objects))


def _has_begun(run: Run) -> bool:
    """Whether a run has begun here: before it records anything, Hydra's config shows it."""
    signs = (run.config_file, run.samples_file, run.log_file, run.checkpoint, run.folder / "wandb")
    return is_run(run.folder) or any(sign.exists() for sign in signs)


def _list_folders(folder: Path) -> list[Path]:
    """The subfolders in which records may lie, ordered by name."""
    paths = sorted(folder.iterdir(), key=lambda path: natural_key(path.name))
    own = [path for path in paths if not path.name.startswith(".") and path != analysis_folder(folder)]
    return [path for path in own if path.is_dir() and not path.is_symlink()]
