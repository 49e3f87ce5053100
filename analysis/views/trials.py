"""The table of all trials, or of all runs of a record without a sweep."""

import math
from collections.abc import Sequence
from statistics import fmean

import numpy as np

from analysis.output.parts import (
    Cell,
    Column,
    Part,
    Sentences,
    Table,
    count_cell,
    make_number_cell,
    make_setting_cell,
    make_text_cell,
)
from analysis.output.thinning import pick_extremes
from analysis.records.remarks import find_remark
from analysis.records.runs import COMPLETE, CUMULATIVE_REWARD, REWARD, Source, convert_number
from analysis.results.entries import Entry
from analysis.results.ranking import SourceRanking
from analysis.results.results import Results
from analysis.views.counted import CountedEvaluations, find_counted
from analysis.wording.statements import clip_text, format_count, join_words
from rlhf_sweeps.figures import format_number
from rlhf_sweeps.record.live_table import format_state
from rlhf_sweeps.record.quantities import OBJECTIVE_HINT, name_objectives

# Chosen by looking at drawings and lists.
_MAX_SETTINGS = 12  # columns
_MAX_ROWS = 5000  # trials
_POINTS = 24  # of the small curve in a row
_LARGEST = 1e300  # beyond, differences overflow
_TONES = {"complete": "good", "failed": "bad", "diverged": "bad", "unfinished": "warn", "running": "warn"}
_LEFT_OUT_IF_EQUAL = ("Base", "Runs")  # columns
# The small curve is of the first of these metrics that any run has.
_SMALL_CURVES = ("eval/score", REWARD, "objective/scores", CUMULATIVE_REWARD)


def trials_view(results: Results) -> list[Part]:
    """The table, and sentences on the columns and rows for which it has no room."""
    ranking = results.ranking
    if not ranking.entries:
        return [Sentences([f"there is no {ranking.word} in this record"])]
    lines = []
    if left_out := ranking.keys[_MAX_SETTINGS:]:
        lines.append(f"the table has no room for {join_words(left_out, 20)}; the tab Config has them")
    if len(ranking.entries) > _MAX_ROWS:
        lines.append(f"the table has the first {_MAX_ROWS} of {len(ranking.entries)} {ranking.word}s")
    return [*([Sentences(lines)] if lines else []), make_trial_table(results.source, ranking)]


def make_trial_table(source: Source, ranking: SourceRanking) -> Table:
    """A row for each entry: state, objectives, settings, the evaluations that counted, a small curve, cost."""
    keys = ranking.keys[:_MAX_SETTINGS]
    metrics = list(dict.fromkeys(metric for entry in ranking.entries for metric in entry.metrics))
    small = next((name for name in _SMALL_CURVES if any(name in run.metrics for run in source.runs)), REWARD)
    columns = [
        Column(ranking.word.capitalize(), ranking.word == "trial"),
        Column("State"),
        *[Column(name, True, OBJECTIVE_HINT) for name in name_objectives(metrics)],
        *[Column(key, _is_numeric(ranking.entries, key), f"setting {key}") for key in keys],
        Column("Base", True, "the base policy's held-out score on the same seeds"),
        Column("On test seeds", True, "the objective there, where the setting ran on some"),
        Column("KL", True, "in the evaluations that counted, in nats"),
        Column("Update", True, "of the evaluations that counted"),
        Column("Curve", False, f"{small} over the updates"),
        Column("Runs", True, "seeds that choose"),
        Column("Seconds", True, "of training"),
        Column("Tokens", True, "in and out of all models"),
        Column("Cause", False, "of a failure"),
    ]
    best = {name for winner in ranking.winners for name in winner.names}
    entries = ranking.entries[:_MAX_ROWS]
    rows = [_make_row(entry, keys, metrics, small, entry.name in best) for entry in entries]
    columns, rows = _leave_out_columns(columns, rows)
    star = "; ★: the best" if best and len(entries) > 1 else ""
    caption = f"{format_count(len(ranking.entries), ranking.word)}; press a column's head to sort{star}"
    states = sorted({_make_state_cell(entry).text for entry in ranking.entries})
    return Table("trials", caption, columns, rows, True, states)


