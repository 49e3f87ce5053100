"""A comparison as files: comparison.csv with a row for each group, comparison.json with everything."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from analysis.comparison.compare import GroupComparison
from analysis.comparison.frontier import Frontier
from analysis.comparison.matched_kl import MatchedKl
from analysis.comparison.text import statements
from analysis.output.places import make_folder
from rlhf_sweeps.record import write_atomically
from rlhf_sweeps.verdicts.pairs import Ranking

_ESTIMATE = ("value", "low", "high", "percentile_low", "percentile_high", "error", "freedom")


def write_tables(
    folder: Path,
    comparison: GroupComparison,
    frontiers: Mapping[str, Sequence[Frontier]],
    matched: MatchedKl | None,
) -> list[Path]:
    """Write both; returns their paths."""
    make_folder(folder)
    rows = group_rows(comparison)
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else ["group"], lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
    content = json.dumps(_plain(document(comparison, frontiers, matched)), indent=1, ensure_ascii=False) + "\n"
    paths = [folder / "comparison.csv", folder / "comparison.json"]
    for path, written in zip(paths, (text.getvalue(), content), strict=True):
        write_atomically(path, written)
    return paths


def group_rows(comparison: GroupComparison) -> list[dict[str, Any]]:
    """One flat row for each group, best first; the last columns say how it stands against the best."""
    rows = []
    for group in comparison.groups:
        pair = comparison.ranking.against_best(group.label) if comparison.ranking and group.place else None
        found = asdict(group.estimate) if group.estimate else dict.fromkeys(_ESTIMATE, math.nan)
        row: dict[str, Any] = {
            comparison.by: group.label,
            "place": group.place or None,
            "measure": comparison.measure.name,
            "num_runs": len(group.values),
            "num_settings": group.num_settings,
            "num_not_counted": sum(group.excluded.values()),
        }
        row |= {key: found[key] for key in _ESTIMATE}
        row |= {
            "best_beats_it": pair.probability.value if pair else math.nan,
            "best_beats_it_low": pair.probability.low if pair else math.nan,
            "best_beats_it_high": pair.probability.high if pair else math.nan,
            "adjusted_p": pair.p_value if pair else math.nan,
            "verdict": pair.verdict if pair else "",
        }
        rows.append(row)
    return rows


def document(
    comparison: GroupComparison, frontiers: Mapping[str, Sequence[Frontier]], matched: MatchedKl | None
) -> dict[str, Any]:
    """Everything that was found, in plain values; nan where something is unknown."""
    matrix = comparison.matrix
    return {
        "by": comparison.by,
        "measure": comparison.measure.name,
        "measured": comparison.measure.text,
        "is_lower_better": comparison.measure.is_lower_better,
        "is_on_test_seeds": comparison.grouping.is_test,
        "winner": comparison.winner,
        "statements": [{"text": one.text, "evidence": dict(one.evidence)} for one in statements(comparison)],
        "groups": [
            {
                "label": group.label,
                "place": group.place or None,
                "estimate": asdict(group.estimate) if group.estimate else None,
                "values": dict(group.values),
                "num_settings": group.num_settings,
                "not_counted": dict(group.excluded),
            }
            for group in comparison.groups
        ],
        "pairs": _pairs(comparison.ranking),
        "judges": None
        if matrix is None
        else {
            "text": matrix.text,
            "cells": [
                {"group": label, "judge": judge, **asdict(cell)} for (label, judge), cell in matrix.cells.items()
            ],
        },
        "frontiers": {judge: [_frontier(line) for line in lines] for judge, lines in frontiers.items()},
        "matched_kl": None if matched is None else {"text": matched.text, "levels": _levels(matched)},
    }


def _pairs(ranking: Ranking | None) -> list[dict[str, Any]]:
    return [asdict(pair) for pair in ranking.pairs] if ranking else []


def _frontier(line: Frontier) -> dict[str, Any]:
    return {
        "group": line.label,
        "num_runs": len(line.runs),
        "num_points": len(line.gains),
        "num_negative_kls": line.num_negative,
        "is_training": line.is_training,
        "fit": asdict(line.fit) if line.fit else None,
        "note": line.note,
    }


def _levels(matched: MatchedKl) -> list[dict[str, Any]]:
    return [
        {
            "kl": level.kl,
            "groups": [
                {
                    "label": label,
                    **asdict(level.ranking.estimates[label]),
                    "num_reached": level.num_reached[label],
                    "num_first_evaluated_beyond": level.num_before[label],
                    "num_with_a_way": level.num_runs[label],
                }
                for label in level.ranking.labels
            ],
            "never_reached": [label for label, count in level.num_reached.items() if not count],
            "pairs": _pairs(level.ranking),
        }
        for level in matched.levels
    ]


def _cell(value: Any) -> Any:
    """Empty for what is unknown."""
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else value


def _plain(value: Any) -> Any:
    """For JSON, which has no numbers that are not finite."""
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
