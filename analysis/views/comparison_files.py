"""A comparison as files: comparison.csv with a row for each group, comparison.json with everything."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from analysis.comparison.compare import ComparedGroup, GroupComparison
from analysis.comparison.frontier import Frontier
from analysis.comparison.matched_kl import KlLevel, MatchedKl
from analysis.comparison.own_matrix import WinRateMatrix
from analysis.output.parts import Document, Part, Rows
from analysis.views.comparison_sentences import write_comparison_statements
from rlhf_sweeps.verdicts.pairs import GroupRanking

_ESTIMATE = ("value", "low", "high", "percentile_low", "percentile_high", "error", "freedom")
_COLUMNS = ("place", "measure", "num_runs", "num_settings", "num_not_counted", *_ESTIMATE)
_AGAINST_BEST = ("best_beats_it", "best_beats_it_low", "best_beats_it_high", "adjusted_p", "verdict")


def make_comparison_files(
    comparison: GroupComparison,
    frontiers: Mapping[str, Sequence[Frontier]],
    matched: MatchedKl | None,
    unlike: Sequence[Mapping[str, Any]] = (),
) -> list[Part]:
    """comparison.csv and comparison.json.

    Args:
        unlike: the keys in which the runs differ that have to agree in them.
    """
    columns = [comparison.by, *_COLUMNS, *_AGAINST_BEST]
    rows = [_make_row(comparison, group) for group in comparison.groups]
    content = _make_content(comparison) | {
        "frontiers": {judge: [_convert_frontier(line) for line in lines] for judge, lines in frontiers.items()},
        "matched_kl": None
        if matched is None
        else {"text": matched.text, "levels": [*map(_convert_level, matched.levels)]},
    }
    content |= {"unlike": list(unlike)} if unlike else {}
    return [Rows("comparison.csv", columns, rows), Document("comparison.json", content)]


def make_apart_file(compared: Sequence[tuple[str, GroupComparison]], unlike: Sequence[Mapping[str, Any]]) -> Document:
    """comparison.json of runs that are not ranked together.

    Args:
        compared: for each part of them, its name and the comparison of its runs.
        unlike: as in `make_comparison_files`.
    """
    parts = [{"part": name, **_make_content(comparison)} for name, comparison in compared]
    return Document("comparison.json", {"unlike": list(unlike), "parts": parts})


def _make_row(comparison: GroupComparison, group: ComparedGroup) -> list[Any]:
    """The last columns say how the group stands against the best one."""
    pair = comparison.ranking.against_best(group.label) if comparison.ranking and group.place else None
    estimate = [getattr(group.estimate, name) if group.estimate else math.nan for name in _ESTIMATE]
    counts = [len(group.values), group.num_settings, sum(group.excluded.values())]
    row = [group.label, group.place or None, comparison.measure.name, *counts, *estimate]
    if pair is None:
        return [*row, *[None] * len(_AGAINST_BEST)]
    chance = pair.probability
    return [*row, chance.value, chance.low, chance.high, pair.p_value, pair.verdict]


def _make_content(comparison: GroupComparison) -> dict[str, Any]:
    """What the comparison itself has found; nan where something is unknown."""
    return {
        "by": comparison.by,
        "measure": comparison.measure.name,
        "measured": comparison.measure.text,
        "is_lower_better": comparison.measure.is_lower_better,
        "is_on_test_seeds": comparison.grouping.is_test,
        "winner": comparison.winner,
        "statements": [
            {"text": line.text, "evidence": dict(line.evidence)} for line in write_comparison_statements(comparison)
        ],
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
        "pairs": _list_pairs(comparison.ranking),
        "judges": _convert_matrix(comparison.matrix) if comparison.matrix else None,
    }


def _list_pairs(ranking: GroupRanking | None) -> list[dict[str, Any]]:
    pairs = [(asdict(pair), pair.design_text) for pair in (ranking.pairs if ranking else [])]
    return [
        {name: value for name, value in fields.items() if name != "prompt_share"} | {"design": design}
        for fields, design in pairs
    ]


def _convert_matrix(matrix: WinRateMatrix) -> dict[str, Any]:
    cells = [{"group": label, "judge": judge, **asdict(cell)} for (label, judge), cell in matrix.cells.items()]
    return {"text": matrix.text, "cells": cells}


def _convert_frontier(line: Frontier) -> dict[str, Any]:
    return {
        "group": line.label,
        "num_runs": len(line.runs),
        "num_points": len(line.gains),
        "num_negative_kls": line.num_negative,
        "is_training": line.is_training,
        "fit": asdict(line.fit) if line.fit else None,
        "note": line.note,
    }


def _convert_level(level: KlLevel) -> dict[str, Any]:
    return {
        "kl": level.kl,
        "groups": [
            {
                "label": label,
                **asdict(level.ranking.estimates[label]),
                "num_reached": level.num_reached[label],
                "num_first_evaluated_beyond": level.num_before[label],
                "num_evaluated_runs": level.num_runs[label],
                "num_with_a_way": level.num_runs[label],  # its name before num_evaluated_runs
            }
            for label in level.ranking.labels
        ],
        "never_reached": [label for label, count in level.num_reached.items() if not count],
        "pairs": _list_pairs(level.ranking),
    }
