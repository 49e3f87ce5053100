"""What a sweep would run, and what it would take, from one measured update; nothing of it is kept."""

import math
import tempfile
import time
from concurrent.futures import wait
from datetime import timedelta
from pathlib import Path

from rlhf_sweeps.config import Config
from rlhf_sweeps.fields import ConfigError
from rlhf_sweeps.runs import Run
from rlhf_sweeps.sweep.composition import Composer
from rlhf_sweeps.sweep.executors import Executor
from rlhf_sweeps.sweep.plan import Plan

NUM_LISTED = 20
# One update with its evaluation, and nothing that is sent anywhere.
MEASURED = ("eval.every=1", "tracking=disabled")


def dry_run(plan: Plan, composer: Composer, executor: Executor) -> str:
    """Measure an update of the first setting in every worker at once, and say what the sweep will take.

    Raises:
        ConfigError: if the measured runs fail.
    """
    first = plan.points[0] if plan.points is not None else plan.space.probes()[0]
    with tempfile.TemporaryDirectory() as folder:
        runs = [Run(Path(folder) / str(worker)) for worker in range(executor.num_workers)]
        for number, run in enumerate(runs):
            config = composer.write([*plan.overrides(first, None), *MEASURED], number, run.folder)
            run.ask_to_stop("budget")  # heard after the first update
        begun = time.monotonic()
        wait([executor.submit(run.folder) for run in runs])
        whole = time.monotonic() - begun
        rows = [row for run in runs for row in run.metrics()[:1]]
        if len(rows) < len(runs):
            summaries = [run.summary() or {} for run in runs]
            message = next((s["message"] for s in summaries if "message" in s), "its process was lost")
            raise ConfigError(f"hydra.sweeper.dry_run=true: the measured update failed: {message}")
    slowest = max(rows, key=lambda row: row["perf/update_seconds"])
    evaluation = slowest.get("perf/evaluate_seconds", 0.0)
    update = slowest["perf/update_seconds"] - evaluation
    return _report(plan, config, executor.num_workers, update, evaluation, max(0.0, whole - update - evaluation))


def _report(plan: Plan, config: Config, workers: int, update: float, evaluation: float, start: float) -> str:
    """The lines of the answer; all times in seconds."""
    num_updates = config.ppo.num_updates
    num_evaluations = math.ceil(num_updates / plan.config.eval.every)
    each = start + num_updates * update + num_evaluations * evaluation
    lines = _trial_lines(plan)
    lines.append(
        f"a run: {start:.3g} s to start, {num_updates} updates of {update:.3g} s, {num_evaluations} evaluations of "
        f"{evaluation:.3g} s: {_hours(each)} (measured with {workers} at a time, on the first setting)"
    )
    num_tests = len(plan.test_seeds) * plan.config.sweep.num_tested
    if plan.num_trials is None:
        hours = plan.config.sweep.budget_hours or 0.0
        runs_in_time = int(hours * 3600 / each) * workers
        lines.append(
            f"sweep.budget_hours={hours:g}: time for about {runs_in_time} whole runs, more where some are pruned"
        )
        total = hours * 3600
    else:
        runs = plan.num_trials * len(plan.seeds) + min(num_tests, plan.num_trials * len(plan.test_seeds))
        total = math.ceil(runs / workers) * each
        pruned = "" if plan.pruner == "none" else ", less where some are pruned"
        lines.append(f"{runs} runs, {workers} at a time: {_hours(total)}{pruned}")
    price = plan.config.sweep.cost_per_hour
    if price is not None:
        lines.append(
            f"cost: {price * total / 3600 * workers:.2f} at {price:g} an hour of one worker (sweep.cost_per_hour)"
        )
    return "\n".join(lines)


def _trial_lines(plan: Plan) -> list[str]:
    """Every point of a grid, as far as they can be listed; of a search what is searched."""
    seeds = f", {len(plan.seeds)} seeds each" if len(plan.seeds) > 1 else ""
    seeds += (
        f"; the best {plan.config.sweep.num_tested} on {len(plan.test_seeds)} test seeds" if plan.test_seeds else ""
    )
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
