"""A record is published: its copy in outputs/showcase, its setting in conf/experiment, its row in the table."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from analysis.publication.copying import copy_record
from analysis.publication.experiment import EXPERIMENTS, RECORD_LINE, make_experiment
from analysis.publication.traces import refuse_traces
from analysis.publication.tuned_table import SHOWCASE, describe_progress, make_page, make_row, write_table
from analysis.reading.folders import read_folder
from analysis.results.results import Results
from analysis.wording.errors import AnalysisError
from rlhf_sweeps.record import Run, Sweep, analysis_folder, find_records, report_file, write_atomically

LARGEST_SHOWCASE = 3_000_000  # bytes of all published records together: every clone of the repository has them
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_CHOICE = re.compile("[a-z0-9_]+")  # as the other choices of conf/ are called
# Names that our .gitignore leaves out, for where there is no git.
_IGNORED_NAME = re.compile(
    r"analysis|base|build|checkpoint|dist|model|wandb|report\.html|sweeper\.json|.*\.(bin|egg-info|log|pt|safetensors)"
)
_MOST_NAMES = 3  # files that are named where there are too many bytes


def publish(place: Path, name: str, experiment: str | None = None) -> tuple[list[Path], list[str]]:
    """Publish the record of a run or a sweep; nothing is written unless all of it can be.

    Args:
        place: the folder of the record.
        name: of the copy in outputs/showcase.
        experiment: the name of the choice that gets the setting; None: none is written.

    Returns:
        what was written, and a sentence for each thing that a reader should know.

    Raises:
        AnalysisError: if the working folder is no checkout, a name is taken, or the record cannot be published.
    """
    _refuse_other_folders()
    record, target = _find_record(place), SHOWCASE / _check_name(name, _NAME, "NAME")
    file = EXPERIMENTS / f"{_check_name(experiment, _CHOICE, '--experiment')}.yaml" if experiment else None
    _refuse_taken(record, target, file)
    make_page()  # fails here if the page or another record cannot be read
    SHOWCASE.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="unpublished_", dir=SHOWCASE.parent) as made:
        copy = Path(made) / name
        notes = _make_copy(record, copy, target)
        _refuse_ignored(copy, target)
        source = read_folder(type(record)(copy), name)
        make_row(copy, {})
        notes += [*source.problems, *(f"{run.name}: {problem}" for run in source.runs for problem in run.problems)]
        if progress := describe_progress(source):
            notes.append(progress)
        text = make_experiment(Results(source), file.stem, target.as_posix(), Path(made) / "conf") if file else ""
        if record.folder.resolve() != target.resolve():
            _replace(target, copy, Path(made) / "replaced")
    if file is not None:
        write_atomically(file, text)
    return [target, *([file] if file else []), write_table()], notes


def publish_table() -> Path:
    """Write the table of what is published anew; returns its page. Raises as `publish`."""
    _refuse_other_folders()
    return write_table()


def _refuse_other_folders() -> None:
    """Refuse to write into conf/ and outputs/ of anything but a checkout."""
    if not (Path("pyproject.toml").is_file() and EXPERIMENTS.is_dir()):
        raise AnalysisError(
            f"{Path.cwd()}: is no checkout of the project (it has no pyproject.toml beside {EXPERIMENTS.as_posix()}); "
            "publish writes into the repository"
        )


def _find_record(place: Path) -> Run | Sweep:
    if not place.is_dir():
        raise AnalysisError(f"{place}: must be the folder of a run or a sweep")
    records = list(find_records(place))
    if len(records) != 1 or records[0].folder != place:
        inside = ", ".join(str(record.folder) for record in records[:_MOST_NAMES])
        raise AnalysisError(
            f"{place}: must be the folder of one run or one sweep" + (f" (it holds {inside})" if inside else "")
        )
    return records[0]


def _check_name(name: str, allowed: re.Pattern[str], argument: str) -> str:
    if not allowed.fullmatch(name):
        raise AnalysisError(f"{argument} {name}: must match {allowed.pattern}")
    return name


def _refuse_taken(record: Run | Sweep, target: Path, file: Path | None) -> None:
    is_taken = target.is_file() or any(_list_files(target))
    if is_taken and _read_id(type(record)(target)) != _read_id(record):
        raise AnalysisError(f"{target.as_posix()}: holds another record; choose another NAME")
    if file is not None and file.exists():
        lines = file.read_text(encoding="utf-8").splitlines()
        if f"{RECORD_LINE}{target.as_posix()}" not in lines:
            raise AnalysisError(f"{file.as_posix()}: is not the setting of this record; choose another --experiment")


def _read_id(record: Run | Sweep) -> object:
    """The id of a run or a sweep, which its copies share; without one each folder is a record of its own."""
    return (record.start() or {}).get("id") or record.folder.resolve()


def _make_copy(record: Run | Sweep, copy: Path, target: Path) -> list[str]:
    """Write the copy, with fewer samples if it would be too large with all of them; returns notes.

    Raises:
        AnalysisError: if it is still too large, or tells about the machine.
    """
    others = sum(path.stat().st_size for path in _list_files(SHOWCASE) if not path.is_relative_to(target))
    notes = []
    for is_thinned in (False, True):
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir(parents=True)
        copy_record(record, copy, target.as_posix(), is_thinned)
        if is_thinned:
            notes.append("samples.jsonl has the first, the best and the last evaluation only, to keep to the limit")
            _write_notice(copy, notes)
        files = list(_list_files(copy))
        if others + sum(file.stat().st_size for file in files) <= LARGEST_SHOWCASE:
            refuse_traces(copy)
            return notes
    files.sort(key=lambda file: -file.stat().st_size)
    largest = ", ".join(f"{file.relative_to(copy)} ({_format_bytes([file])})" for file in files[:_MOST_NAMES])
    raise AnalysisError(
        f"{target.as_posix()}: has {_format_bytes(files)}, and {SHOWCASE.as_posix()} may have "
        f"{LARGEST_SHOWCASE / 1e6:g} MB in all, of which others have {others / 1e6:.2f} MB; largest: {largest}; "
        "publish the folder of one trial, or evaluate on fewer prompts (eval.num_prompts)"
    )


def _refuse_ignored(copy: Path, target: Path) -> None:
    """Refuse a name under which git would leave files of the record out."""
    paths = [(target / file.relative_to(copy)).as_posix() for file in _list_files(copy)]
    command = ["git", "check-ignore", "--stdin", "-z"]
    try:
        done = subprocess.run(command, input="\0".join(paths), capture_output=True, text=True, check=False)
        ignored = done.stdout.split("\0")[0]
        is_checked = done.returncode in (0, 1)  # more: this is no repository
    except OSError:  # there is no git
        ignored, is_checked = "", False
    if not is_checked and _IGNORED_NAME.fullmatch(target.name):
        ignored = paths[0]
    if ignored:
        raise AnalysisError(f"NAME {target.name}: git would ignore {ignored} (.gitignore); choose another NAME")


def _replace(target: Path, copy: Path, replaced: Path) -> None:
    """Put the copy in the place of the target, which it takes whole, and what was there at `replaced`."""
    target.parent.mkdir(exist_ok=True)
    if target.exists():
        target.rename(replaced)
    try:
        copy.rename(target)
    except OSError:
        if replaced.exists():
            replaced.rename(target)
        raise


def _list_files(folder: Path) -> Iterable[Path]:
    """The files of records, without what the analysis has written beside them, which git ignores."""
    for path in sorted(folder.rglob("*")):
        is_written = any(
            path == report_file(parent) or path.is_relative_to(analysis_folder(parent))
            for parent in path.parents
            if parent.is_relative_to(folder)
        )
        if path.is_file() and not is_written:
            yield path


def _format_bytes(files: Iterable[Path]) -> str:
    return f"{sum(file.stat().st_size for file in files) / 1e6:.2f} MB"


def _write_notice(copy: Path, notes: Iterable[str]) -> None:
    write_atomically(copy / "README.md", "".join(f"{note}.\n" for note in notes))
