"""The progress of a running job: a bar on a terminal, a plain line every few seconds elsewhere."""

import logging
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from tqdm import tqdm

from rlhf_sweeps.figures import format_number, format_share
from rlhf_sweeps.record.quantities import KL_NOW, SCORE_NOW

SECONDS_BETWEEN_LINES = 15.0  # not measured, chosen

log = logging.getLogger("rlhf_sweeps")


class Progress:
    """Shows the updates of a run, one after the other.

    Args:
        total: updates of the whole run.
        done: updates that earlier starts of the run have made.
    """

    def __init__(self, total: int, done: int) -> None:
        self.total = total
        self._done_before = done
        self._start = time.monotonic()
        self._last_line = self._start
        self._bar = tqdm(total=total, initial=done, unit="update") if sys.stderr.isatty() else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, row: Mapping[str, float]) -> None:
        """Show one update's metrics."""
        values = {"training score": row["objective/scores"], "training KL": row["objective/kl"]}
        if "eval/score" in row:
            values |= {SCORE_NOW: row["eval/score"], KL_NOW: row["eval/kl"]}
        text = ", ".join(f"{name} {format_number(value)}" for name, value in values.items())
        if "eval/win_rate" in row:
            text += f", win rate now {format_share(row['eval/win_rate'])}"
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)
            self._bar.update()
        elif "eval/score" in row or time.monotonic() - self._last_line > SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            log.info("update %d/%d: %s, %s left", row["update"], self.total, text, self._time_left(int(row["update"])))

    def _time_left(self, update: int) -> str:
        each = (time.monotonic() - self._start) / (update - self._done_before)
        minutes, seconds = divmod(round(each * (self.total - update)), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}:{minutes:02d}:{seconds:02d}"
