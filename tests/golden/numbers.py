"""Every number that the analysis commands write of a record, by its place: file/row/column or file/key/key."""

import csv
import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from analysis.command import main

# By the name of its folder; BY stands for a record's key. The other commands write neither CSV nor JSON.
BY = "--by="
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "curves": ("curves", "--format=svg"),
    "means": ("curves", BY, "--metrics=objective/scores", "--format=svg"),
    "compare": ("compare", BY, "--format=svg"),
    "sweep": ("sweep",),
    "health": ("health",),
}
# Sentences: their words may change while their numbers stay, which stand beside them as evidence.
SENTENCES = ("text", "measured", "advice", "message", "note")
DIGITS = 12  # what lies beyond differs between processors
ROWS = 100  # Of a longer table, only some rows are kept, and each column's sum.
STEP = 37  # has no divisor in common with the number of updates, so that all of a run is seen
_NUMBER = re.compile(r"[-+]?\d+\.?\d*(?:e[-+]?\d+)?")
_TOLD = ("by_seed", "violations")  # cells with several numbers: `0:1.5 1:1.25`
Numbers = dict[str, Any]


def numbers_of(place: Path, by: str, out: Path) -> Numbers:
    """Run all commands on a record, in this process; what each command's files hold.

    Args:
        by: the config key whose values are compared.
        out: a new folder, for one of each command's own.

    Returns:
        Number, verdict or label by its place; None where a number is unknown. Names of files and columns are in it.
    """
    found: Numbers = {}
    for name, (command, *options) in COMMANDS.items():
        folder = out / name
        told = [BY + by if option == BY else option for option in options]
        status = main([command, str(place), f"--out={folder}", *told])
        assert status == 0, name
        for file in sorted([*folder.glob("*.csv"), *folder.glob("*.json")]):
            read = _table(file) if file.suffix == ".csv" else json.loads(file.read_text(encoding="utf-8"))
            found |= dict(_leaves(read, f"{name}/{file.name}"))
    return found


def _table(file: Path) -> dict[str, Any]:
    with file.open(encoding="utf-8", newline="") as opened:
        reader = csv.DictReader(opened)
        rows = [{name: _cell(name, text) for name, text in row.items()} for row in reader]
        columns = list(reader.fieldnames or [])
    content: dict[str, Any] = {"columns": columns, "rows": len(rows)}
    if len(rows) <= ROWS:
        return content | {str(place): row for place, row in enumerate(rows)}
    numbers = {name: [row[name] for row in rows if isinstance(row[name], float)] for name in columns}
    sums = {f"sum of {name}": math.fsum(values) for name, values in numbers.items() if values}
    return content | sums | {str(place): rows[place] for place in range(0, len(rows), STEP)}


def _cell(name: str, text: str) -> Any:
    """None for an empty cell; what is neither number nor JSON is text."""
    if name in _TOLD:
        return [float(one) for one in _NUMBER.findall(text)]
    if text.startswith("{"):
        return json.loads(text)
    try:
        return float(text) if text else None
    except ValueError:
        return text


def _leaves(content: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Every value that is no sentence; of an empty list or mapping its place."""
    if isinstance(content, dict | list) and content:
        parts = content.items() if isinstance(content, dict) else enumerate(content)
        for key, value in parts:
            yield from _leaves(value, f"{place}/{key}")
    elif isinstance(content, dict | list):
        yield place, []
    elif isinstance(content, str) and place.rpartition("/")[2] in SENTENCES:
        yield place, "a sentence"
    else:
        yield place, float(f"{content:.{DIGITS}g}") if isinstance(content, float) else content
