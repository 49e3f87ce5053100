"""What is wrong with runs, by kind, with the evidence and what usually helps."""

from collections.abc import Sequence

from analysis.health.findings import Found, grouped
from analysis.health.patterns import Pattern
from analysis.report.parts import Block, Cell, Column, Part, Sentences, Table, text_cell
from analysis.results.ranking import Ranking
from analysis.wording.statements import counted, listed

_MAX_ROWS = 500
_MAX_EVIDENCE = 6


def health_sentences(found: Found, ranking: Ranking) -> list[str]:
    """How many runs have findings, and the best run's."""
    sick = sum(bool(one) for one in found.values())
    if not found:
        return ["There are no runs"]
    if not sick:
        return [f"Nothing was found in {counted(len(found), 'run')}"]
    kinds = dict.fromkeys(finding.kind for one in found.values() for finding in one)
    lines = [f"{sick} of {counted(len(found), 'run')} {'has' if sick == 1 else 'have'} findings: {listed(kinds, 5)}"]
    best = ranking.best.run if ranking.best else None
    if best is not None and len(found) > 1:
        own = [finding.kind for finding in found.get(best.name, ())]
        lines.append(f"The best run, {best.name}, has {listed(own) if own else 'none of them'}")
    return lines


def health_parts(ranking: Ranking, found: Found, where: Sequence[Pattern]) -> list[Part]:
    """A block for each kind of finding, then a table of all.

    Args:
        where: in which settings findings come more often.
    """
    sick = any(found.values())
    parts: list[Part] = [Sentences(health_sentences(found, ranking), tone="" if sick else "good")]
    if not sick:
        return parts
    for kind, by_run in grouped(found).items():
        name, finding = next(iter(by_run.items()))
        since = f"from update {finding.update}: " if finding.update is not None else ""
        content = {
            "title": kind,
            "where": f"in {len(by_run)} of {counted(len(found), 'run')}: {listed(by_run)}",
            "text": f"{name}, {since}{finding.text}",
            "patterns": [pattern.text for pattern in where if pattern.kind == kind],
            "evidence": list(finding.evidence.items())[:_MAX_EVIDENCE],
            "advice": finding.advice,
        }
        parts.append(Block("finding", content))
    return [*parts, *_table(found)]


def _table(found: Found) -> list[Part]:
    all_found = [(name, finding) for name, one in found.items() for finding in one]
    if len(all_found) < 2:
        return []
    rows = [
        [
            text_cell(name),
            Cell(finding.kind, tone="warn"),
            Cell("-" if finding.update is None else str(finding.update), finding.update),
            Cell(finding.text),
        ]
        for name, finding in all_found[:_MAX_ROWS]
    ]
    columns = [Column("Run"), Column("Finding"), Column("Update", True, "where it begins"), Column("What")]
    left = f", the first {_MAX_ROWS} of them" if len(all_found) > _MAX_ROWS else ""
    return [Table("findings", f"{counted(len(all_found), 'finding')}{left}", columns, rows, is_filterable=True)]
