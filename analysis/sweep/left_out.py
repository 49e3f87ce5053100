"""What a setting chosen as the best one comes to on a seed that did not choose it, from the runs of a view."""

from collections.abc import Mapping, Sequence
from statistics import fmean

import numpy as np

from analysis.records.runs import COMPLETE, DIVERGED, FAILED, PRUNED, Floats, RunRecord
from analysis.records.worth import measure_violations
from analysis.sweep.settings import Setting, View
from rlhf_sweeps.verdicts.final_policies import read_confirmed_score
from rlhf_sweeps.verdicts.left_out_seeds import LeftOut, SettingBySeed, measure_left_out
from rlhf_sweeps.verdicts.settings import mean_violations

_ENDED = (COMPLETE, PRUNED)  # without a failure; a run beyond its KL budget is one of these


def measure_view_left_out(view: View) -> LeftOut | None:
    """The figure to report of the best setting; None with several objectives, or if it cannot be measured."""
    failed = [_list_failed_tests(view, setting) for setting in view.settings]
    pairs = zip(view.settings, failed, strict=True)
    settings = [each for setting, seeds in pairs if (each := _collect_by_seed(setting, seeds)) is not None]
    if not view.is_single or len(settings) < len(view.settings):
        return None
    # Trials of an earlier configuration are no trials of the view.
    pruning_seeds = {run.seed for trial in view.trials if trial.state not in (COMPLETE, FAILED) for run in trial.runs}
    numbers = [setting.numbers for setting in view.settings]

    def find_confirmed(place: int, seed: int) -> tuple[float, int] | None:
        runs = _list_runs(view, numbers[place], seed, is_test=bool(settings[place].tested))
        return read_confirmed_score(runs[0].summary, runs[0].read_confirmation()) if len(runs) == 1 else None

    seeds = {seed for seed in pruning_seeds if seed is not None}
    return measure_left_out(settings, view.directions[0], find_confirmed, seeds)


def _collect_by_seed(setting: Setting, failed: Sequence[int]) -> SettingBySeed | None:
    """The setting's first objective on each seed; None if the seed of a run is unknown, or which seeds break what.

    Args:
        failed: the test seeds whose run ended without an objective.
    """
    if setting.seeds is None or setting.test_seeds is None:
        return None
    broken = _collect_broken(setting, setting.seeds)
    if broken is None:
        return None
    chosen, tested = _average(setting.seeds, setting.by_run), _average(setting.test_seeds, setting.by_test)
    return SettingBySeed(chosen, tested, broken, failed)


def _collect_broken(setting: Setting, seeds: Sequence[int]) -> dict[int, Mapping[str, float]] | None:
    """Seed -> constraint -> by how much its runs break it; None if a constraint is known of the whole setting only."""
    if not setting.violations:
        return {}
    if len(set(seeds)) == 1:
        return dict.fromkeys(seeds, setting.violations)
    by_seed: dict[int, list[Mapping[str, float]]] = {seed: [] for seed in seeds}
    for seed, run in zip(seeds, setting.records, strict=True):
        by_seed[seed].append(measure_violations(run) if run is not None else {})
    measured = {name for rows in by_seed.values() for row in rows for name in row}
    if not setting.violations.keys() <= measured:
        return None
    return {seed: mean_violations(rows) for seed, rows in by_seed.items()}


def _list_failed_tests(view: View, setting: Setting) -> list[int]:
    """The test seeds whose run failed, or ended without an evaluation that counts."""
    tests = [run for trial in view.trials if trial.number in setting.numbers for run in trial.tests]
    failed = [run for run in tests if run.state in (FAILED, DIVERGED) or (run.state in _ENDED and not run.objectives)]
    return [run.seed for run in failed if run.seed is not None]


def _average(seeds: Sequence[int], worths: Floats) -> dict[int, float]:
    """Seed -> the mean over its runs, of which there are several if the same command ran twice."""
    return {seed: fmean(worths[np.array(seeds) == seed, 0].tolist()) for seed in seeds}


def _list_runs(view: View, numbers: Sequence[int], seed: int, is_test: bool) -> list[RunRecord]:
    """The complete runs of a setting on a seed."""
    trials = [trial for trial in view.trials if trial.number in numbers]
    runs = [run for trial in trials for run in (trial.tests if is_test else trial.runs)]
    return [run for run in runs if run.seed == seed and run.state == COMPLETE]
