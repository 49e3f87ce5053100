"""A sweep from start to end: plan, checks, study, engine, answer."""

import contextlib
import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig, OmegaConf

from rlhf_sweeps.command_line.destinations import reserve_for_a_while
from rlhf_sweeps.command_line.hydra_answers import answer_from, as_job
from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.metric_names import check_metrics
from rlhf_sweeps.preflight import check_folder, check_inputs
from rlhf_sweeps.process.activity import report_activity
from rlhf_sweeps.process.exit_status import choose_exit_status, name_folder_in_faults
from rlhf_sweeps.process.printed_commands import print_adapted
from rlhf_sweeps.record import InUseError, NotOursError, Sweep
from rlhf_sweeps.sweep.answer import Conclusion, print_answer
from rlhf_sweeps.sweep.checks import (
    Setting,
    check_sampler,
    check_seeds,
    check_trial_function,
    make_canonical,
    refuse_impossible_repetitions,
    refuse_secrets,
    refuse_unknown_prune_on,
    refuse_unlike_objectives,
    refuse_values_in_search,
)
from rlhf_sweeps.sweep.composition import Composer
from rlhf_sweeps.sweep.configurations import Configurations
from rlhf_sweeps.sweep.contenders import find_best_settings, find_contenders, introduce
from rlhf_sweeps.sweep.display import Display
from rlhf_sweeps.sweep.dry_run import dry_run
from rlhf_sweeps.sweep.ending import choose_end
from rlhf_sweeps.sweep.engine import Engine
from rlhf_sweeps.sweep.execution.executors import Executor
from rlhf_sweeps.sweep.gains import find_final_policies
from rlhf_sweeps.sweep.left_out import measure_left_out_seeds
from rlhf_sweeps.sweep.opening import describe, open_study
from rlhf_sweeps.sweep.patience import Patience
from rlhf_sweeps.sweep.plan import MOST_CHOICES, Plan
from rlhf_sweeps.sweep.pruning.pruners import make_pruner
from rlhf_sweeps.sweep.pruning.pruning_state import PruningState
from rlhf_sweeps.sweep.recovery import run_patiently
from rlhf_sweeps.sweep.results import find_best
from rlhf_sweeps.sweep.results_file import make_results
from rlhf_sweeps.sweep.retries import announce
from rlhf_sweeps.sweep.search.search_space import SearchSpace
from rlhf_sweeps.sweep.settings import OWN_TRIAL, choose_directions, read_settings
from rlhf_sweeps.sweep.study.study import STATES, Study
from rlhf_sweeps.sweep.study.trials import RUNNING, SweepTrial
from rlhf_sweeps.sweep.trial_scores import read_trial_scores
from rlhf_sweeps.sweep.wandb_run import SweepTracker
from rlhf_sweeps.verdicts.matrix import compare, list_rows

log = logging.getLogger("rlhf_sweeps")


def run_sweep(master: DictConfig, loader: ConfigLoader, arguments: Sequence[str], executor: Executor) -> None:
    """Run, or continue, the sweep in hydra.sweep.dir.

    Args:
        master: the config of the sweep, as Hydra composed it.
        arguments: overrides, swept or not, that are not Hydra's own.
        executor: where the trials run.

    Raises:
        ConfigError, HydraException, OmegaConfBaseException: if the settings cannot work; then nothing is run.
        SweepFailedError: if too many trials failed, or all.
        SweepInterruptedError: after Ctrl-C; the runs are saved.
    """
    with contextlib.ExitStack() as stack:
        # Values that all trials share are taken from the first trial.
        with answer_from(as_job(master, Path(), number=0)):
            sweep = Sweep(stack.enter_context(reserve_for_a_while(master, "hydra.sweep.dir")))
            composer = Composer(loader, master)
            with report_activity("planning the sweep"):
                plan = make_plan(master, loader, composer, arguments)
        _check(plan, composer, sweep)
        if plan.settings.dry_run:
            print_adapted("\n".join([dry_run(plan, composer, executor), *announce(sweep, plan.settings)]))
            return
        try:
            sweep.refuse_foreign()
            with sweep.claim():
                start, configurations = describe(sweep, plan, composer.hydra)
                executor.prepare()  # nothing more is refused; the study is opened meanwhile
                for problem in sweep.mend():
                    log.warning("%s", problem)
                open_it = partial(open_study, sweep, plan, start, configurations, master)
                with report_activity("opening the study"):
                    study = open_it(plan.settings.retry_failed)
                with name_folder_in_faults("hydra.sweep.dir", sweep.folder):
                    _run(sweep, plan, composer, start, configurations, study, lambda: open_it(False), executor)
        except (InUseError, NotOursError) as error:
            raise ConfigError(f"hydra.sweep.dir={sweep.folder}: {error}; choose another folder") from error


