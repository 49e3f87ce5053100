"""The state of a trial, and of a sweep or run as a whole, at one look."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from analysis.records.runs import COMPLETE, FAILED, STOPPED, UNFINISHED
from analysis.watch.run import FollowedRun
from analysis.wording.labels import label_settings
from rlhf_sweeps.record.trials import (
    BEYOND,
    RUNNING,
    WAITING,
    end_of_trial,
    format_counts,
    is_beyond_budget,
    read_settings,
)
from rlhf_sweeps.verdicts.settings import (
    compute_losses,
    find_front,
    keeps_constraints,
    mean_over_seeds,
    mean_violations,
    rank_key,
)

SEED = "seed"
CONTINUE = "continue with "  # what stands in a note before a command


@dataclass
class TrialRow:
    """A trial, or a run of its own.

    Attributes:
        label: its number, or the run's name.
        settings: swept key, without plus signs -> text.
        runs: by seed, several of which may run at once; none where a trial had nothing to run.
        num_seeds: runs that a trial takes.
        objectives: of a complete one, a value for each objective.
        tests: the same of each run on a test seed that has come to its end.
        violations: constraint -> by how much a complete one breaks it, in the mean over its runs; 0 and below: kept.
        is_compared: whether it can be compared with the newest trials; not under an earlier configuration.
    """

    label: str
    settings: Mapping[str, str]
    runs: Sequence[FollowedRun]
    state: str
    cause: str | None = None
    num_seeds: int = 1
    objectives: list[float] | None = None
    violations: Mapping[str, float] = field(default_factory=dict)
    is_test: bool = False
    is_compared: bool = True
    tests: Sequence[list[float]] = ()

    @property
    def setting(self) -> Mapping[str, str]:
        """Its settings without the seed."""
        return {key: text for key, text in self.settings.items() if key != SEED}

    @property
    def is_feasible(self) -> bool:
        """Whether it keeps the objective's constraints."""
        return keeps_constraints(self.violations)

    @property
    def remark(self) -> str | None:
        """What its state leaves out: the cause of a failure, or that a complete one went beyond its KL budget."""
        if self.state == COMPLETE and any(is_beyond_budget(run.summary) for run in self.runs):
            return BEYOND
        return self.cause

    @property
    def is_open(self) -> bool:
        """Whether its state is not the last one."""
        return self.state in (RUNNING, WAITING, UNFINISHED)

    @property
    def at_work(self) -> list[FollowedRun]:
        """Its runs that have not ended, of which several may run at once."""
        return [run for run in self.runs if run.state is None]

    @property
    def current(self) -> FollowedRun | None:
        """Its running run; of several, the one that is furthest behind."""
        return min(self.at_work, key=lambda run: run.update, default=self.runs[-1] if self.runs else None)

    @property
    def seconds(self) -> float:
        """Seconds of training."""
        return sum(run.seconds for run in self.runs)

    @property
    def whole(self) -> float | None:
        """Seconds that all its runs take at the speed of the current one; None while that is unknown."""
        run = self.current
        if run is None or run.num_updates is None or run.seconds_per_update is None:
            return None
        return self.num_seeds * run.num_updates * run.seconds_per_update

    @property
    def left(self) -> float | None:
        """Seconds until its end, by the runs that are at work; None where that is unknown, or past."""
        run, whole = self.current, self.whole
        if run is None or whole is None or not self.is_open:
            return None
        done = sum((run.num_updates or 0) if seed_run.state == COMPLETE else seed_run.update for seed_run in self.runs)
        return max(0.0, whole - done * (run.seconds_per_update or 0.0)) / max(1, len(self.at_work))


