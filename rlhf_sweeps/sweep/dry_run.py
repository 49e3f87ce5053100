"""What a sweep would run, and what it would take, from measured updates; nothing of it is kept."""

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
from rlhf_sweeps.record import Run
from rlhf_sweeps.sweep.composition import Composer
from rlhf_sweeps.sweep.execution.executors import Executor
from rlhf_sweeps.sweep.plan import Plan
from rlhf_sweeps.tracking import wandb_run as tracking
from rlhf_sweeps.tracking.names import is_off

NUM_LISTED = 20
# One update with its evaluation, and nothing that is sent anywhere. Hydra applies values after groups: the group
# tracking=disabled would lose against a mode that was given.
MEASURED = ("eval.every=1", "tracking.mode=disabled")


@dataclass(frozen=True)
class Measured:
    """What runs take, in seconds.

    Attributes:
        once: of the sweep: its own start, and what the first run finds out for all.
        start: of each, beside its updates and evaluations.
    """

    once: float
    start: float
    update: float
    evaluation: float
    num_updates: int
    num_evaluations: int

    @property
    def each(self) -> float:
        """A whole run."""
        return self.start + self.num_updates * self.update + self.num_evaluations * self.evaluation


def dry_run(plan: Plan, composer: Composer, executor: Executor) -> str:
    """Measure an update of the first setting, and say what the sweep will take.

    A run alone finds out what is found out once; then there is one in every worker, as in the sweep. All are runs of a
    sweep of their own, whose folder is gone afterwards.

    Raises:
        ConfigError: if the measured runs fail.
    """
    own = time.process_time()  # by now this process has done nothing but start the sweep
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = _compose(plan, composer, folder, executor.num_workers)
        (alone,) = _run(executor, folder, [0])
        together = _run(executor, folder, range(1, executor.num_workers + 1))
        tracking_seconds = _seconds_of_tracking(plan.config.tracking, folder)
    whole, update, evaluation = (fmean(column) for column in zip(*together, strict=True))
    measured = Measured(
        once=own + max(0.0, alone[0] - whole) + tracking_seconds,
        start=max(0.0, whole - update - evaluation) + tracking_seconds,
        update=update,
        evaluation=evaluation,
        num_updates=config.ppo.num_updates,
        num_evaluations=math.ceil(config.ppo.num_updates / plan.config.eval.every),
    )
    return "\n".join([*_trial_lines(plan), *_time_lines(plan, measured, executor.num_workers)])


def _compose(plan: Plan, composer: Composer, folder: Path, num_workers: int) -> Config:
    """Write the runs 0 to `num_workers`, all of the first setting, each of which ends after an update."""
    first = plan.points[0] if plan.points is not None else plan.space.probes()[0]
    for number in range(num_workers + 1):
        run = Run(folder / str(number))
        config = composer.write([*plan.overrides(first, None), *MEASURED], number, run.folder, sweep=folder)
        run.ask_to_stop("budget")  # heard after the first update
    return config


def _run(executor: Executor, folder: Path, numbers: Sequence[int]) -> list[tuple[float, float, float]]:
    """Run some at once; the seconds of each: in all, of its update, and of its evaluation."""
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


def _seconds_of_tracking(config: TrackingConfig, folder: Path) -> float:
    """For which a process waits for W&B to start and end, tried offline and without a trace outside of `folder`."""
    if is_off(config.mode):
        return 0.0
    places = {f"WANDB_{what}": str(folder / "tracking") for what in ("DIR", "CACHE_DIR", "DATA_DIR", "CONFIG_DIR")}
    before = {name: os.environ.get(name) for name in (*places, "WANDB_MODE")}
    log, begun = logging.getLogger("rlhf_sweeps"), time.monotonic()
    try:
        os.environ.update(places, WANDB_MODE="offline")
        log.disabled = True  # nobody is to upload this run
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