def make_plan(master: DictConfig, loader: ConfigLoader, composer: Composer, arguments: Sequence[str]) -> Plan:
    """Make the plan from the config and the overrides; raises as `run_sweep`."""
    settings = read_settings(master)
    if dict(OmegaConf.to_container(master.hydra.sweep))["subdir"] != "${hydra.job.num}":  # type: ignore[arg-type]
        raise ConfigError("hydra.sweep.subdir: trials are named by their numbers; only hydra.sweep.dir can be chosen")
    if not str(master.hydra.launcher.get("_target_")).startswith("hydra._internal."):
        raise ConfigError("hydra/launcher: the sweeper starts trials itself; see hydra.sweeper.workers")
    check_trial_function(settings.trial)
    space = SearchSpace.parse(
        arguments, settings.params, settings.conditions, settings.ties, loader, make_canonical(master)
    )
    refuse_secrets(space)
    config = composer.config(space.overrides(space.probes()[0]))
    refuse_impossible_repetitions(space, config)
    refuse_values_in_search(space, composer.config)
    choices = space.choices(MOST_CHOICES)
    if choices is None and space.is_grid and settings.n_trials is None:
        raise ConfigError(
            f"{' '.join(arguments)}: a grid of more than {MOST_CHOICES} settings; must have fewer, or "
            "hydra.sweeper.n_trials=... searches among them"
        )
    is_grid = space.is_grid and choices is not None and (settings.n_trials or len(choices)) >= len(choices)
    points = space.grid() if is_grid else None
    compared_models = find_contenders(space, composer)
    if compared_models:
        composer.finish = lambda task: introduce(task, compared_models)
    refuse_unknown_prune_on(settings.prune_on, config.objective.metrics)
    choices = None if is_grid else choices
    plan = Plan(space, settings, config, choose_directions(settings, config), points, choices, list(compared_models))
    check_seeds(plan)
    check_sampler(plan)
    return plan


def _check(plan: Plan, composer: Composer, sweep: Sweep) -> None:
    """Check sampler and pruner, and all points of a grid; in a search every choice and bound, one at a time."""
    plan.sampler(0)
    make_pruner(plan.pruner, plan.settings.pruner_args)
    is_new = sweep.start() is None
    checked: set[str] = set()
    first: Setting | None = None
    points = plan.points or plan.space.probes()
    with report_activity(f"checking {len(points)} settings", len(points)) as checking:
        for number, params in enumerate(points):
            config = composer.config(plan.overrides(params, None), number)
            first = first or (params, config)
            refuse_unlike_objectives(plan.space, first, (params, config))
            if plan.points is not None and is_new and len(plan.seeds) == 1:
                check_folder(config, sweep.trial(number))
            if plan.settings.trial == OWN_TRIAL:
                check_metrics(config)
            check_inputs(config, checked)
            checking.done += 1


def _run(
    sweep: Sweep,
    plan: Plan,
    composer: Composer,
    start: dict[str, Any],
    configurations: Configurations,
    study: Study,
    reopen_study: Callable[[], Study],
    executor: Executor,
) -> None:
    """Run the trials and print the answer; W&B gets the process's exit code in any case.

    Args:
        reopen_study: opens the study again after a fault of the environment.
    """
    tracker = SweepTracker(
        plan.config.tracking,
        folder=sweep.folder.absolute(),
        run_id=start["id"],
        settings=start,
        metrics=plan.config.objective.metrics,
        directions=plan.directions,
        is_named=any(override.startswith("name=") for override in plan.fixed),
        is_comparison=plan.has_own_scales,
    )
    end: BaseException | None = None
    try:
        engine, conclusion = _train(sweep, plan, study, reopen_study, composer, configurations, executor, tracker)
        end = choose_end(sweep.folder, engine)
    except BaseException as error:
        end = error
        raise
    finally:
        tracker.finish(exit_code=choose_exit_status(end))
    print_answer(sweep, plan, engine, conclusion, composer.hydra)
    if end is not None:
        raise end


def _train(
    sweep: Sweep,
    plan: Plan,
    study: Study,
    reopen_study: Callable[[], Study],
    composer: Composer,
    configurations: Configurations,
    executor: Executor,
    tracker: SweepTracker,
) -> tuple[Engine, Conclusion]:
    """Run the trials; returns the engine and what came of them. The results are recorded in any case."""
    num_ended = sum(STATES[trial.state] != RUNNING for trial in study.trials())
    metrics, patience = plan.config.objective.metrics, Patience()
    conclusion = Conclusion()

    def conclude(engine: Engine) -> None:
        nonlocal conclusion
        trials = engine.schedule.trials
        engine.save()
        with report_activity("recording the results of the sweep"):
            comparison = _compare(sweep, plan, trials)
            if not plan.has_own_scales:
                read_trial_scores(sweep, trials, plan.config.objective, plan.directions)
            policies = find_final_policies(sweep, find_best(trials, plan.directions), plan.seeds)
            left_out = measure_left_out_seeds(sweep, trials, plan)
            results = make_results(trials, plan.directions, comparison, plan.has_own_scales, policies, left_out)
            sweep.write_results(results)
            tracker.conclude(trials, engine.study.importances(), comparison["rows"] if comparison else [], left_out)
            conclusion = Conclusion(comparison, policies, left_out)

    with Display(metrics, plan.directions, plan.num_trials, num_ended, is_comparison=plan.has_own_scales) as display:

        def open_engine(study: Study) -> Engine:
            pruning = PruningState(make_pruner(plan.pruner, plan.settings.pruner_args), plan.sign)
            return Engine(sweep, plan, study, pruning, configurations, composer, executor, display, tracker, patience)

        def replace(engine: Engine) -> Engine:
            """Continue from the record, as the same command does when it is given again."""
            opened = open_engine(reopen_study())
            engine.abandon()
            return opened

        engine = run_patiently(sweep.folder, open_engine(study), replace, conclude, patience, display.event)
    return engine, conclusion


def _compare(sweep: Sweep, plan: Plan, trials: Sequence[SweepTrial]) -> dict[str, Any] | None:
    """Write the matrix of reward models and judges to the record, and return it; None without a comparison."""
    if not plan.is_comparison:
        return None
    comparison = compare(find_best_settings(trials, sweep, plan.seeds, plan.directions))
    comparison["rows"] = list_rows(comparison)
    sweep.write_comparison(comparison)
    return comparison
