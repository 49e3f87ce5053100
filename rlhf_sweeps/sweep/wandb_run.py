"""A sweep's own W&B run, in the group of its trials: the best objective over time, all trials, importances."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlhf_sweeps.config.schema import TrackingConfig
from rlhf_sweeps.record.quantities import name_objectives
from rlhf_sweeps.sweep.results import find_best, has_test_mean_to_report, read_setting_values
from rlhf_sweeps.sweep.study.trials import COMPLETE, FAILED, PRUNED, SweepTrial
from rlhf_sweeps.tracking import wandb_run as tracking
from rlhf_sweeps.verdicts.left_out_seeds import LeftOut
from rlhf_sweeps.verdicts.settings import compute_losses

BEST, TO_REPORT = "sweep/best", "sweep/to_report"


class SweepTracker:
    """The W&B run of job type `sweep`; it never makes the sweep fail or wait long.

    Args:
        config: of the sweep's trials; says whether W&B is online, offline or disabled.
        folder: of the sweep; its name is the group.
        run_id: the same at every start of the sweep, which continues its W&B run.
        settings: the settings of the sweep, nested, as plain values.
        metrics: the metric of each objective.
        directions: "maximize" or "minimize" for each objective.
        is_named: whether the config names the sweep.
        is_comparison: whether objectives of different reward models cannot be compared, so that no trial is the best.
    """

    def __init__(
        self,
        config: TrackingConfig,
        *,
        folder: Path,
        run_id: str,
        settings: dict[str, Any],
        metrics: Sequence[str],
        directions: Sequence[str],
        is_named: bool = False,
        is_comparison: bool = False,
    ) -> None:
        self._metrics, self._directions, self._is_comparison = metrics, directions, is_comparison
        self._summary: dict[str, float | None] = {}
        self._tracker = tracking.start(
            config,
            run_dir=folder,
            run_id=run_id,
            name=folder.name,
            group=folder.name,
            job_type="sweep",
            settings=settings,
            part="",
            is_named=is_named,
            axis="trial",
        )

    def log(self, trials: Sequence[SweepTrial]) -> None:
        """Send the state of the sweep; called whenever a trial has ended.

        The x axis, trial, is the number of ended trials; sweep/seconds is the training time of all trials.

        Args:
            trials: all trials of the sweep, also those of earlier starts.
        """
        self._tracker.log(self._summarise(trials))

    def conclude(
        self,
        trials: Sequence[SweepTrial],
        importance: Mapping[str, float],
        comparison: Sequence[Mapping[str, Any]] = (),
        left_out: Mapping[str, LeftOut] | None = None,
    ) -> None:
        """Send all trials, the importances and the comparison as tables.

        Args:
            importance: parameter -> its share of the objective's variance; empty if unknown.
            comparison: a row for each train reward model and judge; empty without a comparison.
            left_out: the figures to report, as from `measure_left_out_seeds`; sweep/to_report has that of the sweep.
                Without it, sweep/to_report has the mean on test seeds that had no part in choosing, if there is one.
        """
        at = {"trial": self._summarise(trials)["trial"]}
        self._tracker.log_table("sweep/trials", *_make_trials_table(trials, self._metrics), at=at)
        shares = sorted(importance.items(), key=lambda entry: -entry[1])
        if shares:
            self._tracker.log_table("sweep/importance", ["parameter", "importance"], shares, at=at)
        if comparison:
            columns = list(comparison[0])
            self._tracker.log_table("sweep/comparison", columns, [list(row.values()) for row in comparison], at=at)
        # Entries of an earlier start, with another space or configuration, that are no longer true are removed.
        unknown = {name: None for trial in trials for name in trial.params}
        figure = (left_out or {}).get("")
        shares_now = {f"importance/{name}": share for name, share in {**unknown, **importance}.items()}
        self._summary = {
            **dict.fromkeys([*self._list_names(BEST), *self._list_names(TO_REPORT)]),
            **self._summarise_best(trials),
            **({} if has_test_mean_to_report(trials, self._directions) else dict.fromkeys(self._list_names(TO_REPORT))),
            **({} if figure is None else {TO_REPORT: figure.mean}),
            **shares_now,
        }

    def finish(self, *, exit_code: int) -> None:
        """Close the W&B run; without `conclude` before, the entries of an earlier start stay.

        Args:
            exit_code: of the process.
        """
        self._tracker.finish(exit_code=exit_code, summary=self._summary)

    def _summarise(self, trials: Sequence[SweepTrial]) -> dict[str, float]:
        states = Counter(trial.state for trial in trials)
        values: dict[str, float] = {
            "trial": sum(trial.has_ended for trial in trials),
            **{f"sweep/{state}": states[state] for state in (COMPLETE, PRUNED, FAILED)},
            "sweep/seconds": sum(trial.seconds for trial in trials),
        }
        return values | self._summarise_best(trials)

    def _summarise_best(self, trials: Sequence[SweepTrial]) -> dict[str, float]:
        """sweep/best; with several objectives sweep/best/<metric>, the best of each on the Pareto front.

        These are the objectives on the seeds that chose the trial; sweep/to_report has those of the same trial on the
        test seeds, after it was run on some.
        """
        values: dict[str, float] = {}
        winners = [] if self._is_comparison else find_best(trials, self._directions)
        names = zip(self._list_names(BEST), self._list_names(TO_REPORT), strict=True)
        for place, (name, to_report) in enumerate(names):
            if winners:
                first = min(winners, key=lambda trial: compute_losses(trial.objectives, self._directions)[place])
                values[name] = (first.objectives or [])[place]
                if (tested := first.test_mean) is not None:
                    values[to_report] = tested[place]
        return values

    def _list_names(self, name: str) -> list[str]:
        return [name] if len(self._metrics) == 1 else [f"{name}/{metric}" for metric in self._metrics]


def _make_trials_table(trials: Sequence[SweepTrial], metrics: Sequence[str]) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows of a table with a row for each trial, and a column for each key that any trial sets."""
    keys = list(dict.fromkeys(key for trial in trials for key in trial.settings))
    columns = ["trial", *keys, "state", "cause", *name_objectives(metrics), "seeds", "seconds"]
    rows = []
    for trial in trials:
        values = read_setting_values(trial)
        settings = [_to_cell(values.get(key)) for key in keys]
        objectives: Sequence[float | None] = trial.objectives or [None] * len(metrics)
        seeds = ", ".join(str(seed) for seed in trial.by_seed)
        rows.append([trial.number, *settings, trial.state, trial.cause, *objectives, seeds, trial.seconds])
    return columns, rows


def _to_cell(value: Any) -> str | int | float | None:
    """A value that W&B can sort and plot; lists and mappings as text."""
    return value if value is None or isinstance(value, str | int | float) else str(value)
