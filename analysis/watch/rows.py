"""What is known of a trial, and of a sweep or run as a whole, at one look."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from analysis.labels import setting_labels
from analysis.records import COMPLETE, FAILED, PRUNED, STOPPED, UNFINISHED
from analysis.watch.run import RUNNING, WAITING, FollowedRun
from analysis.worth import mean_broken
from rlhf_sweeps.verdicts.settings import losses, mean_over_seeds, rank_key

_ENDS = {"COMPLETE": COMPLETE, "PRUNED": PRUNED, "FAIL": FAILED}  # as Optuna has them
SEED = "seed"
CONTINUE = "continue with "  # what stands in a note before a command
_ORDER = (COMPLETE, PRUNED, STOPPED, FAILED, RUNNING, WAITING, UNFINISHED)


@dataclass
class Row:
    """A trial, or a run of its own.

    Attributes:
        label: its number, or the run's name.
        settings: swept key -> text.
        runs: by seed, several of which may run at once; none where a trial had nothing to run.
        num_seeds: runs that a trial takes.
        objectives: of a complete one, a value for each objective.
        tested: the same on its test seeds, once a run on these has come to its end, and on how many.
        is_feasible: whether it keeps the objective's constraints.
    """

    label: str
    settings: Mapping[str, str]
    runs: Sequence[FollowedRun]
    state: str
    cause: str | None = None
    num_seeds: int = 1
    objectives: list[float] | None = None
    is_feasible: bool = True
    is_test: bool = False
    tested: list[float] | None = None
    num_tested: int = 0

    @property
    def setting(self) -> Mapping[str, str]:
        """What it was run with, the seed aside, which is no setting."""
        return {key: text for key, text in self.settings.items() if key != SEED}

    @property
    def is_open(self) -> bool:
        """Whether its state is not the last one."""
        return self.state in (RUNNING, WAITING, UNFINISHED)

    @property
    def at_work(self) -> list[FollowedRun]:
        """Its runs that have not ended: of several seeds some may run at once."""
        return [run for run in self.runs if run.state is None]

    @property
    def current(self) -> FollowedRun | None:
        """The run that it is at; of several at once, the one that is furthest behind."""
        return min(self.at_work, key=lambda run: run.update, default=self.runs[-1] if self.runs else None)

    @property
    def seconds(self) -> float:
        """Of training."""
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
        done = sum((run.num_updates or 0) if one.state == COMPLETE else one.update for one in self.runs)
        return max(0.0, whole - done * (run.seconds_per_update or 0.0)) / max(1, len(self.at_work))


@dataclass
class Seen:
    """A sweep or a run at one look.

    Attributes:
        rows: trials by number, then runs on test seeds; or the one run.
        num_planned: trials in all; None where nobody knows.
        elapsed, left: seconds; None where unknown.
        note: whether anybody is at work, and how to go on.
        warning: the newest about a run that runs.
        has_ended: nothing more is to be seen.
        is_complete: it has come to its planned end.
    """

    name: str
    folder: Path
    rows: list[Row]
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
    trials: list[Row] = field(init=False)

    def __post_init__(self) -> None:
        self.trials = [row for row in self.rows if not row.is_test]

    @cached_property
    def labels(self) -> Mapping[str, Mapping[str, str]]:
        """Swept key -> a setting's text -> how it is shown; different ones are told apart."""
        keys = dict.fromkeys(key for row in self.rows for key in row.settings)
        return {key: setting_labels(row.settings[key] for row in self.rows if key in row.settings) for key in keys}

    def ranking(self) -> list[Row]:
        """Complete trials that keep the constraints, the best first; those on a Pareto front before all others."""
        ordered = self._ordered()
        front = self._front(ordered)
        return [*front, *(row for row in ordered if not any(row is one for one in front))]

    def best(self) -> list[Row]:
        """The best trial, if there is one; of several objectives the Pareto front."""
        return self._front(self._ordered())

    def same(self, row: Row) -> list[Row]:
        """The complete trials of a trial's setting: of an earlier version's sweep over seeds one for each seed."""
        if SEED not in row.settings:
            return [row]
        return [one for one in self.trials if one.state == COMPLETE and one.setting == row.setting]

    def worth(self, row: Row) -> list[float]:
        """A value for each objective, the mean over the seeds of a trial's setting; empty where that is unknown."""
        return mean_over_seeds(one.objectives for one in self.same(row)) or []

    def _ordered(self) -> list[Row]:
        valued = [row for row in self.trials if row.state == COMPLETE and row.is_feasible and self._losses(row)]
        return sorted(valued, key=lambda row: rank_key(self.worth(row), row.tested, self.directions))

    def counts(self) -> str:
        """`9 complete, 2 failed (1 diverged, 1 error), 1 running`."""
        states = Counter(row.state for row in self.trials)
        causes = Counter(row.cause or "unknown" for row in self.trials if row.state == FAILED)
        why = ", ".join(causes if len(causes) == 1 else (f"{count} {cause}" for cause, count in causes.most_common()))
        texts = [
            f"{states[state]} {state}" + (f" ({why})" if state == FAILED else "") for state in _ORDER if states[state]
        ]
        return ", ".join(texts)

    def _losses(self, row: Row) -> list[float]:
        """The objectives, signed so that lower is better; empty where they are not as many as there should be."""
        values = self.worth(row)
        if len(values) != len(self.directions):
            return []
        return losses(values, self.directions)

    def _front(self, ordered: Sequence[Row]) -> list[Row]:
        """In this order a trial can be dominated, or equalled, only by one before it."""
        if len(self.directions) == 1:
            return list(ordered[:1])
        front: list[Row] = []
        for row in ordered:
            own = self._losses(row)
            if not any(all(a <= b for a, b in zip(self._losses(one), own, strict=True)) for one in front):
                front.append(row)
        return front