def _make_row(entry: Entry, keys: Sequence[str], metrics: Sequence[str], small: str, is_best: bool) -> list[Cell]:
    values = dict(zip(entry.metrics, entry.objectives or [], strict=False))
    tone = "" if entry.is_allowed else "warn"
    evaluations = find_counted(entry)
    return [
        Cell(f"★ {entry.name}", make_text_cell(entry.name).value, "best") if is_best else make_text_cell(entry.name),
        _make_state_cell(entry),
        *[make_number_cell(values.get(metric), tone) for metric in metrics],
        *[make_setting_cell(entry.settings.get(key), entry.labels.get(key)) for key in keys],
        make_number_cell(_average_base(entry)),
        make_number_cell(entry.tested),
        make_number_cell(evaluations and evaluations.kl),
        _make_updates_cell(evaluations),
        _make_curve_cell(entry, small),
        make_number_cell(len(entry.runs)),
        count_cell(entry.seconds or math.nan),
        count_cell(sum(_list_tokens(entry)) or math.nan),
        make_text_cell(entry.cause and f"{entry.cause}: {clip_text(entry.message or '', 80)}".removesuffix(": ")),
    ]


def _make_state_cell(entry: Entry) -> Cell:
    """The state; a trial that went beyond its KL budget is not green."""
    remark = find_remark(entry.state, entry.cause, entry.runs)
    if entry.state == COMPLETE and remark is not None:
        return Cell(format_state(entry.state, remark), None, "warn")
    return Cell(entry.state, None, _TONES.get(entry.state, ""))


def _average_base(entry: Entry) -> float | None:
    scores = [score for run in entry.runs if (score := convert_number(run.summary.get("base_score"))) is not None]
    return fmean(scores) if scores else None


def _make_updates_cell(evaluations: CountedEvaluations | None) -> Cell:
    """`15`, `10 to 15`, sorted by the last."""
    if evaluations is None or evaluations.first == evaluations.last:
        return make_number_cell(evaluations and evaluations.last)
    return Cell(f"{format_number(evaluations.first)} to {format_number(evaluations.last)}", evaluations.last)


def _is_numeric(entries: Sequence[Entry], key: str) -> bool:
    """Whether all recorded values of a setting are numbers: a column of numbers does not wrap a long text."""
    texts = [text for entry in entries if (text := entry.settings.get(key)) is not None]
    return all(make_text_cell(text).value is not None for text in texts)


def _list_tokens(entry: Entry) -> list[float]:
    return [tokens for run in entry.runs if (tokens := convert_number(run.summary.get("tokens"))) is not None]


def _leave_out_columns(columns: list[Column], rows: list[list[Cell]]) -> tuple[list[Column], list[list[Cell]]]:
    """Without columns that are empty, and without some that are equal in all rows."""
    places = []
    for place, column in enumerate(columns):
        texts = {row[place].text for row in rows}
        is_equal = len(rows) > 1 and len(texts) == 1
        if texts - {"-", ""} and not (is_equal and column.label in _LEFT_OUT_IF_EQUAL):
            places.append(place)
    return [columns[place] for place in places], [[row[place] for place in places] for row in rows]


def _make_curve_cell(entry: Entry, metric: str) -> Cell:
    run = entry.run
    updates, values = run.select_points(metric) if run is not None else (np.empty(0), np.empty(0))
    if len(values) < 2 or updates[-1] == updates[0]:
        return Cell("-")
    chosen = pick_extremes(values, _POINTS)
    x, y = updates[chosen], values[chosen]
    y = np.clip(y, -_LARGEST, _LARGEST)
    low, high = float(y.min()), float(y.max())
    across = np.rint(2 + 76 * (x - x[0]) / (x[-1] - x[0])).astype(int)
    up = np.rint(18 - 16 * ((y - low) / (high - low))).astype(int) if high > low else np.full(len(y), 10)
    path = "M" + "L".join(f"{a} {b}" for a, b in zip(across, up, strict=True))
    return Cell(f"{metric} from {format_number(y[0])} to {format_number(y[-1])}", float(y[-1] - y[0]), path=path)
