"""What is wrong with the runs of a source, as files and as text for the terminal."""

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from analysis.health.findings import Found, found_in
from analysis.health.patterns import Pattern, patterns
from analysis.health.text import health_text
from analysis.output.places import make_folder
from analysis.records.runs import Source
from analysis.wording.errors import AnalysisError
from rlhf_sweeps.record import open_atomically, write_atomically


def write_health(source: Source, out: Path) -> tuple[str, list[Path]]:
    """Look at all runs of a source; writes health.json and health.csv.

    Args:
        out: a folder, made if it is not there.

    Returns:
        Text for the terminal, grouped by finding, and the files.

    Raises:
        AnalysisError: if the folder cannot be written.
    """
    found = found_in(source)
    sound = patterns(source, found)
    paths = [out / "health.json", out / "health.csv"]
    try:
        make_folder(out)
        write_atomically(paths[0], _as_json(source, found, sound))
        _write_csv(found, paths[1])
    except OSError as error:
        raise AnalysisError(f"{error.filename or out}: {error.strerror}") from error
    return health_text(source, found, sound), paths


def _as_json(source: Source, found: Found, sound: Sequence[Pattern]) -> str:
    content = {
        "source": source.name,
        "num_runs": len(found),
        "num_runs_with_findings": sum(bool(one) for one in found.values()),
        "findings": [{"run": name, **asdict(finding)} for name, one in found.items() for finding in one],
        "patterns": [asdict(pattern) for pattern in sound],
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _write_csv(found: Found, path: Path) -> None:
    with open_atomically(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["run", "kind", "update", "text", "advice", "evidence"])
        for name, one in found.items():
            for finding in one:
                evidence = json.dumps(dict(finding.evidence), ensure_ascii=False)
                update = "" if finding.update is None else finding.update
                writer.writerow([name, finding.kind, update, finding.text, finding.advice, evidence])
