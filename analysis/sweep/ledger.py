"""The cost of a sweep, by trial and by the state of trials, and what pruning saved.

A run's own summary counts; where it has none, its recorded rows do, each for the updates since the row before. Seconds
are those of one worker, so that their sum is worker-time, not what passed on the clock.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from analysis.records.runs import PRUNED, RunRecord, Source, TrialRecord, convert_number

# The seconds of an update that are spent on scores.
_SCORE_SECONDS = "perf/score_seconds"
TEST = "test"


@dataclass(frozen=True)
class RunCost:
    """The cost of some runs: sums over the runs that have recorded a quantity, nan where none has.

    Attributes:
        runs: how many.
        seconds: of one worker.
        gpu_seconds: of these, on CUDA devices; a GPU that several workers share is counted for each.
        scoring_seconds: of these, spent on scoring by reward models and judges.
        tokens: in and out of all models.
        episodes: responses trained on.
        updates: PPO updates.
        planned_updates: updates that were planned.
        saved_seconds: an estimate of what the updates that pruning left out would have taken.
        saved_updates: how many updates pruning left out.
        peak_memory_mb: the most that one run's process used.
        untold: name of a measured quantity -> the number of runs that have not recorded it.
    """

    runs: int = 0
    seconds: float = math.nan
    gpu_seconds: float = math.nan
    scoring_seconds: float = math.nan
    tokens: float = math.nan
    episodes: float = math.nan
    updates: int = 0
    planned_updates: int = 0
    saved_seconds: float = math.nan
    saved_updates: int = 0
    peak_memory_mb: float = math.nan
    untold: Mapping[str, int] = field(default_factory=dict)

    def add(self, other: "RunCost") -> "RunCost":
        """Both together."""
        counts: dict[str, Any] = {name: getattr(self, name) + getattr(other, name) for name in COUNTS}
        sums: dict[str, Any] = {name: _sum_measured(getattr(self, name), getattr(other, name)) for name in MEASURED}
        peaks = [peak for peak in (self.peak_memory_mb, other.peak_memory_mb) if not math.isnan(peak)]
        untold = dict(Counter(self.untold) + Counter(other.untold))
        return RunCost(**counts, **sums, peak_memory_mb=max(peaks, default=math.nan), untold=untold)


COUNTS = ("runs", "updates", "planned_updates", "saved_updates")
MEASURED = ("seconds", "gpu_seconds", "scoring_seconds", "tokens", "episodes", "saved_seconds")


def _sum_measured(*values: float) -> float:
    measured = [value for value in values if not math.isnan(value)]
    return sum(measured) if measured else math.nan


@dataclass(frozen=True)
class TrialCost:
    """One trial's cost: its runs that choose, and those on test seeds."""

    number: int
    state: str
    cost: RunCost
    tests: RunCost


@dataclass(frozen=True)
class Ledger:
    """The cost of a source.

    Attributes:
        trials: one by one.
        by_state: the cost of the trials of a state; `test` for the runs on test seeds; runs outside of trials by their
            own state.
        total: all together.
        wall_seconds: seconds on the clock while the sweep ran; 0: unknown.
        cost_per_hour: the price of a worker's hour, where the config has one.
        num_without_end: runs that wrote no summary; they are counted as far as their recorded updates go.
        num_shrunk_seeds: seeds of pruned trials that were never started; their updates are among those saved.
    """

    trials: Sequence[TrialCost]
    by_state: Mapping[str, RunCost]
    total: RunCost
    wall_seconds: float = 0.0
    cost_per_hour: float | None = None
    num_without_end: int = 0
    num_shrunk_seeds: int = 0

    @property
    def worker_hours(self) -> float:
        """Hours of one worker; nan where that is unknown."""
        return self.total.seconds / 3600

    @property
    def gpu_hours(self) -> float:
        """Hours of one worker on a CUDA device; nan where that is unknown."""
        return self.total.gpu_seconds / 3600

    @property
    def price(self) -> float | None:
        """What the worker-hours cost; None where no price is known, or no hours."""
        if self.cost_per_hour is None or math.isnan(self.worker_hours):
            return None
        return self.cost_per_hour * self.worker_hours


@dataclass
class _Tally:
    """Costs by state, added up trial by trial."""

    by_state: dict[str, RunCost] = field(default_factory=dict)
    shrunk: int = 0

    def add(self, state: str, cost: RunCost) -> None:
        """Add a cost to that of the trials of a state."""
        if cost.runs or not math.isnan(cost.seconds) or state not in self.by_state:
            self.by_state[state] = self.by_state.get(state, RunCost()).add(cost)


