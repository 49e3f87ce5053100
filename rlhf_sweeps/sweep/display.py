"""The display of a running sweep: a live table on a terminal, plain lines elsewhere."""

import contextlib
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from rlhf_sweeps.figures import format_number
from rlhf_sweeps.process.printed_commands import adapt_commands
from rlhf_sweeps.record.live_table import TrialColumn, choose_style, draw_table, format_state, make_setting_columns
from rlhf_sweeps.record.quantities import KL_NOW, SCORE_NOW, name_objectives
from rlhf_sweeps.sweep.results import (
    describe_counts,
    describe_worth,
    find_best,
    format_objectives,
    format_settings,
    rank,
)
from rlhf_sweeps.sweep.study.trials import COMPLETE, FAILED, RUNNING, SweepTrial

SECONDS_BETWEEN_LINES = 15.0  # chosen
SECONDS_BETWEEN_TABLES = 0.5  # chosen; to draw a tall table takes 20 ms
LINES_ABOVE_ROWS = 3  # counts, best, column names

log = logging.getLogger("rlhf_sweeps")


class Display:
    """Shows trials as they start, continue and end; failures at once, with cause and message.

    It is a context manager. At its end the table disappears from the terminal; the lines of `event` and of failures
    stay.

    Args:
        metrics: the metric of each objective.
        directions: "maximize" or "minimize" for each objective.
        total: number of trials at the sweep's end; None if unknown.
        done_before: number of trials that earlier starts of the sweep ended; these are not announced again.
        console: where the table is drawn; by default stderr if both stderr and stdout are a terminal. If one of them is
            a file or a pipe, the user expects lines there.
        is_comparison: whether reward models are compared, so that objectives of trials cannot be.
    """

    def __init__(
        self,
        metrics: Sequence[str],
        directions: Sequence[str],
        total: int | None,
        done_before: int,
        console: Console | None = None,
        is_comparison: bool = False,
    ) -> None:
        self._metrics, self._directions, self._total = metrics, directions, total
        self._done_before, self._is_comparison = done_before, is_comparison
        if console is None and sys.stderr.isatty() and sys.stdout.isatty():
            console = Console(stderr=True)
        is_terminal = console is not None and console.is_terminal and not console.is_dumb_terminal
        # Only `show` redraws it: a thread of its own would continue to draw while the sweep hangs.
        self._live = Live(console=console, auto_refresh=False, transient=True) if is_terminal else None
        self._open = contextlib.ExitStack()
        self._states: dict[int, str] | None = None  # at the last `show`
        self._best: list[int] = []
        self._next_time = 0.0 if self._live else time.monotonic() + SECONDS_BETWEEN_LINES

    def __enter__(self) -> Self:
        if self._live is not None:
            self._open.enter_context(_draw_below(self._live))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def event(self, text: str) -> None:
        """Print a line that stays: a retry, an interruption. `show` prints failures of trials."""
        if self._live is None:
            log.info("%s", text)
        else:
            self._live.console.print(Text(f"{time.strftime('%H:%M:%S')} {adapt_commands(text)}"))

    def show(
        self, trials: Sequence[SweepTrial], seconds_left: float | None, num_tests: tuple[int, int] = (0, 0)
    ) -> None:
        """Show the state of all trials.

        Args:
            trials: all trials of the sweep, including those of earlier starts.
            seconds_left: until the sweep's end; None if unknown.
            num_tests: the number of runs on test seeds that have ended, and of all; 0 before they are planned.
        """
        self._show_changes(trials)
        now = time.monotonic()
        if now < self._next_time:
            return
        progress = self._describe_progress(trials, seconds_left, num_tests)
        if self._live is not None:
            self._next_time = now + SECONDS_BETWEEN_TABLES
            top = [Text(line, no_wrap=True, overflow="ellipsis") for line in (progress, self._describe_best(trials))]
            size = self._live.console.size
            room = max(size.height - LINES_ABOVE_ROWS - 1, 0)  # the cursor takes the last line
            self._live.update(Group(*top, self._make_table(trials, room, size.width)), refresh=True)
        else:
            self._next_time = now + SECONDS_BETWEEN_LINES
            running = ", ".join(_describe_running(trial) for trial in trials if trial.state == RUNNING)
            self.event(f"{progress}; {running}" if running else progress)

    def _show_changes(self, trials: Sequence[SweepTrial]) -> None:
        if self._states is None:
            ended = sorted((trial for trial in trials if trial.has_ended), key=lambda trial: trial.number)
            self._states = {trial.number: trial.state for trial in ended[: self._done_before]}
        for trial in trials:
            before = self._states.get(trial.number)
            if before == trial.state:
                continue
            self._states[trial.number] = trial.state
            if self._live is None and (before is None or trial.state == RUNNING):
                is_continued = trial.state == RUNNING and trial.update
                start = f"continues after update {trial.update}" if is_continued else "started"
                self.event(f"trial {trial.number} {start}: {format_settings(trial)}")
            if trial.state == FAILED or (self._live is None and trial.state != RUNNING):
                self.event(f"trial {trial.number} {self._describe_outcome(trial)}")
        numbers = [trial.number for trial in find_best(trials, self._directions)]
        if numbers != self._best:
            self._best = numbers
            if self._live is None and not self._is_comparison:
                self.event(self._describe_best(trials))

    def _describe_outcome(self, trial: SweepTrial) -> str:
        if trial.state == FAILED:
            return f"failed ({trial.cause}): {trial.message}"
        if trial.state == COMPLETE and trial.objectives is not None:
            end = f"complete, {trial.remark}" if trial.remark else "complete"
            return f"{end}: {format_objectives(trial.objectives, self._metrics)}, {trial.seconds:.0f} s"
        return f"{trial.state} after update {trial.update}/{trial.num_updates}"

    def _describe_progress(
        self, trials: Sequence[SweepTrial], seconds_left: float | None, num_tests: tuple[int, int] = (0, 0)
    ) -> str:
        num_done = sum(trial.has_ended for trial in trials)
        # Trials that the total does not include: those of an earlier configuration, and those that repeat a setting.
        extra = sum(not (trial.is_compared and trial.has_run) for trial in trials)
        of_total = "" if self._total is None else f"/{self._total + extra}"
        tests = f", {num_tests[0]}/{num_tests[1]} test runs done" if num_tests[1] else ""
        left = "" if seconds_left is None else f", {timedelta(seconds=round(seconds_left))} left"
        counts = describe_counts(trials)
        return f"{num_done}{of_total} trials done{tests}{left}" + (f": {counts}" if counts else "")

    def _describe_best(self, trials: Sequence[SweepTrial]) -> str:
        if self._is_comparison:
            return "best: known after the comparison"
        winners = find_best(trials, self._directions)
        if not winners:
            return "best so far: none yet"
        if len(winners) > 1 or len(self._directions) > 1:
            return f"best so far (Pareto front): trials {', '.join(str(trial.number) for trial in winners)}"
        (winner,) = winners
        return f"best so far: {describe_worth(winner, self._metrics)}, trial {winner.number}: {format_settings(winner)}"

    def _rank(self, trials: Sequence[SweepTrial]) -> list[SweepTrial]:
        """The ranked trials, best first; in the order of their numbers where reward models cannot be compared."""
        if self._is_comparison:
            return [trial for trial in trials if trial.state == COMPLETE]
        return rank(trials, self._directions) if len(self._directions) == 1 else find_best(trials, self._directions)

    def _make_table(self, trials: Sequence[SweepTrial], room: int, width: int) -> Table:
        """Draw at most `room` rows, and as many columns as fit."""
        chosen = _choose_rows(trials, self._rank(trials), room)
        winners = {trial.number for trial in find_best(trials, self._directions)} if not self._is_comparison else set()
        values = [
            [format_number(value) for value in trial.objectives or []] or [""] * len(self._metrics) for trial in chosen
        ]
        names = name_objectives(self._metrics)
        states = [format_state(trial.state, trial.remark) for trial in chosen]
        columns = [
            TrialColumn("trial", [str(trial.number) for trial in chosen]),
            *make_setting_columns([trial.settings for trial in chosen]),
            TrialColumn("update", [_format_progress(trial) if trial.num_updates else "" for trial in chosen]),
            TrialColumn(SCORE_NOW, [_format_value(trial.score) for trial in chosen]),
            TrialColumn(KL_NOW, [_format_value(trial.kl) for trial in chosen]),
            *(TrialColumn(name, [row[place] for row in values]) for place, name in enumerate(names)),
            TrialColumn("state", states, is_left=True),
        ]
        styles = [choose_style(trial.state, trial.number in winners, trial.remark) for trial in chosen]
        return draw_table(columns, styles, width)


