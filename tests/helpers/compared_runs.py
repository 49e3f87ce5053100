"""Made-up runs to compare: with objectives, seeds, judges, and win rates of so many prompts."""

from dataclasses import replace

import numpy as np

from analysis.records.runs import RunRecord, Source

UPDATES = np.arange(1.0, 11.0)


def run(name, objective=None, *, state="complete", is_test=False, metrics=None, summary=None, **config):
    """A run with an objective; config keys are given as ppo__lr=1e-4."""
    return RunRecord(
        name,
        {"update": UPDATES, **(metrics or {})},
        {key.replace("__", "."): value for key, value in config.items()},
        state,
        {"objective": objective, **(summary or {})},
        is_test=is_test,
    )


def source(runs, **more):
    return Source("made up", "sweep", list(runs), **more)


def seeds(values, prefix="", **config):
    return [run(f"{prefix}{index}", value, seed=index, **config) for index, value in enumerate(values)]


def at(update, value):
    """A metric that was evaluated once."""
    return np.where(update == UPDATES, value, np.nan)


def judged(name, own, seed, **wins):
    """A run of a reward model, with a win rate under each judge at update 5, the best one."""
    metrics = {f"judge/{judge}/win_rate": at(5, rate) for judge, rate in wins.items()}
    metrics |= {"eval/win_rate": at(5, wins.get(own, 0.9)), "eval/score": at(5, 1.0)}
    return run(name, 100.0, metrics=metrics, reward_model__name=own, seed=seed, summary={"best_update": 5})


def rated(name, rate, prompts=60, **config):
    """A run whose win rate is its objective; its samples say how many prompts there were."""
    one = run(name, rate, metrics={"eval/win_rate": at(10, rate), "eval/score": at(10, 1.0)}, **config)
    samples = [{"update": update, "prompt": str(prompt)} for update in (5, 10) for prompt in range(prompts)]
    return replace(one, read_samples=lambda: samples)
