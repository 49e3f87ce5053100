"""Reads a record from any place: a folder, a table, W&B's files, a W&B project."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from analysis.reading.conversion import make_keywords
from analysis.reading.folders import read_folder
from analysis.records.runs import RunRecord, Source
from analysis.wording.errors import AnalysisError
from analysis.wording.statements import join_words
from rlhf_sweeps.process.activity import report_activity
from rlhf_sweeps.record import find_owner, find_records, is_masked
from rlhf_sweeps.wording import suggest_path

PROJECT = "wandb:"
TABLES = (".csv", ".tsv", ".parquet")
JSON = (".jsonl", ".json")
_KINDS = ", ".join((*TABLES, *JSON))
_ALLOWED = f"a folder of a run or sweep, a table ({_KINDS}), W&B's files (.wandb), or wandb:entity/project"


def read(place: str | Path, storage: str | None = None) -> Source:
    """The source that a place holds.

    Args:
        place: a run's or a sweep's folder, a folder with several of them, one of their files, a table, a .wandb file or
            a folder with such files, or wandb:entity/project. A file is read alone, whatever lies beside it; one of a
            run's or a sweep's record stands for that run or sweep.
        storage: where a sweep's study is, if not in its folder; no other database is opened, whatever a record names.

    Raises:
        AnalysisError: if there is no such place, or nothing of that kind in it.
    """
    text = str(place)
    if text.startswith(PROJECT):
        from analysis.reading.wandb_projects import read_project

        return read_project(text.removeprefix(PROJECT))
    path = Path(place)
    if not path.exists():
        hint = f"; for a W&B project write {PROJECT}{text}" if text.count("/") == 1 and "outputs" not in text else ""
        raise AnalysisError(f"{text}: there is no such file or folder{suggest_path(path) or hint}")
    if path.is_dir():
        return _read_directory(path, storage)
    suffix = path.suffix.lower()
    if suffix == ".wandb":
        return _read_logs(path)
    if suffix in (*JSON, ".db", ".yaml") and (whole := find_owner(path)) is not None:
        return read_folder(whole, storage=storage)
    if suffix in (*TABLES, *JSON):
        from analysis.reading.tables import read_table

        return read_table(path)
    if suffix in (".db", ".yaml"):
        raise AnalysisError(f"{path}: is no file of a run or sweep (allowed: {_ALLOWED})")
    raise AnalysisError(f"{text}: cannot be read (allowed: {_ALLOWED})")


def read_all(places: Sequence[str | Path], storage: str | None = None) -> Source:
    """One place, or several as one: the runs of each are named after it. The arguments are those of `read`.

    Raises:
        AnalysisError: as `read`.
    """
    if storage is not None and is_masked(storage):
        raise AnalysisError(f"--storage={storage}: its password is masked, so it cannot be used; give the password")
    sources = [read(place, storage) for place in places]
    return sources[0] if len(sources) == 1 else join_sources("together", sources)


def join_sources(name: str, sources: Sequence[Source], folder: Path | None = None) -> Source:
    """Several sources as one of kind `folder`; trials and studies are of one sweep, so there are none."""
    names = [source.name for source in sources]
    labels = [f"{name}({index})" if names.count(name) > 1 else name for index, name in enumerate(names)]
    runs: list[RunRecord] = []
    for label, source in zip(labels, sources, strict=True):
        runs += [_rename_run(source, run, label) for run in source.runs]
    objectives = list(dict.fromkeys(run.looked_for for run in runs if run.looked_for))
    problems = [f"{label}: {text}" for label, source in zip(labels, sources, strict=True) for text in source.problems]
    silent = [run.name for run in runs if run.looked_for is None]
    if silent and len(objectives) == 1:
        problems.append(
            f"{join_words(silent)}: no config names an objective; assumed to be that of the other runs "
            f"({objectives[0].text})"
        )
    return Source(
        name,
        "folder",
        runs,
        **make_keywords(objectives[0] if len(objectives) == 1 else None),
        problems=tuple(problems),
        folder=folder,
    )


def _rename_run(source: Source, run: RunRecord, label: str) -> RunRecord:
    """A run of a source among those of others, outside of its sweep."""
    return replace(run, name=label if source.kind == "run" else f"{label}/{run.name}", trial=None)


def _read_directory(folder: Path, storage: str | None) -> Source:
    try:
        places = list(find_records(folder))
    except OSError as error:
        raise AnalysisError(f"{error.filename or folder}: {error.strerror}") from error
    if len(places) == 1:
        return read_folder(places[0], storage=storage)
    if places:
        sources = []
        with report_activity(f"{len(places)} records in {folder}", len(places)) as reading:
            for place in places:
                sources.append(read_folder(place, str(place.folder.relative_to(folder)), storage))
                reading.done += 1
        return join_sources(folder.resolve().name, sources, folder)
    if any(folder.rglob("*.wandb")):
        return _read_logs(folder)
    if (table := folder / "metrics.jsonl").is_file():  # another trainer's
        return read(table)
    raise AnalysisError(f"{folder}: holds no run and no sweep (allowed: {_ALLOWED})")


def _read_logs(path: Path) -> Source:
    from analysis.reading.wandb_logs import read_logs

    return read_logs(path)
