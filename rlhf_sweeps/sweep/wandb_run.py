"""A sweep's own W&B run, in the group of its trials: how the best objective grew, all trials, what mattered."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlhf_sweeps.config.schema import TrackingConfig
from rlhf_sweeps.sweep.results import best, objective_names, setting_values
from rlhf_sweeps.sweep.study.trials import COMPLETE, FAILED, PRUNED, Trial
from rlhf_sweeps.tracking import wandb_run as tracking
from rlhf_sweeps.verdicts.settings import losses

BEST, TO_REPORT = "sweep/best", "sweep/to_report"


class SweepTracker:
    """The W&B run of job type `sweep`; like every tracker of ours it never makes the sweep fail, nor wait long.

    Args:
        config: of the sweep's trials; says whether W&B is online, offline or disabled.
        folder: of the sweep; its name is the group.
        run_id: the same at every start of the sweep, which attaches to its W&B run again.
        settings: what the sweep was started with, nested, as plain values.
        metrics: what each objective is.
        directions: "maximize" or "minimize" for each objective.
        is_named: whether the config itself says what the sweep is called.
        is_comparison: of reward models, under which one objective cannot be compared with another; none is the best.
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

    def log(self, trials: Sequence[Trial]) -> None:
        """Send how things stand; to be called whenever a trial has ended.

        The x axis, trial, counts those that have ended; sweep/seconds adds up what all trials have trained.

        Args:
            trials: all of the sweep, those of earlier starts included.
        """
        self._tracker.log(self._figures(trials))

    def conclude(
        self,
        trials: Sequence[Trial],
        importance: Mapping[str, float],
        comparison: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Send all trials, the importances and the comparison as tables.

        Args:
            importance: parameter -> its share in how much the objective varies; empty if that is unknown.
            comparison: a row for each train reward model and judge; none where none were compared.
        """
        at = {"trial": self._figures(trials)["trial"]}
        self._tracker.log_table("sweep/trials", *_trials_table(trials, self._metrics), at=at)
        shares = sorted(importance.items(), key=lambda entry: -entry[1])
        if shares:
            self._tracker.log_table("sweep/importance", ["parameter", "importance"], shares, at=at)
        if comparison:
            columns = list(comparison[0])
            self._tracker.log_table("sweep/comparison", columns, [list(row.values()) for row in comparison], at=at)
        # What an earlier start has told, with another space or configuration, and what is not so now, is taken back.
        unknown = {name: None for trial in trials for name in trial.params}
        shares_now = {f"importance/{name}": share for name, share in {**unknown, **importance}.items()}
        self._summary = {
            **dict.fromkeys([*self._names(BEST), *self._names(TO_REPORT)]),
            **self._best(trials),
            **shares_now,
        }

    def finish(self, *, exit_code: int) -> None:
        """Close the W&B run; with no conclusion before, what an earlier start has told stands.

        Args:
            exit_code: the process's.
        """
        self._tracker.finish(exit_code=exit_code, summary=self._summary)

    def _figures(self, trials: Sequence[Trial]) -> dict[str, float]:
        states = Counter(trial.state for trial in trials)
        figures: dict[str, float] = {
            "trial": sum(trial.has_ended for trial in trials),
            **{f"sweep/{state}": states[state] for state in (COMPLETE, PRUNED, FAILED)},
            "sweep/seconds": sum(trial.seconds for trial in trials),
        }
        return figures | self._best(trials)

    def _best(self, trials: Sequence[Trial]) -> dict[str, float]:
        """sweep/best; with several objectives sweep/best/<metric>, the best of each on the Pareto front.

        That is what a trial was chosen by; sweep/to_report has what the same trial is worth on the test seeds, once it
        was run on some.
        """
        figures: dict[str, float] = {}
        winners = [] if self._is_comparison else best(trials, self._directions)
        for place, (name, to_report) in enumerate(zip(self._names(BEST), self._names(TO_REPORT), strict=True)):
            if winners:
                first = min(winners, key=lambda trial: losses(trial.objectives, self._directions)[place])
                figures[name] = (first.objectives or [])[place]
                if (tested := first.test_mean) is not None:
                    figures[to_report] = tested[place]
        return figures

    def _names(self, name: str) -> list[str]:
        return [name] if len(self._metrics) == 1 else [f"{name}/{metric}" for metric in self._metrics]


def _trials_table(trials: Sequence[Trial], metrics: Sequence[str]) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows: one row for each trial, with every key that any trial set."""
    keys = list(dict.fromkeys(key for trial in trials for key in trial.settings))
    columns = ["trial", *keys, "state", "cause", *objective_names(metrics), "seeds", "seconds"]
    rows = []
    for trial in trials:
        values = setting_values(trial)
        settings = [_cell(values.get(key)) for key in keys]
        objectives: Sequence[float | None] = trial.objectives or [None] * len(metrics)
        seeds = ", ".join(str(seed) for seed in trial.by_seed)
        rows.append([trial.number, *settings, trial.state, trial.cause, *objectives, seeds, trial.seconds])
    return columns, rows


def _cell(value: Any) -> str | int | float | None:
    """What W&B can sort and plot; lists and the like as text."""
    return value if value is None or isinstance(value, str | int | float) else str(value)
