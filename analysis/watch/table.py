"""Draws the state of sweeps and runs in a terminal of any size, or as plain lines."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from textwrap import wrap

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from analysis.records.runs import COMPLETE
from analysis.watch.rows import CONTINUE, Snapshot, TrialRow
from analysis.watch.thresholds import LINES_BESIDE_ROWS, MIN_BLOCK
from analysis.wording.statements import format_count, join_words
from rlhf_sweeps.figures import format_number
from rlhf_sweeps.process.printed_commands import adapt_commands
from rlhf_sweeps.record import fold_command
from rlhf_sweeps.record.live_table import TrialColumn, choose_style, draw_table, format_state, make_setting_columns
from rlhf_sweeps.record.quantities import KL_NOW, OBJECTIVE, SCORE_NOW
from rlhf_sweeps.record.trials import RUNNING, WAITING
from rlhf_sweeps.verdicts.settings import mean_over_seeds
from rlhf_sweeps.wording import drop_controls

BLOCKS, LETTERS = "▁▂▃▄▅▆▇█", "_.-~=+*#"
_HIGHEST = 1e300  # so that no sum or difference overflows


@dataclass(frozen=True)
class Page:
    """The room for the table.

    Attributes:
        width, height: in characters and lines; without a height all rows are drawn.
        is_ascii: whether the terminal knows no other characters.
        num_trends: rows at most for which the updates of runs that have ended are read.
    """

    width: int
    height: int | None = None
    is_ascii: bool = False
    num_trends: int = 100


def draw_snapshots(snapshots: Sequence[Snapshot], page: Page) -> RenderableType:
    """Everything at one look; of several sweeps and runs, those that have ended take a line each."""
    if len(snapshots) == 1:
        return Group(*_draw_block(snapshots[0], page, page.height))
    open_snapshots = [snapshot for snapshot in snapshots if not snapshot.has_ended]
    ended = [snapshot for snapshot in snapshots if snapshot.has_ended]
    room, hidden = None, 0
    if page.height is not None:
        hidden = max(0, len(ended) - max(1, page.height // 3))
        room = (page.height - (len(ended) - hidden) - bool(hidden)) // max(1, len(open_snapshots))
    parts: list[RenderableType] = [_make_line(f"{hidden} more have ended", "dim")] if hidden else []
    parts += [_make_line(_write_summary(snapshot)) for snapshot in ended[hidden:]]
    for snapshot in open_snapshots:
        is_tight = room is not None and room < MIN_BLOCK
        parts += [_make_line(_write_summary(snapshot))] if is_tight else _draw_block(snapshot, page, room)
    return Group(*parts)


def _draw_block(snapshot: Snapshot, page: Page, room: int | None) -> list[RenderableType]:
    """One sweep or run in so many lines."""
    top = [_make_line(text) for text in wrap(_write_summary(snapshot), page.width, break_on_hyphens=False)]
    top += [_make_line(_describe_best(snapshot))] if snapshot.is_sweep else []
    top += [_make_line(text, "yellow") for text in _wrap_note(adapt_commands(snapshot.note or ""), page.width)]
    top += [_make_line(snapshot.warning, "red")] if snapshot.warning else []
    rows = _choose_rows(snapshot, None if room is None else max(0, room - len(top) - LINES_BESIDE_ROWS))
    parts: list[RenderableType] = [*top]
    if rows:
        parts.append(_draw_rows(snapshot, rows, page))
    if (hidden := len(snapshot.rows) - len(rows)) > 0:
        parts.append(_make_line(f"and {hidden} more", "dim"))
    return parts


def _wrap_note(note: str, width: int) -> list[str]:
    """A command that is to be copied must be whole, and be one also where it takes several lines."""
    sentence, marker, command = note.partition(CONTINUE)
    if not marker:
        return wrap(note, width, break_on_hyphens=False)
    if len(note) <= width:
        return [note]
    return [*wrap(sentence + marker, width, break_on_hyphens=False), *fold_command(command, width)]


def _write_summary(snapshot: Snapshot) -> str:
    """`outputs/s  3/20 trials done: 2 complete, 1 pruned, 2 running; 0:03:12, about 0:01:40 left`."""
    times = [] if snapshot.elapsed is None else [_format_duration(snapshot.elapsed)]
    times += [] if snapshot.left is None else [f"about {_format_duration(snapshot.left)} left"]
    if not snapshot.is_sweep:
        return f"{snapshot.name}: {', '.join([format_state(snapshot.rows[0].state, snapshot.rows[0].remark), *times])}"
    done = sum(not row.is_open for row in snapshot.trials)
    total = "" if snapshot.num_planned is None else f"/{snapshot.num_planned}"
    tests = [row for row in snapshot.rows if row.is_test and row.is_compared]
    num_earlier = sum(not row.is_compared and not row.is_test for row in snapshot.rows)
    counts = f": {snapshot.count_states()}" if snapshot.trials else ""
    parts = [f"{done}{total} trials done{counts}"]
    parts += [f"{sum(not row.is_open for row in tests)}/{len(tests)} test runs done"] if tests else []
    parts += [f"{format_count(num_earlier, 'trial')} of an earlier configuration"] if num_earlier else []
    return f"{snapshot.name}: {'; '.join([*parts, ', '.join(times)] if times else parts)}"


def _describe_best(snapshot: Snapshot) -> str:
    if snapshot.is_comparison:
        return "best: known when all reward models are compared"
    winners = snapshot.select_best()
    if not winners:
        return "best so far: none yet"
    if len(snapshot.directions) > 1:
        return f"best so far (Pareto front): trials {', '.join(row.label for row in winners)}"
    (winner,) = winners
    settings = " ".join(f"{key}={snapshot.labels[key][text]}" for key, text in winner.setting.items())
    worth, labels = (
        f"{OBJECTIVE} {_format_values(snapshot.average_objectives(winner))}",
        [row.label for row in snapshot.select_same(winner)],
    )
    tests = snapshot.list_test_objectives(winner)
    if (tested := mean_over_seeds(tests)) is not None:
        seeds = format_count(len(tests), "test seed")
        worth = f"{OBJECTIVE} {_format_values(tested)} on {seeds}, chosen by {worth}"
    return f"best so far: {worth}, trial{'s' * (len(labels) > 1)} {join_words(labels)}: {settings}"


def _choose_rows(snapshot: Snapshot, room: int | None) -> list[TrialRow]:
    """The rows that fit: those that run, those that wait, the best, then the newest of the others."""

    def select_states(states: Sequence[str]) -> list[TrialRow]:
        return [row for row in snapshot.rows if row.state in states]

    # One reward model's scores say nothing about another's.
    ranked = select_states([COMPLETE]) if snapshot.is_comparison else snapshot.rank_trials()
    first = [*select_states([RUNNING]), *select_states([WAITING]), *ranked]
    taken = {id(row) for row in first}
    others = [row for row in snapshot.rows if id(row) not in taken]
    ordered = [*first, *sorted(others, key=lambda row: (row.is_test, not row.is_open, -_parse_number(row.label)))]
    return ordered if room is None else ordered[:room]


def _draw_rows(snapshot: Snapshot, rows: Sequence[TrialRow], page: Page) -> Table:
    winners = {id(row) for row in snapshot.select_best()} if snapshot.is_sweep and not snapshot.is_comparison else set()
    styles = [choose_style(row.state, id(row) in winners, row.remark) for row in rows]
    return draw_table(_make_columns(snapshot, rows, page), styles, page.width, page.is_ascii)


def _make_columns(snapshot: Snapshot, rows: Sequence[TrialRow], page: Page) -> list[TrialColumn]:
    runs = [row.current for row in rows]
    trends = []
    for index, run in enumerate(runs):
        if run is not None and index < page.num_trends:
            run.read_updates()
        trends.append("" if run is None else draw_sparkline(run.rewards, page.is_ascii))
    columns = [
        TrialColumn(
            "trial" if snapshot.is_sweep else "run", [_label_row(row) for row in rows], is_left=not snapshot.is_sweep
        )
    ]
    settings = [{key: snapshot.labels[key].get(text, "") for key, text in row.settings.items()} for row in rows]
    columns += make_setting_columns(settings)
    columns.append(TrialColumn("update", [_format_progress(row) for row in rows]))
    columns.append(
        TrialColumn(SCORE_NOW, ["" if run is None or run.score is None else format_number(run.score) for run in runs])
    )
    columns.append(
        TrialColumn(KL_NOW, ["" if run is None or run.kl is None else format_number(run.kl) for run in runs])
    )
    if any(row.objectives for row in rows):
        columns.append(TrialColumn(OBJECTIVE, [_format_values(row.objectives) for row in rows]))
    columns.append(TrialColumn("trend", trends, is_left=True))
    speeds = [None if run is None else run.seconds_per_update for run in runs]
    columns.append(TrialColumn("s/update", ["" if speed is None else format_number(speed) for speed in speeds]))
    if any(row.state == RUNNING for row in rows):
        lefts = [row.left if row.state == RUNNING else None for row in rows]
        columns.append(TrialColumn("left", ["" if left is None else _format_duration(left) for left in lefts]))
    return [*columns, TrialColumn("state", [format_state(row.state, row.remark) for row in rows], is_left=True)]


def _label_row(row: TrialRow) -> str:
    return row.label if row.is_compared else f"{row.label} earlier"


def _format_values(values: Sequence[float] | None) -> str:
    return ", ".join(format_number(value) for value in values or [])


def _format_progress(row: TrialRow) -> str:
    run = row.current
    if run is None:
        return ""
    seeds = f" ({len(row.runs)}/{row.num_seeds})" if row.num_seeds > 1 else ""
    return f"{run.update}/{run.num_updates or '?'}{seeds}"


def _make_line(text: str, style: str = "") -> Text:
    return Text(drop_controls(text), style, no_wrap=True, overflow="crop")


def _format_duration(seconds: float) -> str:
    return str(timedelta(seconds=round(min(seconds, 8e13))))


def _parse_number(label: str) -> int:
    digits = label.partition(" ")[0]
    return int(digits) if digits.isdigit() else 0


def draw_sparkline(values: Sequence[float], is_ascii: bool, width: int = 10) -> str:
    """A curve in one line, each character the mean of a stretch; values that are not finite are left out."""
    levels = LETTERS if is_ascii else BLOCKS
    finite = [value for value in values if abs(value) < _HIGHEST]
    if not finite:
        return ""
    size = min(width, len(finite))
    bounds = [len(finite) * index // size for index in range(size + 1)]
    means = [sum(finite[a:b]) / (b - a) for a, b in pairwise(bounds)]
    low, high = min(means), max(means)
    if not high > low:
        return levels[len(levels) // 2] * size
    return "".join(levels[round((mean - low) / (high - low) * (len(levels) - 1))] for mean in means)
