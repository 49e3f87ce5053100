"""A sweep from start to end: overrides -> plan, checks, study, engine, answer."""

import logging
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig, OmegaConf
from optuna.samplers import BaseSampler

from rlhf_sweeps.comparison import compare, rows
from rlhf_sweeps.comparison_table import table
from rlhf_sweeps.config import as_dict
from rlhf_sweeps.fields import ConfigError
from rlhf_sweeps.hydra_part import answering, as_job
from rlhf_sweeps.preflight import check_folder, check_inputs, differences, flatten
from rlhf_sweeps.runs import InUseError, Sweep
from rlhf_sweeps.sweep import SweepFailedError, SweepInterruptedError
from rlhf_sweeps.sweep.composition import Composer
from rlhf_sweeps.sweep.contenders import best_settings, contenders, introduce
from rlhf_sweeps.sweep.display import Display
from rlhf_sweeps.sweep.dry_run import dry_run
from rlhf_sweeps.sweep.engine import BUDGET, INTERRUPTED, Engine
from rlhf_sweeps.sweep.executors import Executor
from rlhf_sweeps.sweep.judge import Judge
from rlhf_sweeps.sweep.plan import Plan
from rlhf_sweeps.sweep.pruners import make_pruner
from rlhf_sweeps.sweep.report import report_line
from rlhf_sweeps.sweep.results import last_block, optimization_results
from rlhf_sweeps.sweep.samplers import make_sampler
from rlhf_sweeps.sweep.search_space import SearchSpace
from rlhf_sweeps.sweep.settings import directions, read_settings
from rlhf_sweeps.sweep.storage import file_url
from rlhf_sweeps.sweep.study import STATES, Study
from rlhf_sweeps.sweep.trials import FAILED, RUNNING, Trial
from rlhf_sweeps.sweep.wandb_run import SweepTracker

log = logging.getLogger("rlhf_sweeps")


def run_sweep(master: DictConfig, loader: ConfigLoader, arguments: Sequence[str], executor: Executor) -> None:
    """Run, or go on with, the sweep in hydra.sweep.dir.

    Args:
        master: the config of the sweep, as Hydra composed it.
        arguments: overrides, swept or not, that are not Hydra's own.
        executor: where the trials run.

    Raises:
        ConfigError, HydraException, OmegaConfBaseException: if something cannot work; nothing is run then.
        SweepFailedError: if too many trials failed, or all.
        SweepInterruptedError: after Ctrl-C; what was begun is saved.
    """
    # What is the same for all trials is asked of the first one.
    with answering(as_job(master, Path(), number=0)):
        composer = Composer(loader, master)
        plan = make_plan(master, loader, composer, arguments)
    sweep = Sweep(composer.folder)
    _check(plan, composer, sweep)
    if plan.settings.dry_run:
        print(dry_run(plan, composer, executor))
        return
    try:
        with sweep.claim():
            _run(sweep, plan, composer, _begin(sweep, plan, master), executor)
    except InUseError as error:
        raise ConfigError(f"hydra.sweep.dir={sweep.folder}: {error}; choose another folder") from error


def make_plan(master: DictConfig, loader: ConfigLoader, composer: Composer, arguments: Sequence[str]) -> Plan:
    """What the config and the overrides ask for; raises as `run_sweep`."""
    settings = read_settings(master)
    if dict(OmegaConf.to_container(master.hydra.sweep))["subdir"] != "${hydra.job.num}":  # type: ignore[arg-type]
        raise ConfigError("hydra.sweep.subdir: trials are named by their numbers; only hydra.sweep.dir can be chosen")
    if not str(master.hydra.launcher.get("_target_")).startswith("hydra._internal."):
        raise ConfigError("hydra/launcher: the sweeper starts trials itself; see hydra.sweeper.workers")
    space = SearchSpace.parse(arguments, settings.params, settings.conditions, settings.ties, loader)
    points = space.grid() if space.is_grid else None
    if points is not None and settings.n_trials is not None and settings.n_trials < len(points):
        points = None
    config = composer.config(space.overrides(space.probes()[0]))
    found = contenders(space, composer)
    if found:
        composer.finish = lambda task: introduce(task, found)
    if settings.prune_on not in (None, *config.objective.metrics):
        raise ConfigError(
            f"hydra.sweeper.prune_on={settings.prune_on}: must be one of objective.metrics={config.objective.metrics}"
        )
    for key in ("seeds", "test_seeds"):
        if (count := getattr(config.sweep, key)) > (key == "seeds") and "seed" in space.describe():
            raise ConfigError(f"sweep.{key}={count}: chooses seeds, and so does seed=...; give one of them")
    return Plan(space, settings, config, directions(settings, config), points, is_comparison=bool(found))


def _check(plan: Plan, composer: Composer, sweep: Sweep) -> None:
    """Check all points of a grid; of a search, every choice and bound, one at a time."""
    is_new = sweep.start() is None
    checked: set[str] = set()
    for number, params in enumerate(plan.points or plan.space.probes()):
        config = composer.config(plan.overrides(params, None), number)
        if plan.points is not None and is_new and len(plan.seeds) == 1:
            check_folder(config, sweep.trial(number))
        check_inputs(config, checked)