def trial_row(
    number: int,
    runs: Sequence[FollowedRun],
    known: Any,
    keys: Sequence[str],
    num_seeds: int,
    unended: str,
    is_test: bool = False,
) -> Row:
    """A trial as it stands.

    Args:
        runs: of the trial, by seed.
        known: Optuna's trial; None where there is no study.
        keys: that are swept.
        num_seeds: runs that it takes.
        unended: the state of what has not ended.
    """
    notes = {} if known is None else dict(known.user_attrs)
    state = None if known is None else _ENDS.get(known.state.name)
    found, cause = _from_runs(runs, num_seeds, unended)
    if state is not None:
        found, cause = state, (str(notes.get("cause") or cause or "unknown") if state == FAILED else None)
    settings = notes.get("settings")
    return Row(
        f"{number} test" if is_test else str(number),
        {str(key): str(text) for key, text in settings.items()}
        if isinstance(settings, dict)
        else settings_of(runs, keys),
        runs,
        found,
        cause,
        num_seeds,
        _objectives(runs, known) if found == COMPLETE else None,
        found != COMPLETE or all(excess <= 0 for excess in _violations(runs, known).values()),
        is_test,
    )


def settings_of(runs: Sequence[FollowedRun], keys: Sequence[str]) -> dict[str, str]:
    """What a trial was told about the keys that are swept; about all, where these are unknown."""
    told = dict(text.lstrip("+").partition("=")[::2] for text in (runs[0].overrides if runs else ()))
    return {key: told[key] for key in (keys or told) if key in told}


def _from_runs(runs: Sequence[FollowedRun], num_seeds: int, unended: str) -> tuple[str, str | None]:
    """State and cause by what the runs themselves say."""
    for run in runs:
        if run.state in (FAILED, PRUNED, STOPPED, WAITING):
            return str(run.state), run.cause
    is_whole = len(runs) >= num_seeds and all(run.state == COMPLETE for run in runs)
    return (COMPLETE if is_whole and runs else unended), None


def _violations(runs: Sequence[FollowedRun], known: Any) -> Mapping[str, float]:
    """In the mean over seeds; what the study says itself goes before."""
    told = (getattr(known, "constraints", None) or {}) if known is not None else {}
    return {**mean_broken([run.broken for run in runs]), **told}


def _objectives(runs: Sequence[FollowedRun], known: Any) -> list[float] | None:
    """The study's, else the mean over seeds."""
    if known is not None and known.values:
        return [float(value) for value in known.values]
    return mean_over_seeds(run.objectives for run in runs)
