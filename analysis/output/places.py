"""Where the analysis writes: over nothing that it has not written, unless a user names the folder."""

from pathlib import Path

from analysis.records.runs import Source
from analysis.wording.errors import AnalysisError
from rlhf_sweeps.record import Sweep, analysis_folder, find_owner, is_run, name_kind, report_file

# In each folder that the analysis has made: shows that its files may be written anew.
MARK = ".written_by_analysis"
# How each report begins, those of earlier versions too; what else is called report.html is somebody else's.
_REPORT = (
    b'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    b'<meta http-equiv="Content-Security-Policy" content="default-src &#39;none&#39;; script-src &#39;sha256-'
)


def choose_folder(source: Source, out: Path | None) -> Path:
    """Where figures and tables go: what the user said, else within the record's own folder.

    Raises:
        AnalysisError: if that is a file or holds a record, or nobody has named it and its files are not ours.
    """
    if out is not None:
        if out.exists() and not out.is_dir():
            raise AnalysisError(f"--out {out}: is a file, must be a folder")
        if is_run(out) or Sweep(out).start_file.is_file():
            raise AnalysisError(f"--out {out}: holds a record, which must not be overwritten; choose another folder")
        return out
    inside = _find_own_folder(source)
    folder = _refuse_link(Path("outputs") / f"{source.name}_analysis" if inside is None else analysis_folder(inside))
    if folder.exists() and not (folder.is_dir() and (_is_empty(folder) or (folder / MARK).exists())):
        raise AnalysisError(
            f"{folder}: was not made by the analysis (it has no {MARK}); rename it, or choose a place by --out"
        )
    return folder


def make_folder(out: Path) -> None:
    """Make the folder that is to be written into, if it is not there."""
    is_new = not out.exists() or _is_empty(out)
    out.mkdir(parents=True, exist_ok=True)
    if is_new:
        (out / MARK).touch()


def choose_report_file(source: Source, out: Path | None) -> Path:
    """Where the report goes: what the user said, else beside the record; of what has no folder, into one of its own.

    Raises:
        AnalysisError: if that is a part of a record, or anything but a report or an empty file.
    """
    if out is not None and find_owner(out) is not None:
        raise AnalysisError(f"--out {out}: is a part of a record; choose another file")
    if out is None:
        if (default := _find_own_folder(source)) is None:
            make_folder(default := choose_folder(source, None))
        file = _refuse_link(report_file(default))
    else:
        file = out
    if file.exists() and not file.is_file():
        raise AnalysisError(f"{file}: is {name_kind(file)}, must be a file; rename it, or choose another file by --out")
    if file.is_file():
        with file.open("rb") as opened:
            start = opened.read(len(_REPORT))
        if start not in (b"", _REPORT):
            raise AnalysisError(f"{file}: is no report of the analysis; rename it, or choose another file by --out")
    return file


def _find_own_folder(source: Source) -> Path | None:
    """The folder of a record; None of what is no record of ours."""
    return source.folder if source.kind in ("run", "sweep", "folder") else None


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and next(folder.iterdir(), None) is None


def _refuse_link(path: Path) -> Path:
    """A place that nobody has named; where it is a link, what that leads to is none of ours."""
    if path.is_symlink():
        raise AnalysisError(
            f"{path}: is a link, and nothing is written through links; remove it, or choose a place by --out"
        )
    return path
