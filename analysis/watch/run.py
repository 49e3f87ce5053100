"""A run that is followed while it is written: each look reads only what is new."""

import math
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from analysis.reading.folders import read_run
from analysis.records.runs import COMPLETE, DIVERGED, FAILED, STOPPED, convert_number
from analysis.records.spans import count_planned_updates
from analysis.records.worth import measure_violations
from analysis.watch.thresholds import NEWEST_UPDATES
from rlhf_sweeps.record import (
    Run,
    Stamp,
    read_words,
    salvage_hydra,
    salvage_object,
    salvage_rows,
    salvage_yaml,
    take_stamp,
)
from rlhf_sweeps.record.trials import WAITING, read_cause, read_objectives, read_state

_GOES_ON = ("interrupted", "budget")


class _Point(NamedTuple):
    """The values of one update in the table; nan for missing ones."""

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
        self._summary_stamp = self._metrics_stamp = Stamp()
        self._points: list[_Point] = []
        self._overrides: tuple[str, ...] = ()
        self._config: Mapping[str, Any] = {}
        self._broken: Mapping[str, float] | None = None

    def look(self) -> None:
        """Take in what is new; the updates of a run that has ended are not read before `read_updates` asks for them."""
        now = take_stamp(self._run.summary_file)
        if now != self._summary_stamp:
            self._summary_stamp, self._broken = now, None
            self.summary = salvage_object(self._run.summary_file, [])
        if not self.summary:
            self.read_updates()

    def read_updates(self) -> None:
        """Take in the new updates."""
        path = self._run.metrics_file
        now = take_stamp(path)
        if now == self._metrics_stamp:
            return
        if now.size < self._metrics_stamp.size:  # cut in place: what has been read may be gone
            self._run, self._points = Run(self.folder), []
        self._metrics_stamp = now
        rows = self._run.new_metrics()
        if self._run.read_position.is_damaged:  # what can be read of the whole file
            self._points, rows = [], salvage_rows(path, [])
        for row in rows:
            self._take_row(row)

    def _take_row(self, row: Any) -> None:
        update = _read_number(row.get("update")) if isinstance(row, dict) else math.nan
        if not math.isfinite(update):
            return
        while self._points and self._points[-1].update >= update:  # it has gone on from a checkpoint
            self._points.pop()
        names = ("objective/rlhf_reward", "eval/score", "eval/kl", "perf/update_seconds")
        self._points.append(_Point(update, *(_read_number(row.get(name)) for name in names)))

    @property
    def overrides(self) -> tuple[str, ...]:
        """What the user or the sweep changed: `ppo.lr=1e-4`."""
        if not self._overrides:  # a run's folder is there before its files are
            words = salvage_yaml(self._run.overrides_file, [])
            self._overrides = tuple(map(str, words)) if isinstance(words, list) else ()
        return self._overrides

    @property
    def words(self) -> list[str]:
        """The words of the command line that began it."""
        return read_words(salvage_hydra(self._run, [])) or list(self.overrides)

    @property
    def num_updates(self) -> int | None:
        """Updates in a whole run; None where its config does not tell."""
        ppo = self._read_group("ppo")
        planned = count_planned_updates(ppo.get("total_episodes"), ppo.get("batch_size"))
        return self.update if planned is None and self.summary.get("status") == COMPLETE else planned

    @property
    def update(self) -> int:
        """The newest update."""
        newest = self._points[-1].update if self._points else _read_number(self.summary.get("updates"))
        return int(newest) if math.isfinite(newest) else 0

    @property
    def score(self) -> float | None:
        """The score of its newest evaluation."""
        return self._find_newest("score")

    @property
    def kl(self) -> float | None:
        """The KL of its newest evaluation, in nats a response."""
        return self._find_newest("kl")

    @property
    def rewards(self) -> list[float]:
        """The step reward of every update read so far."""
        return [point.reward for point in self._points]

    @property
    def seconds(self) -> float:
        """Seconds of training."""
        total = _read_number(self.summary.get("seconds"))
        return sum(self._list_durations()) if math.isnan(total) else total

    @property
    def seconds_per_update(self) -> float | None:
        """The mean over the newest updates, with evaluations and checkpoints."""
        durations = self._list_durations()[-NEWEST_UPDATES:]
        if durations:
            return sum(durations) / len(durations)
        return self.seconds / self.update if self.update and self.seconds else None

    @property
    def objectives(self) -> list[float] | None:
        """A value for each objective; None where it has none."""
        return read_objectives(self.summary)

    @property
    def reward_model(self) -> str | None:
        """The name of its reward model; None where its config has none."""
        name = self._read_group("reward_model").get("name")
        return name if isinstance(name, str) else None

    @property
    def broken(self) -> Mapping[str, float]:
        """Constraint -> by how much a run that has ended breaks it; 0 and below: kept, nan: unknown."""
        if self._broken is None:
            is_limited = bool(self._read_group("objective").get("constraints"))
            self._broken = measure_violations(read_run(self._run, self.folder.name)) if is_limited else {}
        return self._broken

    @property
    def state(self) -> str | None:
        """How it has ended; None if it has not."""
        status, reason = self.summary.get("status"), self.summary.get("stop_reason")
        if not self.summary or (status == STOPPED and reason in _GOES_ON):
            return None
        if status == STOPPED and reason == WAITING:
            return WAITING
        state = read_state(self.summary)
        return FAILED if state == DIVERGED else state

    @property
    def cause(self) -> str | None:
        """Why it failed, or was stopped."""
        reason = self.summary.get("stop_reason")
        if self.state == STOPPED:
            return None if reason is None else str(reason)
        return read_cause(read_state(self.summary), self.summary)

    @property
    def silent_for(self) -> float:
        """Seconds since anything was written, by this machine's clock."""
        run = self._run
        newest = max(take_stamp(file).modified for file in (run.metrics_file, run.start_file, run.summary_file))
        return max(0.0, time.time() - newest / 1e9)

    def _read_group(self, name: str) -> Mapping[str, Any]:
        """A group of the config; empty where the record has none."""
        if not self._config:
            config = salvage_object(self._run.start_file, []).get("config")
            self._config = config if isinstance(config, dict) else {}
        group = self._config.get(name)
        return group if isinstance(group, dict) else {}

    def _list_durations(self) -> list[float]:
        return [point.seconds for point in self._points if math.isfinite(point.seconds)]

    def _find_newest(self, name: str) -> float | None:
        values = (getattr(point, name) for point in reversed(self._points))
        newest = next((value for value in values if not math.isnan(value)), math.nan)
        if math.isnan(newest):
            last = self.summary.get("last")
            newest = _read_number(last.get(name)) if isinstance(last, dict) else math.nan
        return None if math.isnan(newest) else newest


def _read_number(value: Any) -> float:
    """A value as a number; nan for anything else."""
    number = convert_number(value)
    return math.nan if number is None else number
