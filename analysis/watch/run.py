"""One run that is followed while it is written: each look reads only what is new."""

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rlhf_sweeps.runs import Run, salvage_object, salvage_rows, salvage_yaml

COMPLETE, PRUNED, STOPPED, FAILED, RUNNING, WAITING, UNFINISHED = (
    "complete",
    "pruned",
    "stopped",
    "failed",
    "running",
    "waiting",
    "unfinished",
)
_NEWEST = 10  # updates that the speed is the mean of
# Why a sweep asks a run to stop -> what it is then; for other reasons it has merely been stopped.
_STOPS = {"pruned": PRUNED, "kl_budget": COMPLETE, "timeout": FAILED, "waiting": WAITING}
_GOES_ON = ("interrupted", "budget")


class _Point(NamedTuple):
    """What is kept of one update; nan for what it lacks."""

    update: float
    reward: float
    score: float
    kl: float
    seconds: float


class FollowedRun:
    """A run's folder, at whatever stage.

    Attributes:
        summary: empty until it has ended.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self.folder = run.folder
        self.summary: Mapping[str, Any] = {}
        self._summary_stamp = self._metrics_stamp = (0, 0, 0)
        self._points: list[_Point] = []
        self._overrides: tuple[str, ...] = ()
        self._config: Mapping[str, Any] = {}

    def look(self) -> None:
        """Take in what is new; the updates of a run that has ended are not read before `read_updates` asks for them."""
        stamp = _stamp(self.folder / "summary.json")
        if stamp != self._summary_stamp:
            self._summary_stamp = stamp
            self.summary = salvage_object(self.folder / "summary.json", [])
        if not self.summary:
            self.read_updates()

    def read_updates(self) -> None:
        """Take in the new updates."""
        path = self.folder / "metrics.jsonl"
        stamp = _stamp(path)
        if stamp == self._metrics_stamp:
            return
        if stamp[2] < self._metrics_stamp[2]:  # cut in place: what has been read may be gone
            self._run, self._points = Run(self.folder), []
        self._metrics_stamp = stamp
        try:
            rows = self._run.new_metrics()
        except OSError:
            return
        except (ValueError, RecursionError):  # damaged: what can be read of the whole file, once
            self._points, rows = [], salvage_rows(path, [])
        for row in rows:
            self._take(row)

    def _take(self, row: Any) -> None:
        update = _number(row.get("update")) if isinstance(row, dict) else math.nan
        if math.isnan(update):
            return
        while self._points and self._points[-1].update >= update:  # it has gone on from a checkpoint
            self._points.pop()
        names = ("objective/rlhf_reward", "eval/score", "eval/kl", "perf/update_seconds")
        self._points.append(_Point(update, *(_number(row.get(name)) for name in names)))

    @property
    def overrides(self) -> tuple[str, ...]:
        """What the user or the sweep changed: `ppo.lr=1e-4`."""
        if not self._overrides:  # a run's folder is there before its files are
            told = salvage_yaml(self.folder / ".hydra" / "overrides.yaml", [])
            self._overrides = tuple(map(str, told)) if isinstance(told, list) else ()
        return self._overrides

    @property
    def num_updates(self) -> int | None:
        """Updates in a whole run; None where its config does not tell."""
        if not self._config:
            config = salvage_object(self.folder / "run.json", []).get("config")
            self._config = config if isinstance(config, dict) else {}
        ppo = self._config.get("ppo")
        ppo = ppo if isinstance(ppo, dict) else {}
        episodes, batch = _number(ppo.get("total_episodes")), _number(ppo.get("batch_size"))
        if episodes > 0 and batch > 0 and math.isfinite(episodes / batch):
            return math.ceil(episodes / batch)
        return self.update if self.summary.get("status") == COMPLETE else None

    @property
    def update(self) -> int:
        """How far it is."""
        newest = self._points[-1].update if self._points else _number(self.summary.get("updates"))
        return int(newest) if math.isfinite(newest) else 0

    @property
    def score(self) -> float | None:
        """Of its newest evaluation."""
        return self._newest("score")

    @property
    def kl(self) -> float | None:
        """Likewise, in nats a response."""
        return self._newest("kl")

    @property
    def rewards(self) -> list[float]:
        """The step reward of every update read so far."""
        return [point.reward for point in self._points]

    @property
    def seconds(self) -> float:
        """Of training."""
        total = _number(self.summary.get("seconds"))
        return sum(self._durations()) if math.isnan(total) else total

    @property
    def seconds_per_update(self) -> float | None:
        """Mean of the newest ones, evaluations and checkpoints included."""
        durations = self._durations()[-_NEWEST:]
        if durations:
            return sum(durations) / len(durations)
        return self.seconds / self.update if self.update and self.seconds else None

    @property
    def objectives(self) -> list[float] | None:
        """What it is worth, a value for each objective; None where it has none."""
        values = self.summary.get("objectives") or [self.summary.get("objective")]
        numbers = [_number(value) for value in values] if isinstance(values, list) else [math.nan]
        return numbers if all(map(math.isfinite, numbers)) else None

    @property
    def state(self) -> str | None:
        """How it has ended; None if it has not."""
        status, reason = self.summary.get("status"), self.summary.get("stop_reason")
        if not self.summary or (status == STOPPED and reason in _GOES_ON):
            return None
        if status == STOPPED:
            state = _STOPS.get(str(reason), STOPPED)
            return PRUNED if state == COMPLETE and self.objectives is None else state
        return {"complete": COMPLETE, "diverged": FAILED, "failed": FAILED}.get(str(status), UNFINISHED)

    @property
    def cause(self) -> str | None:
        """Why it failed, or was stopped."""
        if self.state == FAILED:
            status = self.summary.get("status")
            return "diverged" if status == "diverged" else str(self.summary.get("cause") or self._reason or "unknown")
        return self._reason if self.state == STOPPED else None

    @property
    def silent_for(self) -> float:
        """Seconds since anything was written, by this machine's clock."""
        newest = max(_stamp(self.folder / name)[1] for name in ("metrics.jsonl", "run.json", "summary.json"))
        return max(0.0, time.time() - newest / 1e9)

    @property
    def _reason(self) -> str | None:
        reason = self.summary.get("stop_reason")
        return None if reason is None else str(reason)

    def _durations(self) -> list[float]:
        return [point.seconds for point in self._points if math.isfinite(point.seconds)]

    def _newest(self, name: str) -> float | None:
        values = (getattr(point, name) for point in reversed(self._points))
        found = next((value for value in values if not math.isnan(value)), math.nan)
        if math.isnan(found):
            last = self.summary.get("last")
            found = _number(last.get(name)) if isinstance(last, dict) else math.nan
        return None if math.isnan(found) else found


def _stamp(path: Path) -> tuple[int, int, int]:
    """Tells one content of a file from another: inode, time in nanoseconds, size; zeros where there is none."""
    try:
        status = path.stat()
    except OSError:
        return (0, 0, 0)
    return status.st_ino, status.st_mtime_ns, status.st_size


def _number(value: Any) -> float:
    """nan for what is none."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    try:
        return float(value) if is_number else math.nan
    except OverflowError:
        return math.nan
