"""The copy of a record that is published: what the analysis reads of it, and nothing of the machine."""

import re
import shutil
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from analysis.comparison.run_values import find_best_update
from analysis.publication.traces import Clean, clean_content, make_cleaner, refuse_unreadable, shorten_paths
from analysis.reading.folders import read_run
from rlhf_sweeps.record import (
    Run,
    Sweep,
    as_mapping,
    digest_file,
    list_runs,
    read_words,
    salvage_hydra,
    salvage_object,
    salvage_samples,
    write_atomically,
    write_object,
)
from rlhf_sweeps.record.rows import format_row

# A database elsewhere: its URL names a host, and is of no use to others.
_STORAGE = "hydra.sweeper.storage="
_STORAGE_KEY = re.compile(r"^(hydra:\n(?:(?: .*)?\n)*?  sweeper:\n(?:    .*\n)*?    storage:) .*$", re.MULTILINE)
_STORAGE_WORD = re.compile(r"^\s*- \W*hydra\.sweeper\.storage=.*\n", re.MULTILINE)
# Fingerprints of the values of environment variables: they serve a start on the same machine.
_OF_STARTS = ("references",)
# Optuna's columns of texts that our sweeps fill.
_TEXTS_OF_STUDIES = (
    ("study_user_attributes", "value_json"),
    ("trial_user_attributes", "value_json"),
    ("trial_system_attributes", "value_json"),
    ("trial_params", "distribution_json"),
)


def copy_record(record: Run | Sweep, target: Path, name: str, is_thinned: bool) -> None:
    """Write the copy of a run or a sweep; weights, logs, locks and what only a new start needs are left out.

    Args:
        target: the folder to write into.
        name: the folder, relative to the working folder, that the copy will have.
        is_thinned: whether only the samples of the first, the best and the last evaluation are copied.
    """
    folders = _list_folders(record, name)
    clean = make_cleaner(folders)
    if isinstance(record, Run):
        _copy_run(record, Run(target), clean, is_thinned)
        return
    copy = Sweep(target)
    for place in list_runs(record):
        inner = place.run.folder.relative_to(record.folder)
        # The sweep may have been begun in another working folder, and moved since.
        own = make_cleaner({**_list_folders(place.run, f"{name}/{inner.as_posix()}"), **folders})
        _copy_run(place.run, Run(target / inner), own, is_thinned)
    _copy_objects([(record.start_file, copy.start_file), (record.comparison_file, copy.comparison_file)], clean)
    _copy_texts([(record.results_file, copy.results_file)], clean)
    _copy_texts([(record.hydra_file, copy.hydra_file)], lambda text: _drop_storage(clean(text)))
    if record.study.is_file():
        _copy_study(record.study, copy.study, clean)


def _list_folders(record: Run | Sweep, name: str) -> dict[str, str]:
    """Absolute folders that the record names -> what stands for them in the copy."""
    hydra = salvage_hydra(record, [])
    runtime = as_mapping(hydra.get("runtime"))
    begun_in = str(runtime.get("cwd") or Path.cwd())
    folders = {begun_in: "", str(Path.cwd()): ""}
    for key, part in (("run", Run), ("sweep", Sweep)):
        recorded = as_mapping(hydra.get(key)).get("dir")
        if isinstance(record, part) and isinstance(recorded, str) and "${" not in recorded:
            folders[str(Path(begun_in) / recorded)] = name
    if isinstance(record, Run) and isinstance(recorded := runtime.get("output_dir"), str):
        folders[recorded] = name
    folders[str(record.folder.absolute())] = name
    if "--config-path" not in read_words(hydra):  # then the files are those of the project
        sources = runtime.get("config_sources")
        for source in sources if isinstance(sources, list) else []:
            if as_mapping(source).get("provider") == "main":
                folders.setdefault(str(as_mapping(source).get("path")), "conf")
    return {folder: stand_in for folder, stand_in in folders.items() if Path(folder).is_absolute()}


def _copy_run(run: Run, copy: Run, clean: Clean, is_thinned: bool) -> None:
    copy.config_file.parent.mkdir(parents=True, exist_ok=True)
    _copy_texts([(run.config_file, copy.config_file), (run.overrides_file, copy.overrides_file)], clean)
    _copy_texts([(run.hydra_file, copy.hydra_file)], lambda text: _drop_storage(clean(text)))
    files, targets = (*run.row_files, run.confirmation_file), (*copy.row_files, copy.confirmation_file)
    for file, target in zip(files, targets, strict=True):
        if file.is_file():
            shutil.copyfile(file, target)
    changed = {}
    if is_thinned and run.samples_file.is_file():
        rows = thin_samples(salvage_samples(run)[0], find_best_update(read_run(run, run.folder.name)))
        write_atomically(copy.samples_file, "".join(map(format_row, rows)))
        changed = {copy.samples_file.name: digest_file(copy.samples_file)}
    _copy_objects([(run.start_file, copy.start_file)], clean)
    if summary := salvage_object(run.summary_file, []):
        digests = {**as_mapping(summary.get("files")), **changed}
        _write_clean({**summary, "files": digests}, copy.summary_file, lambda text: shorten_paths(clean(text)))


def thin_samples(rows: Sequence[Mapping[str, Any]], best: float | None) -> list[Mapping[str, Any]]:
    """The samples of the first, the best and the last evaluation, each of them whole.

    Args:
        best: the update of the best evaluation; None where it is unknown.
    """
    updates = [row.get("update") for row in rows]
    whole = {*updates[:1], *updates[-1:], best}
    return [row for row, update in zip(rows, updates, strict=True) if update in whole]


def _copy_objects(pairs: Iterable[tuple[Path, Path]], clean: Clean) -> None:
    for file, target in pairs:
        if content := salvage_object(file, []):
            _write_clean(content, target, clean)


def _write_clean(content: Mapping[str, Any], target: Path, clean: Clean) -> None:
    cleaned = clean_content({key: value for key, value in content.items() if key not in _OF_STARTS}, clean)
    if isinstance(words := cleaned.get("arguments"), list):
        cleaned["arguments"] = [word for word in words if not str(word).lstrip("+").startswith(_STORAGE)]
    write_object(target, cleaned, is_kept_twice=False)


def _copy_texts(pairs: Iterable[tuple[Path, Path]], clean: Clean) -> None:
    """Copy files of YAML; a path without spaces stands in one line there, whatever the length."""
    for file, target in pairs:
        if file.is_file():
            with refuse_unreadable(file):
                text = file.read_text(encoding="utf-8")
            write_atomically(target, clean(text))


def _drop_storage(text: str) -> str:
    """Hydra's own settings without the sweeper's database; a key `storage` of the user's config is another thing."""
    return _STORAGE_KEY.sub(r"\1 null", _STORAGE_WORD.sub("", text))


def _copy_study(file: Path, target: Path, clean: Clean) -> None:
    """Copy an SQLite file as one transaction sees it, without the pages of what was deleted."""
    with refuse_unreadable(file), closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as source:
        source.execute("VACUUM INTO ?", (str(target),))
    with refuse_unreadable(file), closing(sqlite3.connect(target)) as study:
        study.create_function("clean", 1, clean)
        study.create_function("shorten", 1, shorten_paths)
        for table, column in _TEXTS_OF_STUDIES:
            study.execute(f"UPDATE {table} SET {column} = clean({column})")
        study.execute("UPDATE trial_user_attributes SET value_json = shorten(value_json) WHERE key = 'message'")
        study.commit()
        study.execute("VACUUM")
