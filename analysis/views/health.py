"""What is wrong with runs, by kind, with the evidence and what usually helps."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

from analysis.health.findings import FindingsByRun, group_by_kind
from analysis.health.patterns import Pattern
from analysis.health.signals import Finding
from analysis.health.thresholds import FEWEST_UPDATES
from analysis.output.parts import Alert, Cell, Column, Document, Part, Rows, Sentences, Table, make_text_cell
from analysis.records.runs import RunRecord
from analysis.results.ranking import SourceRanking
from analysis.results.results import Results
from analysis.views.winner import describe_rank
from analysis.wording.statements import format_count, join_words

# Chosen by looking at drawings and lists.
_MAX_ROWS = 500  # findings
_MAX_EVIDENCE = 6  # numbers of a finding
_COLUMNS = ("run", "kind", "update", "text", "advice", "evidence")
# What rules look at -> the metrics that tell it, one of which is enough.
_LOOKED_AT = {
    "KL": ("objective/kl",),
    "entropy": ("policy/entropy_avg", "objective/entropy"),
    "clipping": ("policy/clipfrac_avg",),
    "value model": ("val/explained_variance",),
    "truncation": ("objective/truncated_rate", "objective/eos_rate", "eval/eos_rate", "val/num_eos_tokens"),
}


def health_view(results: Results) -> list[Part]:
    """A sentence for all runs, a part for each kind of finding, a table of all; health.json and health.csv."""
    findings, runs = results.findings, results.source.runs
    patterns = results.patterns if any(findings.values()) else []
    is_sick = any(findings.values())
    lines = [*write_health_sentences(findings, results.ranking, runs), *_write_unread_sentences(runs)]
    is_unjudged = bool(find_short_runs(findings, runs)) or not all(len(run.updates) for run in runs)
    parts: list[Part] = [Sentences(lines, tone="" if is_sick or is_unjudged else "good")]
    parts += [_make_alert(kind, by_run, len(findings), patterns) for kind, by_run in group_by_kind(findings).items()]
    return [
        *parts,
        *_make_table(findings),
        *_make_files(results.source.name, findings, patterns, find_short_runs(findings, runs)),
    ]


def find_short_runs(findings: FindingsByRun, runs: Sequence[RunRecord]) -> list[str]:
    """The runs with updates, but too few to judge, and without a finding, so that this says nothing."""
    return [run.name for run in runs if 0 < len(run.updates) < FEWEST_UPDATES and not findings.get(run.name)]


def write_health_sentences(findings: FindingsByRun, ranking: SourceRanking, runs: Sequence[RunRecord]) -> list[str]:
    """How many runs have findings, the best run's, and which runs are too short to judge."""
    if not findings:
        return ["there are no runs"]
    num_sick, short = sum(map(bool, findings.values())), find_short_runs(findings, runs)
    num_judged = len(findings) - len(short)
    lines = _write_finding_sentences(findings, ranking, num_sick, short) if num_sick else []
    if not num_sick and num_judged:
        lines = [f"no findings in {format_count(num_judged, 'run')}"]
    if short:
        verb = "is" if len(short) == 1 else "are"
        subject = f"{format_count(len(short), 'run')} {verb}" if len(findings) > 1 else "this run is"
        names = f" ({join_words(short)})" if len(findings) > 1 else ""
        lines.append(f"{subject} too short to judge{names}: a verdict takes {FEWEST_UPDATES} recorded updates")
    return lines


def _write_finding_sentences(
    findings: FindingsByRun, ranking: SourceRanking, num_sick: int, short: Sequence[str]
) -> list[str]:
    kinds = {kind: len(by_run) for kind, by_run in group_by_kind(findings).items()}
    names = [_name_kind(kind) + f" ({format_count(num, 'run')})" * (len(findings) > 1) for kind, num in kinds.items()]
    verb = "has" if num_sick == 1 else "have"
    subject = f"{num_sick} of {format_count(len(findings), 'run')} {verb} findings"
    subject = f"this run has {format_count(len(kinds), 'finding')}" if len(findings) == 1 else subject
    lines = [f"{subject}: {join_words(names, 5)}"]
    best = ranking.best.run if ranking.best else None
    if best is not None and len(findings) > 1:
        own = [_name_kind(finding.kind) for finding in findings.get(best.name, ())]
        subject = f"the best run, {best.name},"
        if ranking.best and not ranking.is_comparable:
            subject = f"{best.name}, the best run of {describe_rank(ranking, ranking.best)},"
        none = "none of them" if best.name not in short else "none of them, but is too short to judge"
        lines.append(f"{subject} has {join_words(own) if own else none}")
    return lines


