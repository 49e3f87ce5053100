"""What a report is about, in one order: the trials of a sweep, or the runs where there is no sweep."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean
from typing import Any

import numpy as np

from analysis.records import COMPLETE, REWARD, RunRecord, Source, Trial, shown
from analysis.report.parts import listed, short

# Where a run has no objective, as one from a table, what it is worth is the mean of this share of its updates.
_LAST_SHARE = 0.1
_EVALUATED = "eval/score"
_SEED = "seed"
_REWARD_MODEL = "reward_model"


@dataclass(frozen=True, eq=False)
class Entry:
    """A trial, or a run outside of a sweep; in a ranking, all of them that differ in nothing but their seeds.

    Attributes:
        title: `Trial 3`, `Run a`, `Trials 0, 1 and 2`.
        names: the trials' numbers, or the runs' names.
        settings: what differs between entries: key -> text.
        objectives: what it is worth; None where that is not known, or where it did not come to its end.
        runs: on the seeds that choose; tests: on those that do not.
        is_maximized: whether more of the first objective is better.
    """

    title: str
    names: Sequence[str]
    state: str
    settings: Mapping[str, str]
    objectives: Sequence[float] | None
    runs: Sequence[RunRecord]
    tests: Sequence[RunRecord] = ()
    seconds: float = 0.0
    cause: str | None = None
    message: str | None = None
    is_allowed: bool = True
    is_maximized: bool = True

    @property
    def name(self) -> str:
        """Of the only, or the first one."""
        return self.names[0]

    @property
    def worth(self) -> float:
        """The first objective; nan without one."""
        return self.objectives[0] if self.objectives else float("nan")

    @property
    def settings_text(self) -> str:
        """`ppo.lr=0.0001, seed=1`, numbers with 4 digits; empty where there are no settings."""
        return ", ".join(f"{key}={short(value)}" for key, value in self.settings.items())

    @cached_property
    def run(self) -> RunRecord | None:
        """The best of its runs, by the first objective; the first where they have none."""
        with_value = [run for run in self.runs if run.objectives]
        if with_value:
            pick = max if self.is_maximized else min
            return pick(with_value, key=lambda run: (run.objectives or [0.0])[0])
        return self.runs[0] if self.runs else None

    def summarized(self, key: str, part: str | None = None) -> float | None:
        """The mean over its runs of a number in their summaries; of `part`, such as `best`."""
        contents: list[Any] = [run.summary if part is None else run.summary.get(part) for run in self.runs]
        values = [content.get(key) for content in contents if isinstance(content, dict)]
        numbers = [float(value) for value in values if isinstance(value, int | float) and np.isfinite(value)]
        return fmean(numbers) if numbers else None


@dataclass(frozen=True, eq=False)
class Ranking:
    """All entries of a source.

    Attributes:
        entries: in the order of the source.
        ranked: settings that are worth something and keep the constraints, best first (by the first objective; where
            reward models were compared, the reward model that others judge best first).
        metric: what the first objective is, for readers.
        is_maximized: whether more of it is better.
        is_comparable: whether the objectives have one scale; those of different reward models have not.
        word: trial or run.
        keys: of the settings.
        how: what is to be known about what a run is worth, as the end of a sentence.
    """

    entries: Sequence[Entry]
    ranked: Sequence[Entry]
    metric: str
    is_maximized: bool
    is_comparable: bool
    word: str
    keys: Sequence[str]
    how: str = ""

    @property
    def best(self) -> Entry | None:
        """The first of those that are ranked."""
        return self.ranked[0] if self.ranked else None

    def gain(self, better: float, worse: float) -> float:
        """By how much one value is better than the other."""
        return better - worse if self.is_maximized else worse - better


def rank(source: Source) -> Ranking:
    """The entries of a source and their order."""
    is_maximized = source.directions[0] == "maximize"
    metric, how = str(source.metrics[0]), ""
    if source.trials:
        entries = [_of_trial(trial, is_maximized) for trial in source.trials]
        ended = [entry for entry in entries if entry.state == COMPLETE]
    else:
        runs = [run for run in source.runs if not run.is_test]
        if runs and not any(run.objectives for run in runs):
            metric, is_maximized = _fallback(runs), True
            how = ", in its best evaluation" if metric == _EVALUATED else ", the mean of the last tenth of its updates"
        ended = entries = [_of_run(run, source, metric) for run in runs]
    word = "trial" if source.trials else "run"
    settings = _merged([entry for entry in ended if entry.objectives and entry.is_allowed], word)
    ranked = sorted(settings, key=lambda entry: entry.worth, reverse=is_maximized)
    is_comparable = _is_comparable(source, metric)
    if not is_comparable:
        ranked = _judged(ranked, source.comparison or {})
    keys = list(dict.fromkeys(key for entry in entries for key in entry.settings))
    return Ranking(entries, ranked, metric, is_maximized, is_comparable, word, keys, how)


def reward_model_of(entry: Entry) -> str:
    """The name of what its policy was trained on."""
    return str(entry.run.value(_REWARD_MODEL)) if entry.run is not None else entry.settings.get(_REWARD_MODEL, "None")


def _is_comparable(source: Source, metric: str) -> bool:
    names = {repr(run.value(_REWARD_MODEL)) for run in source.runs}
    return len(names) < 2 or metric.startswith("judge/")


def _judged(ranked: Sequence[Entry], comparison: Mapping[str, Any]) -> list[Entry]:
    """By the win rate under the other judges; within a reward model by the objective."""
    rows = comparison.get("reward_models")
    rates: dict[str, float] = {}
    for row in rows if isinstance(rows, list) else []:
        others = row.get("others") if isinstance(row, dict) else None
        if isinstance(others, dict) and isinstance(others.get("mean"), int | float):
            rates[str(row.get("reward_model"))] = float(others["mean"])
    return sorted(ranked, key=lambda entry: -rates.get(reward_model_of(entry), -1.0))


def _merged(entries: Sequence[Entry], word: str) -> list[Entry]:
    """Entries that differ in nothing but their seeds as one, worth their mean."""
    groups: dict[Any, list[Entry]] = {}
    for entry in entries:
        same = {key: value for key, value in entry.settings.items() if key != _SEED}
        has_seed = _SEED in entry.settings
        key = (tuple(sorted(same.items())), len(entry.objectives or ())) if same or has_seed else entry.title
        groups.setdefault(key, []).append(entry)
    return [_together(group, word) if len(group) > 1 else group[0] for group in groups.values()]


def _together(group: Sequence[Entry], word: str) -> Entry:
    names = [entry.name for entry in group]
    columns = zip(*[entry.objectives or () for entry in group], strict=True)
    return replace(
        group[0],
        title=f"{word.capitalize()}s {listed(names)}",
        names=names,
        settings={key: value for key, value in group[0].settings.items() if key != _SEED},
        objectives=[fmean(column) for column in columns],
        runs=[run for entry in group for run in entry.runs],
        tests=[run for entry in group for run in entry.tests],
        seconds=sum(entry.seconds for entry in group),
    )


def _of_trial(trial: Trial, is_maximized: bool) -> Entry:
    return Entry(
        f"Trial {trial.number}",
        [str(trial.number)],
        trial.state,
        {key.lstrip("+"): value for key, value in trial.settings.items()},
        trial.objectives,
        trial.runs,
        trial.tests,
        trial.seconds,
        trial.cause,
        trial.message,
        all(value <= 0 for value in trial.violations.values()),
        is_maximized,
    )


def _of_run(run: RunRecord, source: Source, metric: str) -> Entry:
    settings = {key: shown(value) for key in source.axes if (value := run.value(key)) is not None}
    if run.seed is not None and len({other.seed for other in source.runs}) > 1:
        settings[_SEED] = str(run.seed)
    seconds = run.summary.get("seconds")
    if not isinstance(seconds, int | float):
        seconds = float(run.curve("perf/update_seconds")[1].sum())
    text = run.summary.get("message")
    message = None if text is None else str(text)
    worth = run.objectives or _worth(run, metric)
    is_maximized = source.directions[0] == "maximize"
    return Entry(
        f"Run {run.name}",
        [run.name],
        run.state,
        settings,
        worth,
        [run],
        (),
        float(seconds),
        run.cause,
        message,
        is_maximized=is_maximized,
    )


def _fallback(runs: Sequence[RunRecord]) -> str:
    return _EVALUATED if any(len(run.curve(_EVALUATED)[0]) for run in runs) else REWARD


def _worth(run: RunRecord, metric: str) -> list[float] | None:
    values = run.curve(metric)[1]
    if not len(values):
        return None
    if metric == _EVALUATED:
        return [float(values.max())]
    return [float(values[-max(1, round(len(values) * _LAST_SHARE)) :].mean())]