def _time_lines(plan: Plan, measured: Measured, workers: int) -> list[str]:
    """How long a run and the sweep take, and what that costs."""
    lines = [
        f"once: {measured.once:.3g} s to start the sweep, and to find out what all runs share",
        f"a run: {measured.start:.3g} s to start and end, {measured.num_updates} updates of {measured.update:.3g} s, "
        f"{measured.num_evaluations} evaluations of {measured.evaluation:.3g} s: {_hours(measured.each)} "
        f"(measured with {workers} at a time, on the first setting)",
    ]
    total, line = _sweep_line(plan, measured, workers)
    lines.append(line)
    price = plan.config.sweep.cost_per_hour
    if price is not None:
        lines.append(
            f"cost: {price * total / 3600 * workers:.2f} at {price:g} an hour of one worker (sweep.cost_per_hour)"
        )
    return lines


def _sweep_line(plan: Plan, measured: Measured, workers: int) -> tuple[float, str]:
    """The seconds that the whole sweep takes, of a budget no more than that, and a line that says so."""
    budget, num_settings = plan.config.sweep.budget_hours, _num_settings(plan)
    limit = math.inf if budget is None else budget * 3600
    in_time = ""
    if budget is not None:
        num_whole = int(max(0.0, limit - measured.once) / measured.each) * workers
        in_time = f"sweep.budget_hours={budget:g}: time for about {num_whole} whole runs"
    if num_settings is None:
        return limit, f"{in_time}, more where some are pruned"
    runs = num_settings * len(plan.seeds)
    tests = min(num_settings, plan.num_finalists) * len(plan.test_seeds)
    # Tests begin when the last of the other runs has ended.
    total = measured.once + (math.ceil(runs / workers) + math.ceil(tests / workers)) * measured.each
    pruned = "" if plan.pruner == "none" else ", less where some are pruned"
    text = f"{runs + tests} runs, {workers} at a time: {_hours(total)}{pruned}"
    return (total, text) if total <= limit else (limit, f"{text}; {in_time}")


def _num_settings(plan: Plan) -> int | None:
    """Settings that will be run: trials of a setting that another has had are not. None: as many as the time allows."""
    if plan.points is not None:
        return len(plan.points)
    possible = math.prod(_num_values(parameter.distribution) for parameter in plan.space.parameters)
    if plan.num_trials is None:
        return None
    return int(min(plan.num_trials, possible))


def _num_values(distribution: object) -> float:
    """How many a parameter can have."""
    if isinstance(distribution, CategoricalDistribution):
        return len(distribution.choices)
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    if distribution.low == distribution.high:
        return 1
    return (
        math.inf if distribution.step is None else round((distribution.high - distribution.low) / distribution.step) + 1
    )


def _trial_lines(plan: Plan) -> list[str]:
    """Every point of a grid, as far as they can be listed; of a search what is searched."""
    seeds = f", {len(plan.seeds)} seeds each" if len(plan.seeds) > 1 else ""
    if plan.test_seeds:
        which = "best of each reward model" if plan.has_own_scales else f"best {plan.num_finalists}"
        seeds += f"; the {which} on {len(plan.test_seeds)} test seeds"
    if plan.points is None:
        number = "as many trials as the time allows" if plan.num_trials is None else f"{plan.num_trials} trials"
        space = [f"    {name}: {text}" for name, text in plan.space.describe().items()]
        return [f"a search by {plan.settings.sampler}, pruned by {plan.pruner}: {number}{seeds}, of", *space]
    texts = [" ".join(f"{k}={v}" for k, v in plan.space.settings(point).items()) for point in plan.points]
    listed = [f"    {number}: {text or 'the config as it is'}" for number, text in enumerate(texts[:NUM_LISTED])]
    rest = [f"    and {len(texts) - NUM_LISTED} more"] if len(texts) > NUM_LISTED else []
    return [f"a grid of {len(texts)} trials{seeds}", *listed, *rest]


def _hours(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