def _name_kind(kind: str) -> str:
    """A kind within a sentence: of a failure its cause alone."""
    return kind.removeprefix("failed: ")


def _write_unread_sentences(runs: Sequence[RunRecord]) -> list[str]:
    """Which runs have no update, and what no run has recorded, so that nobody could look at it."""
    empty = [run.name for run in runs if not len(run.updates)]
    lines = [f"runs without any update, which can hardly be judged: {join_words(empty)}"] if empty else []
    recorded = {name for run in runs for name in run.metrics}
    missing = [subject for subject, names in _LOOKED_AT.items() if not recorded.intersection(names)]
    if not any(name.startswith("judge/") for name in recorded):
        missing.append("judges (eval.judges), without which reward hacking shows in length and surface markers only")
    if missing and len(empty) < len(runs):
        lines.append(f"not checked, because it is not in the record: {', '.join(missing)}")
    return lines


def _make_alert(kind: str, by_run: Mapping[str, Finding], num_runs: int, patterns: Sequence[Pattern]) -> Alert:
    """The first run's finding in its own words."""
    name, finding = next(iter(by_run.items()))
    is_dated = finding.update is None or re.search(rf"\bupdate {finding.update}\b", finding.text)
    since = "" if is_dated else f"from update {finding.update}: "
    where = f"in {len(by_run)} of {format_count(num_runs, 'run')}: {join_words(by_run)}" if num_runs > 1 else ""
    run = (f"{name}, " if since else f"{name}: ") if num_runs > 1 else ""
    lines = [f"{run}{since}{finding.text}"]
    lines += [f"pattern: {pattern.text}" for pattern in patterns if pattern.kind == kind]
    evidence = dict(list(finding.evidence.items())[:_MAX_EVIDENCE])
    return Alert(kind, where, lines, evidence, finding.advice)


def _make_table(findings: FindingsByRun) -> list[Part]:
    """Nothing where the alerts, each in the words of one run, have said it all."""
    pairs = [(name, finding) for name, several in findings.items() for finding in several]
    if len(pairs) == len(group_by_kind(findings)):
        return []
    rows = [
        [
            make_text_cell(name),
            Cell(finding.kind, tone="warn"),
            Cell("-" if finding.update is None else str(finding.update), finding.update),
            Cell(finding.text),
        ]
        for name, finding in pairs[:_MAX_ROWS]
    ]
    columns = [Column("Run"), Column("Finding"), Column("Update", True, "where it begins")]
    columns.append(Column("What was seen", is_detail=True))
    left = f", the first {_MAX_ROWS} of them" if len(pairs) > _MAX_ROWS else ""
    caption = f"{format_count(len(pairs), 'finding')}{left}"
    return [Table("findings", caption, columns, rows, is_filterable=True, most_rows=20, file="health.csv")]


def _make_files(
    name: str, findings: FindingsByRun, patterns: Sequence[Pattern], short: Sequence[str]
) -> Iterable[Part]:
    pairs = [(run, finding) for run, several in findings.items() for finding in several]
    yield Document(
        "health.json",
        {
            "source": name,
            "num_runs": len(findings),
            "num_runs_with_findings": sum(map(bool, findings.values())),
            "too_short_to_judge": list(short),
            "findings": [{"run": run, **asdict(finding)} for run, finding in pairs],
            "patterns": [asdict(pattern) for pattern in patterns],
        },
    )
    rows = [
        (run, each.kind, each.update, each.text, each.advice, json.dumps(dict(each.evidence), ensure_ascii=False))
        for run, each in pairs
    ]
    yield Rows("health.csv", _COLUMNS, rows)
