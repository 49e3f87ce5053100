"""Parts as files in a folder: rows as CSV, documents as JSON, charts as images."""

import csv
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from analysis.output.charts import Chart
from analysis.output.formats import DEFAULT_FORMATS
from analysis.output.parts import Document, Part, Rows
from analysis.output.places import make_folder
from analysis.output.plain_values import convert_to_plain
from analysis.wording.errors import AnalysisError
from rlhf_sweeps.record import open_atomically, write_atomically


def write_files(parts: Iterable[Part], folder: Path, formats: Sequence[str] = DEFAULT_FORMATS) -> list[Path]:
    """Write those that have a file; returns the paths.

    Args:
        folder: made if it is not there; only if there is something to write.
        formats: of charts, keys of FORMATS.

    Raises:
        AnalysisError: if something cannot be written.
    """
    paths: list[Path] = []
    try:
        for part in parts:
            if not getattr(part, "file", "") or not isinstance(part, Rows | Document | Chart):
                continue
            if not paths:
                make_folder(folder)
            paths += _write_part(part, folder, formats)
    except OSError as error:
        raise AnalysisError(f"{error.filename or folder}: {error.strerror or error}") from error
    return paths


def _write_part(part: Rows | Document | Chart, folder: Path, formats: Sequence[str]) -> list[Path]:
    if isinstance(part, Chart):
        from analysis.output.images import save_chart

        return [save_chart(part, folder / f"{part.file}.{kind}") for kind in formats]
    path = folder / part.file
    if isinstance(part, Document):
        write_atomically(
            path, json.dumps(convert_to_plain(part.content), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        )
        return [path]
    with open_atomically(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(part.columns)
        writer.writerows([None if _is_missing(value) else value for value in row] for row in part.rows)
    return [path]


def _is_missing(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
