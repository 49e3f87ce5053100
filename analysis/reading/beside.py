"""Tables of other people's curves, which are drawn beside ours and are no runs of the source."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from analysis.reading.sources import JSON, TABLES
from analysis.records.runs import RunRecord
from analysis.wording.errors import AnalysisError
from analysis.wording.statements import join_words
from rlhf_sweeps.wording import suggest_path


def read_beside(files: Sequence[Path]) -> list[RunRecord]:
    """The run of each table, named after its file; `problems` says what could not be read.

    Args:
        files: tables as `read_table` reads them, with a column for each metric, of a single run each. Two files of one
            stem are named by their paths; a file that is given twice counts once.

    Raises:
        AnalysisError: if a file is missing, is no table, or holds several runs.
    """
    files = list(dict.fromkeys(files))
    stems = [path.stem for path in files]
    return [_read_file(path, path.stem if stems.count(path.stem) == 1 else str(path)) for path in files]


def _read_file(path: Path, name: str) -> RunRecord:
    from analysis.reading.tables import read_table

    if path.is_dir():
        raise AnalysisError(f"--beside {path}: is a folder, but must be a table ({', '.join((*TABLES, *JSON))})")
    if not path.is_file():
        raise AnalysisError(f"--beside {path}: there is no such file{suggest_path(path)}")
    if path.suffix.lower() not in (*TABLES, *JSON):
        raise AnalysisError(f"--beside {path}: must be a table ({', '.join((*TABLES, *JSON))})")
    try:
        source = read_table(path)
    except AnalysisError as error:
        raise AnalysisError(f"--beside {error}") from error
    if len(source.runs) > 1:
        names = join_words([run.name for run in source.runs], 4)
        raise AnalysisError(f"--beside {path}: holds {len(source.runs)} runs ({names}), but must hold one; split it")
    (run,) = source.runs
    return replace(run, name=name, problems=(*source.problems, *run.problems))
