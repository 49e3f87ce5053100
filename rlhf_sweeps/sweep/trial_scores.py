"""The held-out scores by prompt of the settings that a sweep compares at its end, read from the record once."""

from collections.abc import Sequence
from dataclasses import replace

from rlhf_sweeps.config.schema import ObjectiveConfig
from rlhf_sweeps.record import Run, Sweep
from rlhf_sweeps.sweep.results import rank
from rlhf_sweeps.sweep.study.tested import select_measured
from rlhf_sweeps.sweep.study.trials import SweepTrial
from rlhf_sweeps.verdicts.pairs import MOST_GROUPS
from rlhf_sweeps.verdicts.prompt_scores import has_prompt_scores, read_prompt_scores


def read_trial_scores(
    sweep: Sweep, trials: Sequence[SweepTrial], objective: ObjectiveConfig, directions: Sequence[str]
) -> None:
    """Read the scores into `scores` and `test_scores` of the best trials, if prompts are in the noise of the objective.

    A single run shows no noise between seeds, so that its scores decide nothing and are not read.

    Args:
        trials: all trials of the sweep, each with the objectives of its runs.
        objective: of every run.
        directions: "maximize" or "minimize" for each objective.
    """
    objective = replace(objective, directions=list(directions))
    if not has_prompt_scores(objective):
        return
    for trial in rank(trials, directions)[:MOST_GROUPS]:
        seeds, test_seeds = list(trial.by_seed), list(select_measured(trial.tested))
        if len(seeds) > 1:
            trial.scores = {seed: _read_scores(sweep.run(trial.number, seed), objective) for seed in seeds}
        if len(test_seeds) > 1:
            runs = {seed: sweep.test_run(trial.number, seed) for seed in test_seeds}
            trial.test_scores = {seed: _read_scores(run, objective) for seed, run in runs.items()}


def _read_scores(run: Run, objective: ObjectiveConfig) -> dict[str, float]:
    return read_prompt_scores(run.summary() or {}, run.samples(), objective)
