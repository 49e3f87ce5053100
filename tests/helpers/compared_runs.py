"""Made-up runs to compare: with objectives, seeds, judges, and win rates of so many prompts."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from analysis.records.runs import Floats, RunRecord, Source

UPDATES = np.arange(1.0, 11.0)


def run(
    name: str,
    objective: float | None = None,
    *,
    state: str = "complete",
    is_test: bool = False,
    metrics: Mapping[str, Floats] | None = None,
    summary: Mapping[str, Any] | None = None,
    **config: Any,
) -> RunRecord:
    """A run with an objective; config keys are given as ppo__lr=1e-4."""
    return RunRecord(
        name,
        {"update": UPDATES, **(metrics or {})},
        {key.replace("__", "."): value for key, value in config.items()},
        state,
        {"objective": objective, **(summary or {})},
        is_test=is_test,
    )


def source(runs: Iterable[RunRecord], **more: Any) -> Source:
    return Source("made up", "sweep", list(runs), **more)


def seeds(values: Iterable[float | None], prefix: str = "", **config: Any) -> list[RunRecord]:
    return [run(f"{prefix}{index}", value, seed=index, **config) for index, value in enumerate(values)]


def at(update: int, value: float) -> Floats:
    """A metric that was evaluated once."""
    return np.where(update == UPDATES, value, np.nan)


def judged(name: str, own: str, seed: int, **wins: float) -> RunRecord:
    """A run of a reward model, with a win rate under each judge at update 5, the best one."""
    metrics = {f"judge/{judge}/win_rate": at(5, rate) for judge, rate in wins.items()}
    metrics |= {"eval/win_rate": at(5, wins.get(own, 0.9)), "eval/score": at(5, 1.0)}
    return run(name, 100.0, metrics=metrics, reward_model__name=own, seed=seed, summary={"best_update": 5})


def rated(name: str, rate: float, prompts: int = 60, **config: Any) -> RunRecord:
    """A run whose win rate is its objective; its samples say how many prompts there were."""
    one = run(name, rate, metrics={"eval/win_rate": at(10, rate), "eval/score": at(10, 1.0)}, **config)
    samples = [{"update": update, "prompt": str(prompt)} for update in (5, 10) for prompt in range(prompts)]
    return replace(one, read_samples=lambda: samples)
