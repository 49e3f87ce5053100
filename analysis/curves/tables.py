"""The numbers of a figure of training curves, and what is said of them, as files."""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from analysis.curves.axis import EPISODE, other_unit
from analysis.curves.panels import Choice, Panel
from analysis.curves.sentences import Described
from rlhf_sweeps.record import open_atomically, write_atomically

COLUMNS = ("group", "run", "metric", "update", "episode", "value", "smoothed", "low", "high", "num_runs")


def write_table(found: Sequence[Panel], choice: Choice, path: Path) -> Path:
    """Every number that is drawn, a row for each point of each line, named lines first.

    `value` is raw, a mean over `num_runs` runs where the lines are groups; `low` and `high` are the band's edges, empty
    for a single run. `group` is empty where lines are runs, `run` where they are groups; `episode` where nothing tells
    it, and `update` where episodes are the axis of a group whose runs take unlike numbers of them.
    """
    with open_atomically(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for panel in found:
            for curve in (*panel.curves, *panel.others):
                names = ("", curve.label) if choice.by is None else (curve.label, "")
                band = (curve.low, curve.high) if curve.spread else ([""] * len(curve.updates),) * 2
                other = other_unit(curve.updates, choice.runs[curve.label], choice.unit)
                axes = (other, curve.updates) if choice.unit == EPISODE else (curve.updates, other)
                columns = (*axes, curve.mean, curve.smoothed, *band, curve.num_runs)
                rows = zip(*(c if isinstance(c, list) else c.tolist() for c in columns), strict=True)
                writer.writerows((*names, panel.metric, _whole(u), _whole(e), *rest) for u, e, *rest in rows)
    return path


def write_phases(
    described: Mapping[str, Sequence[Described]], choice: Choice, windows: Mapping[str, int], path: Path
) -> Path:
    """The sentences with their numbers, and the phases, as JSON."""
    entries = [
        {
            "group" if choice.by is not None else "run": line,
            "metric": one.metric,
            "statements": [{"text": text.text, "evidence": dict(text.evidence)} for text in one.statements],
            "phases": [{**asdict(phase), "slope": phase.slope} for phase in one.phases],
        }
        for line, several in described.items()
        for one in several
    ]
    content = {"by": choice.by, "axis": choice.unit, f"smoothed_over_{choice.unit}s": dict(windows), "curves": entries}
    write_atomically(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return path


def _whole(place: float) -> float | int | str:
    """Whole numbers as such; empty for nan."""
    return "" if math.isnan(place) else int(place) if place == int(place) else place