def _begin(sweep: Sweep, plan: Plan, master: DictConfig) -> dict[str, Any]:
    """Note what the sweep is; refuse a folder that holds another one."""
    start, space = sweep.start(), plan.space.describe()
    new = {"space": space, "config": flatten(as_dict(plan.config)), "directions": plan.directions, "seeds": plan.seeds}
    study_name = plan.settings.study_name or sweep.folder.absolute().name
    if start is None:
        start = {"id": uuid.uuid4().hex[:12], "study_name": study_name, "seconds": 0.0}
    elif changed := _changes(start, new):
        if not plan.settings.accept_changes:
            raise ConfigError(
                f"hydra.sweep.dir={sweep.folder}: holds another sweep ({changed}); choose another folder, or accept "
                "the changes for the trials to come with hydra.sweeper.accept_changes=true"
            )
        log.info("accepted changes: %s", changed)
    start = {**start, **new}
    OmegaConf.save(master, sweep.hydra_file)
    return start


def _changes(old: dict[str, Any], new: dict[str, Any]) -> str:
    # What is swept has no one value, and what a swept group brings along differs from setting to setting.
    swept = tuple(f"{key.lstrip('+')}." for key in {**old["space"], **new["space"]})
    shared = [{key: x for key, x in one["config"].items() if not f"{key}.".startswith(swept)} for one in (old, new)]
    texts = [differences(old["space"], new["space"]), differences(*shared)]
    texts += [f"{key} was {old[key]}, is {new[key]}" for key in ("directions", "seeds") if old[key] != new[key]]
    return "; ".join(filter(None, texts))


def _open_study(sweep: Sweep, plan: Plan, start: dict[str, Any]) -> Study:
    settings = plan.settings

    def sampler(number: int) -> BaseSampler:
        return make_sampler(settings.sampler, settings.sampler_args, settings.seed, number, len(plan.directions))

    sampler(0)  # a wrong name or argument is told before anything starts
    url = settings.storage or file_url(sweep.study)
    study = Study(url, start["study_name"], plan.config.objective.metrics, plan.directions, sampler)
    _refuse_strays(sweep, len(study.trials()))
    if study.move_to(plan.space.parameters):
        start["study_name"] = study.name
    sweep.write_start(start)
    return study


def _refuse_strays(sweep: Sweep, num_trials: int) -> None:
    """A trial is in the study before it has a folder: what the study does not know are another study's results."""
    if strays := [number for number in sweep.trials() if number >= num_trials]:
        raise ConfigError(
            f"hydra.sweep.dir={sweep.folder}: holds runs that its study does not know ({', '.join(map(str, strays))}); "
            "bring back its study.db or hydra.sweeper.storage, or choose another folder"
        )


def _run(sweep: Sweep, plan: Plan, composer: Composer, start: dict[str, Any], executor: Executor) -> None:
    """Run the trials, then give the answer."""
    study = _open_study(sweep, plan, start)
    num_ended = sum(STATES[trial.state] != RUNNING for trial in study.trials())
    metrics = plan.config.objective.metrics
    pruner = make_pruner(plan.pruner, plan.settings.pruner_args)
    tracker = SweepTracker(
        plan.config.tracking,
        folder=sweep.folder.absolute(),
        run_id=start["id"],
        settings=start,
        metrics=metrics,
        directions=plan.directions,
    )
    engine: Engine | None = None
    try:
        with Display(metrics, plan.directions, plan.num_trials, num_ended, is_comparison=plan.is_comparison) as display:
            engine = Engine(sweep, plan, study, Judge(pruner), composer, executor, display, tracker)
            engine.run()
    finally:
        if engine is not None:
            engine.save()
            sweep.write_results(optimization_results(engine.schedule.trials, plan.directions, engine.schedule.tested))
            comparison = _compare(sweep, plan, engine.schedule.trials)
            tracker.finish(
                engine.schedule.trials,
                study.importances(),
                comparison["rows"] if comparison else [],
                exit_code=0 if engine.stopping is None else 1,
            )
    _answer(sweep, plan, engine, comparison, composer.hydra)


def _compare(sweep: Sweep, plan: Plan, trials: Sequence[Trial]) -> dict[str, Any] | None:
    """The matrix of reward models and judges, into the record; None where the sweep compares none."""
    if not plan.is_comparison:
        return None
    comparison = compare(best_settings(trials, sweep, plan.seeds, plan.directions[0]))
    comparison["rows"] = rows(comparison)
    sweep.write_comparison(comparison)
    return comparison


def _answer(sweep: Sweep, plan: Plan, engine: Engine, comparison: dict[str, Any] | None, hydra: dict[str, Any]) -> None:
    """Print the last block; an end before the end is an exception."""
    if comparison is not None:
        print(table(comparison), end="\n\n")
    print(
        last_block(
            engine.schedule.trials,
            metrics=plan.config.objective.metrics,
            directions=plan.directions,
            fixed=plan.fixed,
            hydra=hydra,
            folder=sweep.folder,
            is_grid=plan.points is not None,
            tested=engine.schedule.tested,
            is_comparison=comparison is not None,
        )
    )
    if engine.stopping == BUDGET:
        print("the time is over; the same command with a larger sweep.budget_hours and this hydra.sweep.dir goes on")
    if engine.stopping == INTERRUPTED:
        raise SweepInterruptedError(sweep.folder)
    if plan.config.sweep.report:
        print(report_line(sweep.folder))
    if engine.stopping not in (None, BUDGET):
        raise SweepFailedError(engine.stopping)
    trials = engine.schedule.trials
    if trials and all(trial.state == FAILED for trial in trials):
        raise SweepFailedError("every trial failed")
