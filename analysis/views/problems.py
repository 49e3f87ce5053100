"""Failed trials with their causes, and places of the record that could not be read."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from analysis.output.parts import Cell, Column, Folded, Part, Sentences, Table, make_text_cell
from analysis.records.runs import FAILED, UNFINISHED, RunRecord, Source
from analysis.results.entries import Entry
from analysis.results.ranking import SourceRanking
from analysis.results.results import Results
from analysis.wording.statements import format_count, join_words
from rlhf_sweeps.record import Run, open_record

# Chosen by looking at drawings and lists.
_MAX_LOGS = 20  # failed runs whose log is shown
_LINES = 40  # of a log, from its end
_BYTES = 16_384  # of a log, from its end


def problems_view(results: Results, missing: Sequence[str]) -> list[Part]:
    """Failures with their causes and logs, then unreadable places of the record, then tabs that could not be made.

    Args:
        missing: sentences about parts of the report that could not be made.
    """
    ranking = results.ranking
    parts = [*_describe_failures(ranking), *_describe_unfinished(ranking), *_describe_unreadable(results.source)]
    if missing:
        parts.append(Sentences(list(missing), "missing from this report", "warn"))
    return parts or [Sentences(["nothing failed, and all of the record could be read"], tone="good")]


def write_problem_sentences(source: Source, ranking: SourceRanking) -> list[str]:
    """For the first screen: the number of failures, and of places of the record that could not be read."""
    failures = write_failure_sentence(ranking)
    lines = [f"{failures}; the tab Problems has messages and logs"] if failures else []
    num = len(source.problems) + sum(len(run.problems) for run in source.runs)
    if num:
        lines.append(f"{format_count(num, 'place')} of the record could not be read; the tab Problems lists them")
    return lines


def write_failure_sentence(ranking: SourceRanking) -> str | None:
    """The number of failures by cause; None without any."""
    causes = Counter(entry.cause or "unknown" for entry in ranking.entries if _has_failed(entry))
    if not causes:
        return None
    parts = join_words(
        f"{num} {cause.replace('_', ' ')}"
        for cause, num in sorted(causes.items(), key=lambda item: (-item[1], item[0]))
    )
    return f"{sum(causes.values())} of {format_count(len(ranking.entries), ranking.word)} failed: {parts}"


def _has_failed(entry: Entry) -> bool:
    return entry.cause is not None or entry.state == FAILED


def _describe_failures(ranking: SourceRanking) -> list[Part]:
    failed = [entry for entry in ranking.entries if _has_failed(entry)]
    sentence = write_failure_sentence(ranking)
    if sentence is None:
        return []
    columns = [Column(ranking.word.capitalize(), ranking.word == "trial"), Column("Cause"), Column("Message")]
    columns += [Column("Updates", True, "recorded before it failed"), Column("Settings")]
    rows = []
    for entry in failed:
        updates = max((len(run.updates) for run in entry.runs), default=0)
        rows.append(
            [
                make_text_cell(entry.name),
                Cell(entry.cause or "unknown", tone="bad"),
                make_text_cell(entry.message),
                Cell(str(updates), float(updates)),
                make_text_cell(entry.settings_text),
            ]
        )
    parts: list[Part] = [Sentences([sentence], "failures", "bad"), Table("failures", "Failures", columns, rows, True)]
    logs = [part for entry in failed for run in entry.runs for part in _make_log_part(run, ranking.word, entry.name)]
    if len(logs) > _MAX_LOGS:
        parts.append(Sentences([f"the first {_MAX_LOGS} of {len(logs)} logs and tracebacks are shown"]))
    return [*parts, *logs[:_MAX_LOGS]]


def _make_log_part(run: RunRecord, word: str, name: str) -> list[Part]:
    """The traceback in a failed run's summary, else the end of its log."""
    if run.cause is None:
        return []
    traceback = run.summary.get("traceback")
    title = f"{word.capitalize()} {name}" + (f" ({run.name})" if run.name != name else "")
    if traceback:
        return [Folded(f"{title}: traceback", _cut_tail(str(traceback)))]
    text = _read_end_of_log(run)
    return [Folded(f"{title}: the end of its log", text)] if text else []


def _read_end_of_log(run: RunRecord) -> str:
    if run.folder is None:
        return ""
    try:
        with open_record(Run(run.folder).log_file) as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _BYTES))
            return _cut_tail(file.read().decode("utf-8", errors="replace"))
    except OSError:
        return ""


def _cut_tail(text: str) -> str:
    return "\n".join(line[:400] for line in text.rstrip().splitlines()[-_LINES:])


def _describe_unfinished(ranking: SourceRanking) -> list[Part]:
    names = [entry.name for entry in ranking.entries if entry.state == UNFINISHED]
    if not names:
        return []
    verb = "has" if len(names) == 1 else "have"
    subject = f"{format_count(len(names), ranking.word)} {verb} not finished yet: {join_words(names, 20)}"
    use = "its updates so far are used" if len(names) == 1 else "their updates so far are used"
    return [Sentences([subject, use], "unfinished", "warn")]


def _describe_unreadable(source: Source) -> list[Part]:
    parts: list[Part] = []
    if source.problems:
        parts.append(Sentences(list(source.problems), "unreadable places of the record", "warn"))
    names_by_problem: dict[str, list[str]] = defaultdict(list)
    for run in source.runs:
        for text in run.problems:
            names_by_problem[text].append(run.name)
    if names_by_problem:
        rows = [
            [Cell(text), make_text_cell(join_words(names)), Cell(str(len(names)), float(len(names)))]
            for text, names in names_by_problem.items()
        ]
        columns = [Column("Problem"), Column("Runs"), Column("Number of runs", True)]
        parts.append(Table("unreadable", "Unreadable places of the runs", columns, rows, len(rows) > 10))
    return parts
