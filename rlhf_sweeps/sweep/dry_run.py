"""Describe the runs of a sweep and their time, from measured updates; no file of the measurement stays."""

import logging
import math
import os
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from statistics import fmean

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.schema import Config, TrackingConfig
from rlhf_sweeps.figures import format_number
from rlhf_sweeps.record import Run
from rlhf_sweeps.sweep.composition import Composer
from rlhf_sweeps.sweep.execution.executors import Executor
from rlhf_sweeps.sweep.plan import Plan
from rlhf_sweeps.tracking import wandb_run as tracking
from rlhf_sweeps.tracking.names import is_off

NUM_LISTED = 20  # trials of a grid that are printed one by one; chosen
# An update with its evaluation, without tracking. Hydra applies values after groups, so a given tracking.mode would
# override the group tracking=disabled.
MEASURED = ("eval.every=1", "tracking.mode=disabled")


@dataclass(frozen=True)
class RunTime:
    """The time of runs, in seconds.

    Attributes:
        once: the start of the sweep, and the work that its first run does for all runs.
        start: the start and end of each run, without its updates and evaluations.
    """

    once: float
    start: float
    update: float
    evaluation: float
    num_updates: int
    num_evaluations: int

    @property
    def each(self) -> float:
        """The time of a whole run."""
        return self.start + self.num_updates * self.update + self.num_evaluations * self.evaluation


def dry_run(plan: Plan, composer: Composer, executor: Executor) -> str:
    """Measure an update of the first setting, and describe the sweep and its time.

    A first run alone does the work that is shared by all runs; then a run is measured in every worker at once, as in
    the sweep. These runs belong to a sweep of their own, whose folder is removed afterwards.

    Raises:
        ConfigError: if the measured runs fail.
    """
    own = time.process_time()  # the time that this process took to start the sweep
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = _compose(plan, composer, folder, executor.num_workers)
        (alone,) = _run(executor, folder, [0])
        together = _run(executor, folder, range(1, executor.num_workers + 1))
        tracking_seconds = _measure_tracking(plan.config.tracking, folder)
    whole, update, evaluation = (fmean(column) for column in zip(*together, strict=True))
    measured = RunTime(
        once=own + max(0.0, alone[0] - whole) + tracking_seconds,
        start=max(0.0, whole - update - evaluation) + tracking_seconds,
        update=update,
        evaluation=evaluation,
        num_updates=config.ppo.num_updates,
        num_evaluations=math.ceil(config.ppo.num_updates / plan.config.eval.every),
    )
    return "\n".join([*_describe_trials(plan), *_describe_time(plan, measured, executor.num_workers)])


def _compose(plan: Plan, composer: Composer, folder: Path, num_workers: int) -> Config:
    """Write runs 0 to `num_workers`, all with the first setting; each ends after its first update."""
    first = plan.points[0] if plan.points is not None else plan.space.probes()[0]
    for number in range(num_workers + 1):
        run = Run(folder / str(number))
        config = composer.write([*plan.overrides(first, None), *MEASURED], number, run.folder, sweep=folder)
        run.ask_to_stop("budget")  # the run reads this after its first update
    return config


def _run(executor: Executor, folder: Path, numbers: Sequence[int]) -> list[tuple[float, float, float]]:
    """Run some runs at once; returns for each the seconds of the whole run, of its update and of its evaluation."""
    runs = [Run(folder / str(number)) for number in numbers]
    ends: dict[Path, float] = {}
    begins, futures = [], []
    for run in runs:
        begins.append(time.monotonic())
        futures.append(executor.submit(run.folder))
        futures[-1].add_done_callback(partial(_note_end, ends, run.folder))
    wait(futures)
    rows = [row for run in runs for row in run.metrics()[:1]]
    if len(rows) < len(runs):
        summaries = [run.summary() or {} for run in runs]
        message = next((s["message"] for s in summaries if "message" in s), "its process was lost")
        raise ConfigError(f"hydra.sweeper.dry_run=true: the measured update failed: {message}")
    wholes = [ends[run.folder] - begin for run, begin in zip(runs, begins, strict=True)]
    evaluations = [row.get("perf/evaluate_seconds", 0.0) for row in rows]
    updates = [row["perf/update_seconds"] - evaluation for row, evaluation in zip(rows, evaluations, strict=True)]
    return list(zip(wholes, updates, evaluations, strict=True))