@dataclass
class Snapshot:
    """A sweep or a run at one look.

    Attributes:
        rows: trials by number, then runs on test seeds; or the one run.
        trials: those of the rows that can be compared with each other.
        num_planned: trials in all; None where that is unknown.
        elapsed, left: seconds; None where unknown.
        note: whether a sweeper is at work, and how to continue.
        warning: the newest about a run that runs.
        has_ended: nothing more is to be seen.
        is_complete: it has come to its planned end.
    """

    name: str
    folder: Path
    rows: list[TrialRow]
    metrics: Sequence[str] = ("eval/score",)
    directions: Sequence[str] = ("maximize",)
    num_planned: int | None = None
    is_sweep: bool = True
    is_comparison: bool = False
    elapsed: float | None = None
    left: float | None = None
    note: str | None = None
    warning: str | None = None
    has_ended: bool = False
    is_complete: bool = False
    trials: list[TrialRow] = field(init=False)

    def __post_init__(self) -> None:
        self.trials = [row for row in self.rows if row.is_compared and not row.is_test]

    @cached_property
    def labels(self) -> Mapping[str, Mapping[str, str]]:
        """Swept key -> a setting's text -> its label; different settings have different labels."""
        keys = dict.fromkeys(key for row in self.rows for key in row.settings)
        return {key: label_settings(row.settings[key] for row in self.rows if key in row.settings) for key in keys}

    def rank_trials(self) -> list[TrialRow]:
        """Complete trials that keep the constraints, the best first; those on a Pareto front before all others."""
        ordered = self._order_trials()
        front = self._select_front(ordered)
        return [*front, *(row for row in ordered if not any(row is leader for leader in front))]

    def select_best(self) -> list[TrialRow]:
        """The best trial, if there is one; of several objectives the Pareto front."""
        return self._select_front(self._order_trials())

    def select_same(self, row: TrialRow) -> list[TrialRow]:
        """The complete trials of a trial's setting: several in sweeps over seeds of an earlier version."""
        if SEED not in row.settings:
            return [row]
        return [other for other in self.trials if other.state == COMPLETE and other.setting == row.setting]

    def average_objectives(self, row: TrialRow) -> list[float]:
        """A value for each objective, the mean over the seeds of a trial's setting; empty where that is unknown."""
        return mean_over_seeds(trial.objectives for trial in self.select_same(row)) or []

    def list_test_objectives(self, row: TrialRow) -> list[list[float]]:
        """The objectives of each run of a trial's setting on a test seed."""
        return [worth for trial in self.select_same(row) for worth in trial.tests]

    def is_feasible(self, row: TrialRow) -> bool:
        """Whether a trial's setting keeps the constraints, in the mean over its seeds."""
        return keeps_constraints(mean_violations(trial.violations for trial in self.select_same(row)))

    def _order_trials(self) -> list[TrialRow]:
        """The trials that can be best, best first."""
        complete = [row for row in self.trials if row.state == COMPLETE and self.is_feasible(row)]
        valued = [row for row in complete if compute_losses(self.average_objectives(row), self.directions)]
        return sorted(valued, key=self._make_rank_key)

    def _make_rank_key(self, row: TrialRow) -> tuple[bool, list[float], list[float]]:
        return rank_key(self.average_objectives(row), mean_over_seeds(self.list_test_objectives(row)), self.directions)

    def _select_front(self, ordered: Sequence[TrialRow]) -> list[TrialRow]:
        if len(self.directions) == 1:
            return list(ordered[:1])
        return [
            ordered[place]
            for place in find_front([compute_losses(self.average_objectives(row), self.directions) for row in ordered])
        ]

    def count_states(self) -> str:
        """`9 complete, 2 failed (1 diverged, 1 error), 1 running`."""
        return format_counts((row.state, row.remark) for row in self.trials)


def make_row(
    number: int,
    runs: Sequence[FollowedRun],
    optuna_trial: Any,
    keys: Sequence[str],
    num_seeds: int,
    unended: str,
    is_test: bool = False,
) -> TrialRow:
    """The present state of a trial.

    Args:
        runs: of the trial, by seed.
        optuna_trial: Optuna's trial; None where there is no study.
        keys: that are swept.
        num_seeds: runs that it takes.
        unended: the state of a trial that has not ended.
    """
    notes = {} if optuna_trial is None else dict(optuna_trial.user_attrs)
    state = end_of_trial(optuna_trial, [run.state for run in runs], num_seeds) or unended
    cause = next((run.cause for run in runs if run.state == state), None) if state in (FAILED, STOPPED) else None
    if state == FAILED:
        cause = str(notes.get("cause") or cause or "unknown")
    settings = notes.get("settings")
    return TrialRow(
        f"{number} test" if is_test else str(number),
        {str(key).lstrip("+"): str(text) for key, text in settings.items()}
        if isinstance(settings, dict)
        else read_run_settings(runs, keys),
        runs,
        state,
        cause,
        num_seeds,
        _find_objectives(runs, optuna_trial) if state == COMPLETE else None,
        _find_violations(runs, optuna_trial) if state == COMPLETE else {},
        is_test,
    )


def read_run_settings(runs: Sequence[FollowedRun], keys: Sequence[str]) -> dict[str, str]:
    """A trial's overrides of the swept keys; all overrides where these are unknown."""
    overrides = runs[0].overrides if runs else ()
    return read_settings(overrides, keys or [text.lstrip("+").partition("=")[0] for text in overrides])


def _find_violations(runs: Sequence[FollowedRun], optuna_trial: Any) -> Mapping[str, float]:
    """The excesses over the constraints by the study, else their means over seeds."""
    stated = (getattr(optuna_trial, "constraints", None) or {}) if optuna_trial is not None else {}
    return {**mean_violations(run.broken for run in runs), **stated}


def _find_objectives(runs: Sequence[FollowedRun], optuna_trial: Any) -> list[float] | None:
    """The study's, else the mean over seeds."""
    if optuna_trial is not None and optuna_trial.values:
        return [float(value) for value in optuna_trial.values]
    return mean_over_seeds(run.objectives for run in runs)
