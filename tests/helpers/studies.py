"""A made-up search as Optuna keeps it."""

import datetime

import numpy as np
import optuna

from analysis.records.runs import Source
from helpers.sweep_sources import drawn, hill, of, trial

DISTRIBUTIONS = {
    "ppo.lr": optuna.distributions.FloatDistribution(1e-5, 1e-2, log=True),
    "ppo.kl_coef": optuna.distributions.FloatDistribution(0.002, 0.5, log=True),
    "ppo.clip_range": optuna.distributions.CategoricalDistribution([0.1, 0.2, 0.3]),
}


def with_study(num: int, num_objectives: int = 1) -> Source:
    """Every fifth trial is pruned, reports come every 5 updates; a trial runs 20 s, and the next begins 10 s later."""
    directions = ["maximize", "minimize", "minimize"][:num_objectives]
    study = optuna.create_study(directions=directions)
    random = np.random.default_rng(0)
    trials = []
    start = datetime.datetime(2026, 1, 1)
    for number, point in enumerate(drawn(num, 0)):
        values = [hill(-3.3)(point) + 0.1 * random.standard_normal(), *random.random(2).tolist()][:num_objectives]
        is_pruned = number % 5 == 4 and num_objectives == 1
        reports = {5 * step: values[0] - 1 / step for step in range(1, 3 if is_pruned else 41)}
        one = optuna.trial.create_trial(
            state=optuna.trial.TrialState.PRUNED if is_pruned else optuna.trial.TrialState.COMPLETE,
            values=None if is_pruned else values,
            params=dict(point),
            distributions=DISTRIBUTIONS,
            intermediate_values=reports if num_objectives == 1 else {},
        )
        one.datetime_start = start + datetime.timedelta(seconds=10 * number)
        one.datetime_complete = one.datetime_start + datetime.timedelta(seconds=20)
        study.add_trial(one)
        state = "pruned" if is_pruned else "complete"
        trials.append(trial(number, dict(point), None if is_pruned else values, state=state, seconds=20.0))
    metrics = ["eval/score", "eval/kl", "eval/length"][:num_objectives]
    return of(trials, study=study, metrics=metrics, directions=directions)
