"""Runs in a made-up time that take no time to compute, and record updates as real ones do.

A `World` holds the clock. Its runs are what a test wants: slow, long, lost, hung, diverged, ended by a signal.
"""

import heapq
import itertools
import json
import math
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlhf_sweeps.process.environment import EXIT_STATUS
from rlhf_sweeps.record import Run
from rlhf_sweeps.sweep.engine import Engine
from rlhf_sweeps.sweep.execution.executors import Executor

START = 2.0  # seconds until a run's first update begins
DECISION = 0.1  # seconds between a record and the run's look for a request to stop
EVALUATED_EVERY = 5
# With which a process ends that leaves no summary.
STATUSES = {"lost": -9, "exit": 0, "full_disk": EXIT_STATUS}


class Killed(BaseException):
    """The sweeper's process is gone."""


def score(setting: Mapping[str, Any], share: float) -> float:
    """Of a run at a share of it: by its learning rate late or early, by its KL coefficient high or low."""
    lr, kl_coef = float(setting["ppo.lr"]), float(setting["ppo.kl_coef"])
    end = 2 - math.log10(lr / 5e-4) ** 2 - 0.5 * math.log10(kl_coef / 0.02) ** 2
    noise = 0.02 * math.sin(1000 * setting["seed"] + 100 * math.log(lr) + 10 * math.log(kl_coef))
    return (end + noise) * share ** (0.5 + kl_coef)


@dataclass
class World:
    """All that a sweep meets.

    Attributes:
        faults: folder relative to the sweep's -> update -> what goes wrong there; on `_once` at its first start only.
        slowness: likewise -> seconds of an update; by default `usual`, or 1 times a sixteenth of the batch.
        kills: at which of the sweeper's steps it is killed.
        interruptions: at which it gets Ctrl-C.
        events_per_look: how many events pass, at most, before the sweeper looks again.
    """

    folder: Path
    num_workers: int = 1
    faults: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    slowness: Mapping[str, float] = field(default_factory=dict)
    kills: set[int] = field(default_factory=set)
    interruptions: set[int] = field(default_factory=set)
    usual: float | None = None
    events_per_look: int = 1
    now: float = 1000.0
    num_steps: int = 0
    is_dead: bool = False
    engine: Engine | None = None
    # Folders in the order in which they got a worker, and when they gave it back.
    starts: list[str] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        """Let time go on."""
        self.now += seconds

    def step(self) -> None:
        """The sweeper does something; it may be its last."""
        if self.is_dead:
            raise Killed
        self.num_steps += 1
        if self.num_steps in self.interruptions and self.engine is not None:
            interruption = getattr(self.engine, "_interruption", None)
            if interruption is not None:
                interruption.reason = "interrupted"
        if self.num_steps in self.kills:
            self.is_dead = True
            raise Killed


class SimulatedExecutor(Executor):
    """Runs records, one event after another."""

    def __init__(self, world: World) -> None:
        self.world, self.num_workers = world, world.num_workers
        self._order = itertools.count()
        self._events: list[tuple[float, int, Path]] = []
        self._runs: dict[Path, tuple[Iterator[float], Future[int]]] = {}

    def prepare(self) -> None:
        """Nothing is imported."""

    def submit(self, folder: Path) -> Future[int]:
        assert folder not in self._runs, "it is running"
        assert len(self._runs) < self.num_workers, "more runs than workers"
        self.world.starts.append(str(folder.relative_to(self.world.folder)))
        future: Future[int] = Future()
        self._runs[folder] = (self._life(folder, future), future)
        self._schedule(folder)
        return future

    def kill(self, folder: Path) -> None:
        if folder in self._runs:
            self._runs.pop(folder)[1].set_result(-9)

    def close(self) -> None:
        """Nothing is held."""

    def advance(self) -> None:
        """Let some events pass, as many as the folders in the order of starts say."""
        for _ in range(1 + len(self.world.starts) % self.world.events_per_look):
            self._pass_one()

    def _pass_one(self) -> None:
        """Let time go on to the next event; without one for a while."""
        while self._events and self._events[0][2] not in self._runs:
            heapq.heappop(self._events)
        if not self._events:
            self.world.now += 1.0
            return
        time, _, folder = heapq.heappop(self._events)
        self.world.now = max(self.world.now, time)
        self._schedule(folder)

    def _schedule(self, folder: Path) -> None:
        life, future = self._runs[folder]
        try:
            seconds = next(life)
        except StopIteration:
            del self._runs[folder]
            if not future.done():
                future.set_result(0)
            return
        if math.isfinite(seconds):
            heapq.heappush(self._events, (self.world.now + seconds, next(self._order), folder))

    def _life(self, folder: Path, future: "Future[int]") -> Iterator[float]:
        setting = json.loads((folder / ".hydra" / "config.yaml").read_text())
        record, name = Run(folder), str(folder.relative_to(self.world.folder))
        yield START
        note(folder, "start")
        record.begin({})
        checkpoint = folder / "checkpoint_of_simulation"
        done = int(checkpoint.read_text()) if checkpoint.exists() else 0
        record.rewind(done)
        total, batch = num_updates(setting), int(setting["ppo.batch_size"])
        for update in range(done + 1, total + 1):
            seconds = self.world.slowness.get(name, self.world.usual or batch / 16)
            yield seconds
            fault = fault_of(self.world, folder, name, update)
            if fault == "hang":
                yield math.inf
            if fault in STATUSES:
                future.set_result(STATUSES[fault])
                return
            if fault is not None and fault != "signal":
                status = {"status": fault} if fault == "diverged" else {"status": "failed", "cause": fault}
                record.write_summary({**status, "message": "no", "objective": None})
                future.set_result(1)
                return
            record.append_metrics(row_of(setting, update, total, seconds))
            note(folder, f"update {update}")
            yield DECISION
            reason = record.stop_reason() if update < total else None
            reason = reason or ("interrupted" if fault == "signal" and update < total else None)
            if reason or update % EVALUATED_EVERY == 0 or update == total:
                checkpoint.write_text(str(update))
                note(folder, f"checkpoint {update}")
            if reason:
                record.write_summary({"status": "stopped", "stop_reason": reason, "objective": None})
                return
        record.write_summary({"status": "complete", "stop_reason": None, "objective": 0.0})
        note(folder, "end")


def fault_of(world: World, folder: Path, name: str, update: int) -> str | None:
    fault = world.faults.get(name, {}).get(update)
    if fault is None or not fault.endswith("_once"):
        return fault
    mark = folder / f"fault_{update}"
    if mark.exists():
        return None
    mark.touch()
    return fault.removesuffix("_once")


def row_of(setting: Mapping[str, Any], update: int, total: int, seconds: float) -> dict[str, Any]:
    row = {"update": update, "objective/kl": float(update > 1), "perf/update_seconds": seconds}
    if update % EVALUATED_EVERY == 0 or update == total:
        row |= {"eval/score": score(setting, update / total), "eval/base_score": 0.0, "eval/kl": 1.0}
    return row


def num_updates(setting: Mapping[str, Any]) -> int:
    return math.ceil(int(setting["ppo.total_episodes"]) / int(setting["ppo.batch_size"]))


def note(folder: Path, line: str) -> None:
    """Unlike the record, the history is never cut."""
    with (folder / "history").open("a") as file:
        file.write(f"{line}\n")
