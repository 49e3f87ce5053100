"""The progress of a running job: a bar on a terminal, a plain line every few seconds elsewhere."""

import logging
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from tqdm import tqdm

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
        values = {"score": row["objective/scores"], "KL": row["objective/kl"]}
        if "eval/score" in row:
            values |= {"eval score": row["eval/score"], "eval KL": row["eval/kl"], "win rate": row["eval/win_rate"]}
        text = ", ".join(f"{name} {value:.3g}" for name, value in values.items())
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
