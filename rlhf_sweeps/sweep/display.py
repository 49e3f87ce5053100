"""What a user sees of a sweep while it runs: a live table on a terminal, plain lines elsewhere."""

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

from rlhf_sweeps.record.live_table import Column, draw_table, setting_columns, state_text, style_of
from rlhf_sweeps.sweep.results import (
    best,
    counts_of,
    objective_names,
    objectives_text,
    ranking,
    settings_text,
    worth_text,
)
from rlhf_sweeps.sweep.study.trials import COMPLETE, FAILED, RUNNING, Trial

SECONDS_BETWEEN_LINES = 15.0
SECONDS_BETWEEN_TABLES = 0.5  # a tall one takes 20 ms
LINES_ABOVE_ROWS = 3  # counts, best, column names

log = logging.getLogger("rlhf_sweeps")


class Display:
    """Shows trials as they start, go on and end; failures at once, with cause and message.

    A context manager; after it the table is gone from the terminal, and what `event` and the failures left there stays.

    Args:
        metrics: what each objective is.
        directions: "maximize" or "minimize" for each objective.
        total: trials that the sweep will have had at its end; None if nobody knows.
        done_before: trials that an earlier start of the sweep ended; these are not announced again.
        console: where a table goes; by default stderr, if both stderr and stdout are a terminal (with one of them in a
            file or a pipe, that is where a user looks for lines).
        is_comparison: of reward models, under which one objective cannot be compared with another.
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
        # Redrawn by `show` alone: a thread of its own would go on drawing while the sweep is stuck.
        self._live = Live(console=console, auto_refresh=False, transient=True) if is_terminal else None
        self._open = contextlib.ExitStack()
        self._states: dict[int, str] | None = None  # as last shown
        self._best: list[int] = []
        self._next_time = 0.0 if self._live else time.monotonic() + SECONDS_BETWEEN_LINES

    def __enter__(self) -> Self:
        if self._live is not None:
            self._open.enter_context(_above(self._live))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def event(self, text: str) -> None:
        """A line that stays: a retry, an interruption. Failures of trials are told by `show`."""
        if self._live is None:
            log.info("%s", text)
        else:
            self._live.console.print(Text(f"{time.strftime('%H:%M:%S')} {text}"))

    def show(self, trials: Sequence[Trial], seconds_left: float | None) -> None:
        """Show how things stand.

        Args:
            trials: all of the sweep, those of earlier starts included.
            seconds_left: until its end; None if that is unknown yet.
        """
        self._tell_changes(trials)
        now = time.monotonic()
        if now < self._next_time:
            return
        progress = self._progress_text(trials, seconds_left)
        if self._live is not None:
            self._next_time = now + SECONDS_BETWEEN_TABLES
            top = [Text(line, no_wrap=True, overflow="ellipsis") for line in (progress, self._best_text(trials))]
            size = self._live.console.size
            room = max(size.height - LINES_ABOVE_ROWS - 1, 0)  # the last line is the cursor's
            self._live.update(Group(*top, self._table(trials, room, size.width)), refresh=True)
        else:
            self._next_time = now + SECONDS_BETWEEN_LINES
            running = ", ".join(_running_text(trial) for trial in trials if trial.state == RUNNING)
            self.event(f"{progress}; {running}" if running else progress)

    def _tell_changes(self, trials: Sequence[Trial]) -> None:
        if self._states is None:
            ended = sorted((trial for trial in trials if trial.has_ended), key=lambda trial: trial.number)
            self._states = {trial.number: trial.state for trial in ended[: self._done_before]}
        for trial in trials:
            before = self._states.get(trial.number)
            if before == trial.state:
                continue
            self._states[trial.number] = trial.state
            if self._live is None and (before is None or trial.state == RUNNING):
                going = f"goes on after update {trial.update}" if trial.state == RUNNING and trial.update else "started"
                self.event(f"trial {trial.number} {going}: {settings_text(trial)}")
            if trial.state == FAILED or (self._live is None and trial.state != RUNNING):
                self.event(f"trial {trial.number} {self._outcome(trial)}")
        numbers = [trial.number for trial in best(trials, self._directions)]
        if numbers != self._best:
            self._best = numbers
            if self._live is None and not self._is_comparison:
                self.event(self._best_text(trials))

    def _outcome(self, trial: Trial) -> str:
        if trial.state == FAILED:
            return f"failed ({trial.cause}): {trial.message}"
        if trial.state == COMPLETE and trial.objectives is not None:
            return f"complete: {objectives_text(trial.objectives, self._metrics)}, {trial.seconds:.0f} s"
        return f"{trial.state} after update {trial.update}/{trial.num_updates}"

    def _progress_text(self, trials: Sequence[Trial], seconds_left: float | None) -> str:
        num_done = sum(trial.has_ended for trial in trials)
        # Trials that do not count come on top: those of an earlier configuration, and those with nothing to run.
        extra = sum(not (trial.is_compared and trial.has_run) for trial in trials)
        of_total = "" if self._total is None else f"/{self._total + extra}"
        left = "" if seconds_left is None else f", {timedelta(seconds=round(seconds_left))} left"
        counts = counts_of(trials)
        return f"{num_done}{of_total} trials done{left}" + (f": {counts}" if counts else "")

    def _best_text(self, trials: Sequence[Trial]) -> str:
        if self._is_comparison:
            return "best: to be seen when all are compared"
        winners = best(trials, self._directions)
        if not winners:
            return "best so far: none yet"
        if len(winners) > 1 or len(self._directions) > 1:
            return f"best so far (Pareto front): trials {', '.join(str(trial.number) for trial in winners)}"
        (winner,) = winners
        return f"best so far: {worth_text(winner, self._metrics)}, trial {winner.number}: {settings_text(winner)}"

    def _ranked(self, trials: Sequence[Trial]) -> list[Trial]:
        """What ranks trials before those that are newer; one reward model's scores say nothing about another's."""
        if self._is_comparison:
            return [trial for trial in trials if trial.state == COMPLETE]
        return ranking(trials, self._directions) if len(self._directions) == 1 else best(trials, self._directions)

    def _table(self, trials: Sequence[Trial], room: int, width: int) -> Table:
        """At most `room` rows, and the columns that there is room for."""
        chosen = _chosen(trials, self._ranked(trials), room)
        winners = {trial.number for trial in best(trials, self._directions)} if not self._is_comparison else set()
        values = [[f"{value:.4g}" for value in trial.objectives or []] or [""] * len(self._metrics) for trial in chosen]
        names = objective_names(self._metrics)
        states = [state_text(trial.state, trial.cause if trial.state == FAILED else None) for trial in chosen]
        columns = [
            Column("trial", [str(trial.number) for trial in chosen]),
            *setting_columns([trial.settings for trial in chosen]),
            Column("update", [_progress(trial) if trial.num_updates else "" for trial in chosen]),
            Column("score", [_figure(trial.score) for trial in chosen]),
            Column("KL", [_figure(trial.kl) for trial in chosen]),
            *(Column(name, [row[place] for row in values]) for place, name in enumerate(names)),
            Column("state", states, is_left=True),
        ]
        return draw_table(columns, [style_of(trial.state, trial.number in winners) for trial in chosen], width)


def _chosen(trials: Sequence[Trial], ranked: Sequence[Trial], room: int) -> list[Trial]:
    """The rows that fit: running trials first; of those that have ended the best and the newest, in that order."""
    running = [trial for trial in trials if trial.state == RUNNING][:room]
    room -= len(running)
    numbers = {trial.number for trial in ranked}
    newest = sorted(
        (trial for trial in trials if trial.state != RUNNING), key=lambda trial: (trial.has_ended, -trial.number)
    )
    others = [trial for trial in newest if trial.number not in numbers]
    # Half of the room is for the best, the other half for the newest that are not among them.
    shown = {trial.number for trial in ranked[: (room + 1) // 2]}
    shown |= {trial.number for trial in [t for t in newest if t.number not in shown][: room - len(shown)]}
    return [*running, *(trial for trial in [*ranked, *others] if trial.number in shown)]


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _running_text(trial: Trial) -> str:
    score = "" if trial.score is None else f" score {trial.score:.3g}"
    return f"trial {trial.number} {_progress(trial)}{score}"


def _progress(trial: Trial) -> str:
    """`12/30`; where several of its seeds run, how far the last one is: `12/30 (3 seeds)`."""
    seeds = f" ({len(trial.going)} seeds)" if len(trial.going) > 1 else ""
    return f"{trial.update}/{trial.num_updates}{seeds}"


@contextlib.contextmanager
def _above(live: Live) -> Iterator[None]:
    """Draw the table; what is printed and logged meanwhile goes above it.

    Live takes care of print; log handlers have kept the stream that they were made with.
    """
    streams = (sys.stdout, sys.stderr)
    handlers = [
        handler
        for handler in [*logging.getLogger().handlers, *log.handlers]
        if isinstance(handler, logging.StreamHandler) and handler.stream in streams
    ]
    kept = [handler.stream for handler in handlers]
    with live:
        for handler in handlers:
            handler.setStream(sys.stderr)
        try:
            yield
        finally:
            for handler, stream in zip(handlers, kept, strict=True):
                handler.setStream(stream)
