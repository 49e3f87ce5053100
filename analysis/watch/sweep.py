"""A sweep that is followed while it runs: its trials, its progress, and whether a sweeper is still at work."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.records.objective import Objective, read_sweep_objective
from analysis.records.runs import COMPLETE, UNFINISHED, convert_number
from analysis.watch.health import HealthWarnings
from analysis.watch.liveness import is_swept
from analysis.watch.remaining import estimate_seconds
from analysis.watch.rows import CONTINUE, Snapshot, TrialRow, make_row
from analysis.watch.run import FollowedRun
from analysis.watch.thresholds import GRACE, SHARE_OF_STUDY, SILENT_AFTER
from rlhf_sweeps.record import (
    Sweep,
    SweepPlan,
    as_mapping,
    is_compared,
    list_runs,
    read_plan,
    salvage_object,
    take_stamp,
)
from rlhf_sweeps.record.trials import RUNNING


class FollowedSweep:
    """A sweep's folder, at whatever stage."""

    def __init__(self, sweep: Sweep) -> None:
        self.folder = sweep.folder
        self._sweep, self._plan = sweep, SweepPlan()
        self._start: Mapping[str, Any] = {}  # what sweep.json holds
        self._runs: dict[Path, FollowedRun] = {}
        self._heard = float("-inf")  # when the sweeper last gave a sign, in seconds of the monotonic clock
        self._study: Any = None
        self._study_stamp, self._study_due = 0, 0.0
        self._optuna_trials: dict[int, Any] = {}
        self._most_running = 1
        self._warnings = HealthWarnings()
        self._last: Snapshot | None = None
        self._stamps: tuple[int, ...] = ()

    def look(self, name: str) -> Snapshot:
        """Read what is new; the present state of the sweep.

        Args:
            name: its name in the table.
        """
        # The next sweeper leaves its name first.
        sweep = self._sweep
        stamps = tuple(take_stamp(file).modified for file in (sweep.holder_file, sweep.start_file, sweep.hydra_file))
        if self._last is None or not self._last.has_ended or stamps != self._stamps:
            self._stamps, self._last = stamps, self._look(name)
        return self._last

    def _look(self, name: str) -> Snapshot:
        self._read_plan()
        self._read_study()
        is_alive = is_swept(self.folder, salvage_object(self._sweep.holder_file, []))
        silent = time.monotonic() - self._heard
        unended = RUNNING if (silent < SILENT_AFTER if is_alive is None else is_alive) else UNFINISHED
        trials, tests = self._make_rows(unended)
        self._most_running = max(self._most_running, sum(row.state == RUNNING for row in [*trials, *tests]))
        is_done = self._is_done(trials, tests)
        return Snapshot(
            name,
            self.folder,
            [*trials, *tests],
            self._objective.metrics,
            self._objective.directions,
            num_planned=self._plan.num_trials,
            is_comparison=self._has_own_scales,
            elapsed=self._measure_elapsed(min(silent, GRACE) if unended == RUNNING and not is_done else 0.0),
            left=self._estimate_left(trials, tests) if unended == RUNNING and not is_done else None,
            note=self._write_note(is_alive, is_done, silent),
            warning=self._warnings.look([*trials, *tests]),
            has_ended=not is_alive if is_done else is_alive is False and silent > GRACE,
            is_complete=is_done,
        )

    def _make_rows(self, unended: str) -> tuple[list[TrialRow], list[TrialRow]]:
        """Trials by number, and the runs on test seeds."""
        places = list_runs(self._sweep)
        old = self._runs
        self._runs = {}
        of_trial: dict[int, list[FollowedRun]] = {number: [] for number in self._optuna_trials}
        of_tests: list[tuple[int, FollowedRun]] = []
        for place in places:
            run = old.get(place.run.folder) or FollowedRun(place.run)
            self._runs[place.run.folder] = run
            run.look()
            of_trial.setdefault(place.trial, [])
            if place.is_test:
                of_tests.append((place.trial, run))
            else:
                of_trial[place.trial].append(run)
        keys, seeds = self._plan.keys, max(1, len(self._plan.seeds))
        trials = [make_row(n, of_trial[n], self._optuna_trials.get(n), keys, seeds, unended) for n in sorted(of_trial)]
        tests = [make_row(n, [run], None, keys, 1, unended, is_test=True) for n, run in of_tests]
        earlier = {n for n, trial in self._optuna_trials.items() if not is_compared(self._start, trial.user_attrs)}
        for n, row in zip([*sorted(of_trial), *(n for n, _ in of_tests)], [*trials, *tests], strict=True):
            row.is_compared = n not in earlier
        for number, trial in zip(sorted(of_trial), trials, strict=True):
            own = [row.objectives for (n, _), row in zip(of_tests, tests, strict=True) if n == number]
            trial.tests = [worth for worth in own if worth]
        return trials, tests

    def _is_done(self, trials: Sequence[TrialRow], tests: Sequence[TrialRow]) -> bool:
        """Whether all that was planned has ended."""
        planned = self._plan.num_trials
        counted = _select_compared(trials)
        if planned is None or len(counted) < planned or any(row.is_open for row in [*trials, *tests]):
            return False
        return len(_select_compared(tests)) >= self._count_tests(counted)

    def _count_tests(self, trials: Sequence[TrialRow]) -> int:
        done = [row for row in trials if row.state == COMPLETE and row.is_feasible]
        if self._has_own_scales:  # then the best setting of each reward model is tested
            return self._plan.most_tests(len({row.runs[0].reward_model for row in done if row.runs}))
        return self._plan.most_tests(len(done))

    @property
    def _objective(self) -> Objective:
        return read_sweep_objective(self._plan, self._config) or Objective()

    @property
    def _has_own_scales(self) -> bool:
        """Whether reward models are compared, each with an objective of its own."""
        return self._plan.is_comparison and not self._objective.is_judged

    def _write_note(self, is_alive: bool | None, is_done: bool, silent: float) -> str | None:
        if is_done:
            return "all trials have ended, the sweeper is finishing" if is_alive else None
        command = self._plan.command(self.folder)
        if is_alive is False:
            if command is None:
                return f"no sweeper is running; {self._explain_lost_command()}"
            return f"no sweeper is running: {CONTINUE}{command}"
        if is_alive is None and silent > SILENT_AFTER:
            since = f" for {silent / 60:.0f} min" if silent < 360_000 else ""
            return f"no sign of a sweeper{since}" + ("" if command is None else f"; if it is gone, {CONTINUE}{command}")
        return None

    def _explain_lost_command(self) -> str:
        """Why the command that continues is unknown; an earlier version had it in Hydra's config only."""
        file = self._sweep.hydra_file if self._start.get("schema_version") == 1 else self._sweep.start_file
        if file == self._sweep.start_file and self._start:
            return f"{file.name} does not name the command that continues"
        return f"{file.name}, which has the command that continues, is {'damaged' if file.exists() else 'missing'}"

    def _measure_elapsed(self, since_heard: float) -> float | None:
        seconds = convert_number(self._start.get("seconds"))
        return None if seconds is None else seconds + since_heard

    def _estimate_left(self, trials: Sequence[TrialRow], tests: Sequence[TrialRow]) -> float | None:
        """Seconds until the end, or until the budget's."""
        hours, elapsed = convert_number(self._config.get("sweep.budget_hours")), self._measure_elapsed(0.0) or 0.0
        limit = None if hours is None else max(0.0, hours * 3600 - elapsed)
        planned = self._plan.num_trials
        if planned is None:
            return limit
        counted = _select_compared(trials)
        num_new = max(0, planned - len(counted))
        may_complete = num_new + sum(row.is_open or (row.state == COMPLETE and row.is_feasible) for row in counted)
        num_tests = max(0, self._plan.most_tests(may_complete) - len(_select_compared(tests)))
        left = estimate_seconds(trials, tests, num_new, num_tests, self._plan.num_workers or self._most_running)
        return min(left, limit) if left is not None and limit is not None else limit if left is None else left

    def _read_plan(self) -> None:
        start = self._sweep.salvage_start([])
        if not start:
            return
        if start.get("seconds") != self._start.get("seconds"):
            self._heard = time.monotonic() - (0.0 if self._start else _measure_age(self._sweep.start_file))
        # The next start of a sweep may want more trials.
        self._start, self._plan = start, read_plan(start)

    @property
    def _config(self) -> Mapping[str, Any]:
        """The flat config that all trials share."""
        return as_mapping(self._start.get("config"))

    def _read_study(self) -> None:
        """Read the study's trials, among them those without a summary or a folder."""
        modified, now = take_stamp(self._sweep.study).modified, time.monotonic()
        if modified in (0, self._study_stamp) or now < self._study_due:
            return
        from analysis.reading.study import open_study

        try:
            self._study = self._study or open_study(self._sweep, self._start, None, [])
            if self._study is not None:
                self._optuna_trials = {trial.number: trial for trial in self._study.get_trials(deepcopy=False)}
                self._study_stamp = modified
        except Exception:  # whatever a database raises that is being written, moved or damaged
            self._study = None
        self._study_due = time.monotonic() + (time.monotonic() - now) / SHARE_OF_STUDY


def _select_compared(rows: Sequence[TrialRow]) -> list[TrialRow]:
    return [row for row in rows if row.is_compared]


def _measure_age(path: Path) -> float:
    """Seconds since a file was written, by this machine's clock."""
    return max(0.0, time.time() - take_stamp(path).modified / 1e9)
