"""The table of all trials, or of all runs where there is no sweep."""

from collections.abc import Sequence

import numpy as np

from analysis.output.parts import Cell, Column, Part, Sentences, Table, number_cell, setting_cell, text_cell
from analysis.output.thinning import telling
from analysis.records.runs import CUMULATIVE_REWARD, REWARD, Source, as_number
from analysis.results.entries import Entry
from analysis.results.ranking import Ranking
from analysis.views.counted import Counted, counted_in
from analysis.wording.statements import clipped, counted, listed, number

_MAX_SETTINGS = 12
_MAX_ROWS = 5000
_POINTS = 24
_LARGEST = 1e300  # beyond, differences overflow
_TONES = {"complete": "good", "failed": "bad", "diverged": "bad", "unfinished": "warn", "running": "warn"}
_DULL = ("Base", "Runs")  # where they are the same in all rows
# What the small curve shows: the first of these that any run has.
_SMALL_CURVES = ("eval/score", REWARD, "objective/scores", CUMULATIVE_REWARD)


def trial_parts(source: Source, ranking: Ranking) -> list[Part]:
    """The table, and what it leaves out."""
    if not ranking.entries:
        return [Sentences([f"There is no {ranking.word} in this record"])]
    parts: list[Part] = []
    left_out = ranking.keys[_MAX_SETTINGS:]
    if left_out:
        parts.append(Sentences([f"Not shown here, since there is no room: {listed(left_out, 20)}; see Config"]))
    if len(ranking.entries) > _MAX_ROWS:
        parts.append(Sentences([f"Only the first {_MAX_ROWS} of {len(ranking.entries)} are shown"]))
    return [*parts, trial_table(source, ranking)]


def trial_table(source: Source, ranking: Ranking) -> Table:
    """A row for each entry: state, settings, objectives, where the best evaluation was, cost, a small curve."""
    keys = ranking.keys[:_MAX_SETTINGS]
    metrics = list(dict.fromkeys(metric for entry in ranking.entries for metric in entry.metrics))
    small = next((name for name in _SMALL_CURVES if any(name in run.metrics for run in source.runs)), REWARD)
    columns = [
        Column(ranking.word.capitalize(), ranking.word == "trial"),
        Column("State"),
        *[Column(metric, True, "what it is worth: the objective") for metric in metrics],
        *[Column(key, _is_numeric(ranking.entries, key), f"setting {key}") for key in keys],
        Column("Base", True, "the base policy's held-out score"),
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
    rows = [_row(entry, keys, metrics, small, entry.name in best) for entry in entries]
    columns, rows = _without_empty(columns, rows)
    star = "; ★: the best" if best and len(entries) > 1 else ""
    caption = f"{counted(len(ranking.entries), ranking.word)}; press a column's head to sort{star}"
    states = sorted({entry.state for entry in ranking.entries})
    return Table("trials", caption, columns, rows, True, states)


def _row(entry: Entry, keys: Sequence[str], metrics: Sequence[str], small: str, is_best: bool) -> list[Cell]:
    values = dict(zip(entry.metrics, entry.objectives or [], strict=False))
    tone = "" if entry.is_allowed else "warn"
    at = counted_in(entry)
    return [
        Cell(f"★ {entry.name}", text_cell(entry.name).value, "best") if is_best else text_cell(entry.name),
        Cell(entry.state, None, _TONES.get(entry.state, "")),
        *[number_cell(values.get(metric), tone) for metric in metrics],
        *[setting_cell(entry.settings.get(key), entry.labels.get(key)) for key in keys],
        number_cell(entry.summarized("base_score")),
        number_cell(at and at.kl),
        _updates_cell(at),
        _curve_cell(entry, small),
        number_cell(len(entry.runs)),
        number_cell(entry.seconds or None),
        number_cell(sum(_tokens(entry)) or None),
        text_cell(entry.cause and f"{entry.cause}: {clipped(entry.message or '', 80)}".removesuffix(": ")),
    ]


def _updates_cell(at: Counted | None) -> Cell:
    """`15`, `10 to 15`, sorted by the last."""
    if at is None or at.first == at.last:
        return number_cell(at and at.last)
    return Cell(f"{number(at.first)} to {number(at.last)}", at.last)


def _is_numeric(entries: Sequence[Entry], key: str) -> bool:
    """Whether a setting is a number wherever it is known: a long text in a column of numbers would not be wrapped."""
    texts = [text for entry in entries if (text := entry.settings.get(key)) is not None]
    return all(text_cell(text).value is not None for text in texts)


def _tokens(entry: Entry) -> list[float]:
    return [tokens for run in entry.runs if (tokens := as_number(run.summary.get("tokens"))) is not None]


def _without_empty(columns: list[Column], rows: list[list[Cell]]) -> tuple[list[Column], list[list[Cell]]]:
    """Columns in which no row has anything say nothing, nor do some if all rows have the same."""
    texts = [{row[i].text for row in rows} for i in range(len(columns))]
    is_dull = [len(found) == 1 and len(rows) > 1 and c.label in _DULL for c, found in zip(columns, texts, strict=True)]
    used = [i for i, found in enumerate(texts) if found - {"-", ""} and not is_dull[i]]
    return [columns[i] for i in used], [[row[i] for i in used] for row in rows]


def _curve_cell(entry: Entry, metric: str) -> Cell:
    run = entry.run
    updates, values = run.curve(metric) if run is not None else (np.empty(0), np.empty(0))
    if len(values) < 2 or updates[-1] == updates[0]:
        return Cell("-")
    picked = telling(values, _POINTS)
    x, y = updates[picked], values[picked]
    y = np.clip(y, -_LARGEST, _LARGEST)
    low, high = float(y.min()), float(y.max())
    across = np.rint(2 + 76 * (x - x[0]) / (x[-1] - x[0])).astype(int)
    up = np.rint(18 - 16 * ((y - low) / (high - low))).astype(int) if high > low else np.full(len(y), 10)
    path = "M" + "L".join(f"{a} {b}" for a, b in zip(across, up, strict=True))
    return Cell(f"{metric} from {y[0]:.3g} to {y[-1]:.3g}", float(y[-1] - y[0]), path=path)