def _measure_tracking(config: TrackingConfig, folder: Path) -> float:
    """The seconds that W&B takes to start and end, measured offline; all files stay in `folder`."""
    if is_off(config.mode):
        return 0.0
    places = {
        f"WANDB_{variable}": str(folder / "tracking") for variable in ("DIR", "CACHE_DIR", "DATA_DIR", "CONFIG_DIR")
    }
    before = {name: os.environ.get(name) for name in (*places, "WANDB_MODE")}
    log, begun = logging.getLogger("rlhf_sweeps"), time.monotonic()
    try:
        os.environ.update(places, WANDB_MODE="offline")
        log.disabled = True  # hides the hint to upload this run
        (folder / "tracking").mkdir()
        tracker = tracking.start(
            replace(config, mode="auto"),
            run_dir=folder,
            run_id="dry_run",
            name="dry_run",
            group=None,
            job_type="train",
            settings={},
        )
        tracker.finish(exit_code=0, summary={})
    finally:
        log.disabled = False
        for name, value in before.items():
            os.environ.pop(name)
            os.environ.update({} if value is None else {name: value})
    return time.monotonic() - begun


def _note_end(ends: dict[Path, float], folder: Path, _: Future[int]) -> None:
    ends[folder] = time.monotonic()


def _describe_time(plan: Plan, measured: RunTime, workers: int) -> list[str]:
    """Lines about the time of a run and of the sweep, and about the cost."""
    start, update, evaluation = map(format_number, (measured.start, measured.update, measured.evaluation))
    lines = [
        f"once: {format_number(measured.once)} s to start the sweep, and for work that all runs share",
        f"a run: {start} s to start and end, {measured.num_updates} updates of {update} s, "
        f"{measured.num_evaluations} evaluations of {evaluation} s: {_format_hours(measured.each)} "
        f"(measured with {workers} at a time, on the first setting)",
    ]
    total, line = _describe_total(plan, measured, workers)
    lines.append(line)
    price = plan.config.sweep.cost_per_hour
    if price is not None:
        lines.append(
            f"cost: {price * total / 3600 * workers:.2f} at {price:g} an hour of one worker (sweep.cost_per_hour)"
        )
    return lines


def _describe_total(plan: Plan, measured: RunTime, workers: int) -> tuple[float, str]:
    """The seconds that the whole sweep takes, at most its budget, and a line about them."""
    budget, num_settings = plan.config.sweep.budget_hours, _count_settings(plan)
    limit = math.inf if budget is None else budget * 3600
    in_time = ""
    if budget is not None:
        num_whole = int(max(0.0, limit - measured.once) / measured.each) * workers
        in_time = f"sweep.budget_hours={budget:g}: time for about {num_whole} whole runs"
    if num_settings is None:
        return limit, f"{in_time}, more where some are pruned"
    runs = num_settings * len(plan.seeds)
    tests = min(num_settings, plan.num_finalists) * len(plan.test_seeds)
    # Runs on test seeds begin after all other runs have ended.
    total = measured.once + (math.ceil(runs / workers) + math.ceil(tests / workers)) * measured.each
    pruned = "" if plan.pruner == "none" else ", less where some are pruned"
    text = f"{runs + tests} runs, {workers} at a time: {_format_hours(total)}{pruned}"
    return (total, text) if total <= limit else (limit, f"{text}; {in_time}")


def _count_settings(plan: Plan) -> int | None:
    """The number of settings that will be run, each once; None: as many as the time allows."""
    if plan.points is not None:
        return len(plan.points)
    possible = math.prod(_count_values(parameter.distribution) for parameter in plan.space.parameters)
    if plan.num_trials is None:
        return None
    return int(min(plan.num_trials, possible))


def _count_values(distribution: object) -> float:
    """The number of values of a parameter; infinite for a continuous one."""
    if isinstance(distribution, CategoricalDistribution):
        return len(distribution.choices)
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    if distribution.low == distribution.high:
        return 1
    return (
        math.inf if distribution.step is None else round((distribution.high - distribution.low) / distribution.step) + 1
    )


def _describe_trials(plan: Plan) -> list[str]:
    """Lines about the points of a grid, the first NUM_LISTED of them, or about the space of a search."""
    seeds = f", {len(plan.seeds)} seeds each" if len(plan.seeds) > 1 else ""
    if plan.test_seeds:
        finalists_text = "best of each reward model" if plan.has_own_scales else f"best {plan.num_finalists}"
        seeds += f"; the {finalists_text} on {len(plan.test_seeds)} test seeds"
    if plan.points is None:
        number = "as many trials as the time allows" if plan.num_trials is None else f"{plan.num_trials} trials"
        space = [f"    {name}: {text}" for name, text in plan.space.describe().items()]
        return [f"a search by {plan.settings.sampler}, pruned by {plan.pruner}: {number}{seeds}, over", *space]
    texts = [" ".join(f"{k}={v}" for k, v in plan.space.settings(point).items()) for point in plan.points]
    listed = [f"    {number}: {text or 'the config as it is'}" for number, text in enumerate(texts[:NUM_LISTED])]
    more = [f"    and {len(texts) - NUM_LISTED} more"] if len(texts) > NUM_LISTED else []
    return [f"a grid of {len(texts)} trials{seeds}", *listed, *more]


def _format_hours(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