def _choose_rows(trials: Sequence[SweepTrial], ranked: Sequence[SweepTrial], room: int) -> list[SweepTrial]:
    """The trials that fit: running trials first; then the best and the newest that have ended, in that order."""
    running = [trial for trial in trials if trial.state == RUNNING][:room]
    room -= len(running)
    numbers = {trial.number for trial in ranked}
    newest = sorted(
        (trial for trial in trials if trial.state != RUNNING), key=lambda trial: (trial.has_ended, -trial.number)
    )
    others = [trial for trial in newest if trial.number not in numbers]
    # Half of the rows are for the best trials, the other half for the newest of the others.
    selected = {trial.number for trial in ranked[: (room + 1) // 2]}
    selected |= {trial.number for trial in [t for t in newest if t.number not in selected][: room - len(selected)]}
    return [*running, *(trial for trial in [*ranked, *others] if trial.number in selected)]


def _format_value(value: float | None) -> str:
    return "" if value is None else format_number(value)


def _describe_running(trial: SweepTrial) -> str:
    score = "" if trial.score is None else f" {SCORE_NOW} {format_number(trial.score)}"
    return f"trial {trial.number} {_format_progress(trial)}{score}"


def _format_progress(trial: SweepTrial) -> str:
    """`12/30`; if several of its seeds run, the progress of the last one: `12/30 (3 seeds)`."""
    seeds = f" ({len(trial.going)} seeds)" if len(trial.going) > 1 else ""
    return f"{trial.update}/{trial.num_updates}{seeds}"


@contextlib.contextmanager
def _draw_below(live: Live) -> Iterator[None]:
    """Draw the table; lines that are printed or logged meanwhile appear above it.

    Live redirects print; log handlers still hold the stream that they were made with.
    """
    streams = (sys.stdout, sys.stderr)
    handlers = [
        handler
        for handler in [*logging.getLogger().handlers, *log.handlers]
        if isinstance(handler, logging.StreamHandler) and handler.stream in streams
    ]
    streams_before = [handler.stream for handler in handlers]
    with live:
        for handler in handlers:
            handler.setStream(sys.stderr)
        try:
            yield
        finally:
            for handler, stream in zip(handlers, streams_before, strict=True):
                handler.setStream(stream)
