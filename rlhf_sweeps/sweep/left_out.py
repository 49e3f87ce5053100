"""The figure to report of a sweep, on seeds that did not choose the setting, from the record."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rlhf_sweeps.record import Sweep
from rlhf_sweeps.sweep.contenders import read_reward_model
from rlhf_sweeps.sweep.plan import Plan
from rlhf_sweeps.sweep.results import find_complete, group_by_reward_model
from rlhf_sweeps.sweep.study.tested import select_failures, select_measured
from rlhf_sweeps.sweep.study.trials import COMPLETE, FAILED, SweepTrial
from rlhf_sweeps.verdicts.final_policies import read_confirmed_score
from rlhf_sweeps.verdicts.left_out_seeds import LeftOut, SettingBySeed, measure_left_out
from rlhf_sweeps.verdicts.objective import compute_violations


def measure_left_out_seeds(sweep: Sweep, trials: Sequence[SweepTrial], plan: Plan) -> dict[str, LeftOut]:
    """The figure to report of the best setting; empty if it cannot be measured, as with several objectives.

    Args:
        trials: all trials of the sweep.

    Returns:
        Reward model -> the figure, if objectives of different reward models cannot be compared, so that each has a best
        setting; otherwise the only key is empty.
    """
    if len(plan.directions) > 1:
        return {}
    groups: Mapping[str, Sequence[SweepTrial]] = group_by_reward_model(trials) if plan.has_own_scales else {"": trials}
    figures = {
        name: _measure(sweep, group, plan, _find_pruning_seeds(sweep, trials, plan.seeds, name))
        for name, group in groups.items()
    }
    return {name: figure for name, figure in figures.items() if figure is not None}


def make_left_out_entry(figure: LeftOut | None) -> dict[str, Any]:
    """The entry of a best setting in optimization_results.yaml; empty without a figure."""
    if figure is None:
        return {}
    entry = {"mean": figure.mean, "seeds": list(figure.seeds), "num_confirming": figure.num_prompts}
    return {"left_out": entry}


def _measure(sweep: Sweep, group: Sequence[SweepTrial], plan: Plan, pruning_seeds: set[int]) -> LeftOut | None:
    candidates = find_complete(group, plan.directions)
    settings = [
        SettingBySeed(
            {seed: values[0] for seed, values in trial.by_seed.items()},
            {seed: values[0] for seed, values in select_measured(trial.tested).items()},
            _collect_broken(sweep, trial, plan),
            select_failures(trial.tested),
        )
        for trial in candidates
    ]

    def find_confirmed(place: int, seed: int) -> tuple[float, int] | None:
        trial = candidates[place]
        run = sweep.test_run(trial.number, seed) if seed in trial.tested else sweep.run(trial.number, seed)
        return read_confirmed_score(run.summary() or {}, run.confirmation())

    return measure_left_out(settings, plan.directions[0], find_confirmed, pruning_seeds)


def _collect_broken(sweep: Sweep, trial: SweepTrial, plan: Plan) -> dict[int, Mapping[str, float]]:
    """Seed -> constraint -> by how much its run breaks it; nan for a run of an earlier start whose record is gone."""
    if not trial.violations:
        return {}
    if len(trial.by_seed) == 1:  # the only run, whose folder is the trial's
        return dict.fromkeys(trial.by_seed, trial.violations)
    broken: dict[int, Mapping[str, float]] = dict(trial.broken)
    for seed in trial.by_seed.keys() - broken.keys():
        rows = sweep.run(trial.number, seed).metrics()
        objective = replace(plan.config.objective, directions=list(plan.directions))
        broken[seed] = compute_violations(rows, objective) if rows else dict.fromkeys(trial.violations, math.nan)
    return broken


def _find_pruning_seeds(sweep: Sweep, trials: Sequence[SweepTrial], seeds: Sequence[int], name: str) -> set[int]:
    """The seeds on which a trial has begun a run that was pruned, or that was put off or stopped before its end.

    Empty with a single seed, which cannot be left out.

    Args:
        name: of the reward model whose trials count; empty for all trials.
    """
    if len(seeds) < 2:
        return set()
    lost = [trial.number for trial in trials if trial.state not in (COMPLETE, FAILED) and trial.is_compared]
    runs = [(seed, sweep.run(number, seed)) for number in lost for seed in seeds]
    return {seed for seed, run in runs if run.start() is not None and (not name or read_reward_model(run) == name)}
