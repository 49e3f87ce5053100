"""What failed and why, and what of the record could not be read."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from analysis.output.parts import Cell, Column, Folded, Part, Sentences, Table, text_cell
from analysis.records.runs import FAILED, UNFINISHED, RunRecord, Source
from analysis.results.entries import Entry
from analysis.results.ranking import Ranking
from analysis.wording.statements import counted, listed
from rlhf_sweeps.record import Run, open_record

_MAX_LOGS = 20
_LINES = 40
_BYTES = 16_384


def problem_parts(source: Source, ranking: Ranking, missing: Sequence[str]) -> list[Part]:
    """Failures with their causes and logs, then unreadable records, then what this report could not draw.

    Args:
        missing: sentences about parts of the report that could not be made.
    """
    parts = [*_failures(ranking), *_unfinished(source, ranking), *_unreadable(source)]
    if missing:
        parts.append(Sentences(list(missing), "Left out of this report", "warn"))
    return parts or [Sentences(["Nothing failed, and everything of the record could be read"], tone="good")]


def problem_sentences(source: Source, ranking: Ranking) -> list[str]:
    """For the first screen: how many failed, and how much of the record could not be read."""
    failures = failure_sentence(ranking)
    lines = [f"{failures}; the tab Problems has messages and logs"] if failures else []
    num = len(source.problems) + sum(len(run.problems) for run in source.runs)
    if num:
        lines.append(f"{counted(num, 'place')} of the record could not be read, as the tab Problems tells")
    return lines


def failure_sentence(ranking: Ranking) -> str | None:
    """How many failed, by cause; None if none did."""
    causes = Counter(entry.cause or "unknown" for entry in ranking.entries if _has_failed(entry))
    if not causes:
        return None
    parts = listed(f"{num} {cause}" for cause, num in sorted(causes.items(), key=lambda item: (-item[1], item[0])))
    return f"{counted(sum(causes.values()), ranking.word)} of {len(ranking.entries)} failed: {parts}"


def _has_failed(entry: Entry) -> bool:
    return entry.cause is not None or entry.state == FAILED


def _failures(ranking: Ranking) -> list[Part]:
    failed = [entry for entry in ranking.entries if _has_failed(entry)]
    sentence = failure_sentence(ranking)
    if sentence is None:
        return []
    columns = [Column(ranking.word.capitalize(), ranking.word == "trial"), Column("Cause"), Column("Message")]
    columns += [Column("Updates", True, "recorded before it failed"), Column("Settings")]
    rows = []
    for entry in failed:
        updates = max((len(run.updates) for run in entry.runs), default=0)
        rows.append(
            [
                text_cell(entry.name),
                Cell(entry.cause or "unknown", tone="bad"),
                text_cell(entry.message),
                Cell(str(updates), float(updates)),
                text_cell(entry.settings_text),
            ]
        )
    parts: list[Part] = [Sentences([sentence], "Failures", "bad"), Table("failures", "Failures", columns, rows, True)]
    logs = [part for entry in failed for run in entry.runs for part in _log(run, ranking.word, entry.name)]
    if len(logs) > _MAX_LOGS:
        parts.append(Sentences([f"Of {len(logs)} logs and tracebacks, the first {_MAX_LOGS} are shown"]))
    return [*parts, *logs[:_MAX_LOGS]]


def _log(run: RunRecord, word: str, name: str) -> list[Part]:
    """The traceback in a failed run's summary, else the end of its log."""
    if run.cause is None:
        return []
    traceback = run.summary.get("traceback")
    title = f"{word.capitalize()} {name}" + (f" ({run.name})" if run.name != name else "")
    if traceback:
        return [Folded(f"{title}: traceback", _tail(str(traceback)))]
    text = _end_of_log(run)
    return [Folded(f"{title}: the end of its log", text)] if text else []


def _end_of_log(run: RunRecord) -> str:
    if run.folder is None:
        return ""
    try:
        with open_record(Run(run.folder).log_file) as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _BYTES))
            return _tail(file.read().decode("utf-8", errors="replace"))
    except OSError:
        return ""


def _tail(text: str) -> str:
    return "\n".join(line[:400] for line in text.rstrip().splitlines()[-_LINES:])


def _unfinished(source: Source, ranking: Ranking) -> list[Part]:
    names = [entry.name for entry in ranking.entries if entry.state == UNFINISHED]
    if not names:
        return []
    them = "It counts as far as it goes" if len(names) == 1 else "They count as far as they go"
    what = f"{counted(len(names), ranking.word)} did not finish, or had not yet: {listed(names, 20)}"
    return [Sentences([what, them], "Unfinished", "warn")]


def _unreadable(source: Source) -> list[Part]:
    parts: list[Part] = []
    if source.problems:
        parts.append(Sentences(list(source.problems), "What could not be read of the record", "warn"))
    by_text: dict[str, list[str]] = defaultdict(list)
    for run in source.runs:
        for text in run.problems:
            by_text[text].append(run.name)
    if by_text:
        rows = [
            [Cell(text), text_cell(listed(names)), Cell(str(len(names)), float(len(names)))]
            for text, names in by_text.items()
        ]
        columns = [Column("Problem"), Column("Runs"), Column("Number of runs", True)]
        parts.append(Table("unreadable", "What could not be read of the runs", columns, rows, len(rows) > 10))
    return parts