def make_ledger(source: Source) -> Ledger:
    """The costs of all runs of a source, in trials or not."""
    tally, trials = _Tally(), []
    most_runs = max((len(trial.runs) for trial in source.trials), default=0)
    for trial in source.trials:
        cost, tests = _compute_trial_cost(trial, tally, most_runs), _sum_costs(trial.tests, _compute_run_cost)
        tally.add(trial.state, cost)
        if trial.tests:
            tally.add(TEST, tests)
        trials.append(TrialCost(trial.number, trial.state, cost, tests))
    counted = {id(run) for trial in source.trials for run in (*trial.runs, *trial.tests)}
    for run in source.runs:
        if id(run) not in counted:
            tally.add(TEST if run.is_test else run.state, _compute_run_cost(run))
    total = RunCost()
    for cost in tally.by_state.values():
        total = total.add(cost)
    prices = [run.config.get("sweep.cost_per_hour") for run in source.runs[:1]]
    without = sum(not run.summary for run in source.runs)
    return Ledger(trials, tally.by_state, total, source.seconds, _find_price(prices), without, tally.shrunk)


def _compute_trial_cost(trial: TrialRecord, tally: _Tally, most_runs: int) -> RunCost:
    """The cost of a trial's runs that choose.

    Args:
        most_runs: the most runs that any trial has: where seeds were listed (seed=0,1,2), the config has no number.
    """
    if not trial.runs:
        # The study knows how long it took, though its folder is gone.
        return RunCost(seconds=trial.seconds or math.nan)
    cost = _sum_costs(trial.runs, _compute_run_cost)
    if trial.state != PRUNED or not cost.updates:
        return cost
    saved = sum(max((run.planned_updates or 0) - run.num_updates, 0) for run in trial.runs)
    seeds = trial.runs[0].config.get("sweep.seeds")
    unstarted = max(seeds if isinstance(seeds, int) else 0, most_runs) - len(trial.runs)
    tally.shrunk += unstarted
    saved += unstarted * (trial.runs[0].planned_updates or 0)
    # Updates get no cheaper or dearer on the way, bar longer responses; its own pace is the best guess.
    extra = RunCost(saved_updates=saved, saved_seconds=saved * cost.seconds / cost.updates)
    return cost.add(extra)


def _sum_costs(runs: Iterable[RunRecord], cost: Callable[[RunRecord], RunCost]) -> RunCost:
    total = RunCost()
    for run in runs:
        total = total.add(cost(run))
    return total


def _compute_run_cost(run: RunRecord) -> RunCost:
    summary = run.summary
    seconds = _read_total(summary.get("seconds"), run, "perf/update_seconds")
    device = str(summary.get("device") or "")
    episodes = run.select_points("episode")[1]
    memory = run.select_points("perf/peak_memory_mb")[1]
    measured: dict[str, Any] = {
        "seconds": seconds,
        "gpu_seconds": math.nan if not device else seconds if device.startswith("cuda") else 0.0,
        "scoring_seconds": _read_scoring_seconds(run),
        "tokens": _read_total(
            summary.get("tokens"), run, *(name for name in run.metrics if name.startswith("tokens/"))
        ),
        "episodes": _read_number(summary.get("episodes"), float(episodes.max()) if len(episodes) else math.nan),
    }
    return RunCost(
        runs=1,
        **measured,
        updates=run.num_updates,
        planned_updates=max((run.planned_updates or 0), run.num_updates),
        peak_memory_mb=_read_number(summary.get("peak_memory_mb"), float(memory.max()) if len(memory) else math.nan),
        untold={name: 1 for name, value in measured.items() if math.isnan(value)},
    )


def _read_scoring_seconds(run: RunRecord) -> float:
    models = run.summary.get("scoring")
    if isinstance(models, Mapping) and models:
        return sum(_read_number(model.get("seconds"), 0.0) for model in models.values() if isinstance(model, Mapping))
    return _read_total(None, run, _SCORE_SECONDS)


def _read_total(stated: Any, run: RunRecord, *metrics: str) -> float:
    """The total in a run's summary, else the sum of its metrics over all updates; nan where both are missing."""
    recorded = [metric for metric in metrics if len(run.select_points(metric)[0])]
    return _read_number(stated, sum(run.sum_metric(metric) for metric in recorded) if recorded else math.nan)


def _read_number(value: Any, otherwise: float) -> float:
    number = convert_number(value)
    return otherwise if number is None else number


def _find_price(prices: Sequence[Any]) -> float | None:
    positive = [_read_number(price, 0.0) for price in prices if _read_number(price, 0.0) > 0]
    return positive[0] if positive else None
